//! The only room of the sender with `unsafe`: system calls whose plain result is what this program is about,
//! or that nix does not have. Each returns what the kernel said: a count, or the negative errno.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

fn told(result: impl TryInto<i64>) -> i64 {
    match result.try_into() {
        Ok(result) if result >= 0 => result,
        _ => -i64::from(Errno::last_raw()),
    }
}

/// The negative errno of a failed call of nix, or its count.
pub fn of(result: nix::Result<usize>) -> i64 {
    result.map_or_else(|errno| -i64::from(errno as i32), |count| count as i64)
}

/// socket(2), for protocols that nix has no name for.
pub fn socket(family: i32, kind: i32, protocol: i32) -> nix::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    Errno::result(fd).map(scenarios::sys::adopt)
}

pub fn write(fd: &OwnedFd, data: &[u8]) -> i64 {
    of(nix::unistd::write(fd, data))
}

/// writev(2) of the data in two parts.
pub fn writev(fd: &OwnedFd, data: &[u8]) -> i64 {
    let (head, tail) = data.split_at(data.len() / 3);
    let parts = [head, tail].map(std::io::IoSlice::new);
    of(nix::sys::uio::writev(fd, &parts))
}

/// pwritev2(2) at the current position: the form that sockets take.
pub fn pwritev2(fd: &OwnedFd, data: &[u8]) -> i64 {
    let part = iovec(data);
    // SAFETY: one part, which describes `data`.
    told(unsafe { libc::pwritev2(fd.as_raw_fd(), &part, 1, -1, 0) })
}

pub fn send(fd: &OwnedFd, data: &[u8], flags: i32) -> i64 {
    send_from(fd, data.as_ptr(), data.len(), flags)
}

/// send(2) from an address where there is nothing.
pub fn send_nothing(fd: &OwnedFd, len: usize) -> i64 {
    send_from(fd, std::ptr::without_provenance(8), len, 0)
}

fn send_from(fd: &OwnedFd, data: *const u8, len: usize, flags: i32) -> i64 {
    // SAFETY: the kernel only reads there, and returns EFAULT where nothing is mapped.
    told(unsafe { libc::send(fd.as_raw_fd(), data.cast(), len, flags | libc::MSG_NOSIGNAL) })
}

/// sendto(2) to an address of this family, as its structure in `linux/` describes it.
pub fn sendto<T>(fd: &OwnedFd, data: &[u8], to: &T, flags: i32) -> i64 {
    // SAFETY: both pointers go with the size of what they point to.
    told(unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            data.as_ptr().cast(),
            data.len(),
            flags | libc::MSG_NOSIGNAL,
            std::ptr::from_ref(to).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// sendmsg(2) in two parts, to an address or to where the socket is connected.
pub fn sendmsg(fd: &OwnedFd, data: &[u8], to: Option<&libc::sockaddr_in>) -> i64 {
    let (head, tail) = data.split_at(data.len() / 2);
    let parts = [head, tail].map(iovec);
    let message = message(&parts, to);
    // SAFETY: the message points to `parts` and `to`, which outlive the call.
    told(unsafe { libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// sendmmsg(2); each message with its own destination, if any. The result of each that was sent, then the
/// error, if the call failed at the first.
pub fn sendmmsg(fd: &OwnedFd, messages: &[(&[u8], Option<&libc::sockaddr_in>)]) -> Vec<i64> {
    let parts: Vec<_> = messages.iter().map(|(data, _)| [iovec(data)]).collect();
    let mut headers: Vec<_> = messages
        .iter()
        .zip(&parts)
        .map(|((_, to), parts)| libc::mmsghdr {
            msg_hdr: message(parts, *to),
            msg_len: 0,
        })
        .collect();
    // SAFETY: the headers point to `parts` and the addresses, which outlive the call.
    let sent = told(unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as u32,
            libc::MSG_NOSIGNAL,
        )
    });
    match usize::try_from(sent) {
        Ok(sent) => headers[..sent]
            .iter()
            .map(|header| header.msg_len.into())
            .collect(),
        Err(_) => vec![sent],
    }
}

fn iovec(data: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }
}

/// The result points to the parts and the address without saying so to the compiler.
pub fn message(parts: &[libc::iovec], to: Option<&libc::sockaddr_in>) -> libc::msghdr {
    // SAFETY: zero is valid for each of its fields: no name, no parts, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len();
    if let Some(to) = to {
        message.msg_name = std::ptr::from_ref(to).cast_mut().cast();
        message.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
    }
    message
}

/// sendfile(2) from the start of a file.
pub fn sendfile(fd: &OwnedFd, file: &OwnedFd, len: usize) -> i64 {
    let mut offset = 0;
    // SAFETY: `offset` is valid for the call.
    told(unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &mut offset, len) })
}

/// splice(2) from a pipe.
pub fn splice(fd: &OwnedFd, pipe: &OwnedFd, len: usize) -> i64 {
    let none = std::ptr::null_mut();
    // SAFETY: null pointers stand for no offsets.
    told(unsafe { libc::splice(pipe.as_raw_fd(), none, fd.as_raw_fd(), none, len, 0) })
}

/// setsockopt(2) with any bytes.
pub fn set_option(fd: &OwnedFd, level: i32, option: i32, value: &[u8]) -> nix::Result<()> {
    // SAFETY: pointer and length describe `value`.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as u32,
        )
    };
    Errno::result(result).map(drop)
}

/// ioctl(2) with a number as its argument.
pub fn ioctl(fd: &impl AsRawFd, request: u64, argument: u64) -> nix::Result<()> {
    // SAFETY: callers (nbd.rs) pass requests whose argument is a number.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) }).map(drop)
}

/// Memory at a page's start, as O_DIRECT wants it.
pub struct Page(std::alloc::Layout, *mut u8);

impl Page {
    pub const SIZE: usize = 4096;

    pub fn new() -> Self {
        let layout =
            std::alloc::Layout::from_size_align(Self::SIZE, Self::SIZE).expect("a power of two");
        // SAFETY: the size is not 0.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!start.is_null(), "no memory for a page");
        Self(layout, start)
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: allocated with this size, zeroed, and borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.1, Self::SIZE) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.1, self.0) }
    }
}
