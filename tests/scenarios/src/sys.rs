//! The only room with `unsafe`: system calls that nix leaves unsafe or does not have.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that a system call has just returned.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass what accept(2) or recvmsg(2) returned to them; nobody else owns it.
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

/// setsockopt(2) with an `int`.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> nix::Result<()> {
    set(fd, level, option, &value)
}

/// SO_LINGER with a time of 0: close(2) sends a RST.
pub fn linger_zero(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

fn set<T>(fd: BorrowedFd<'_>, level: i32, option: i32, value: &T) -> nix::Result<()> {
    // SAFETY: pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result).map(drop)
}

/// bpf(2); `attr` is one of the shapes of `union bpf_attr`, which the kernel may also write to.
pub fn bpf<T>(command: i32, attr: &mut T) -> io::Result<i64> {
    // SAFETY: pointer and size describe `attr`; what it points to is kept alive by the caller (bpf.rs).
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// CLOCK_BOOTTIME, nanoseconds.
pub fn boot_ns() -> i128 {
    clock(libc::CLOCK_BOOTTIME)
}

/// CLOCK_REALTIME, nanoseconds since the epoch.
pub fn wall_ns() -> i128 {
    clock(libc::CLOCK_REALTIME)
}

fn clock(id: libc::clockid_t) -> i128 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(id, &mut now) };
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
