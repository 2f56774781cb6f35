//! The only room with `unsafe`: system calls that nix leaves unsafe or does not have.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};
use nix::errno::Errno;

/// Takes over a descriptor that a system call has just returned.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass what seccomp(2) or recvmsg(2) returned to them; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Forks; the child gets `None`, the parent the child's pid. Only for processes with a single thread.
pub fn fork() -> nix::Result<Option<i32>> {
    // SAFETY: the process has one thread, so the child may do anything that the parent may.
    match unsafe { nix::unistd::fork()? } {
        nix::unistd::ForkResult::Child => Ok(None),
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child.as_raw())),
    }
}

/// Installs a filter for this process and what it becomes; its questions arrive at the descriptor.
pub fn install_filter(program: &[sock_filter]) -> nix::Result<OwnedFd> {
    let fd = seccomp(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    Ok(adopt(fd as RawFd))
}

/// Installs a filter that asks the tracer of this process and of what it becomes.
pub fn install_traced_filter(program: &[sock_filter]) -> nix::Result<()> {
    seccomp(program, 0).map(drop)
}

fn seccomp(program: &[sock_filter], flags: libc::c_ulong) -> nix::Result<libc::c_long> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `program` describes a slice that outlives the call; the kernel copies it and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    Errno::result(result)
}

/// The next question.
pub fn receive(listener: &OwnedFd) -> nix::Result<seccomp_notif> {
    // SAFETY: the structure is plain numbers, and the kernel wants it zeroed.
    let mut question: seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request's number carries the size of the structure, which `question` has.
    let result = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            std::ptr::from_mut(&mut question),
        )
    };
    Errno::result(result).map(|_| question)
}

/// Answers: EPERM, or go on as if nobody had asked.
pub fn answer(listener: &OwnedFd, id: u64, refuse: bool) -> nix::Result<()> {
    let mut answer = seccomp_notif_resp {
        id,
        val: 0,
        error: if refuse { -libc::EPERM } else { 0 },
        flags: if refuse {
            0
        } else {
            libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32
        },
    };
    // SAFETY: as in `receive`; the kernel only reads it.
    let result = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            std::ptr::from_mut(&mut answer),
        )
    };
    Errno::result(result).map(drop)
}
