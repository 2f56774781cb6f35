//! SIOCETHTOOL, whose answers the kernel sizes itself.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Room for one question and its answer: 32768 names, or four times as many counters.
pub const ROOM: usize = 1 << 20;

/// `SIOCETHTOOL` of linux/sockios.h.
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// Asks drivers about their interfaces, in the network namespace in which it was opened.
///
/// How long an answer is (`ETHTOOL_GSTATS`, `ETHTOOL_GSTRINGS`) is decided by the driver when it is asked, whatever
/// size was agreed upon before (`ethtool_get_stats`). So the question stands in a mapping of its own that ends
/// with a page which nobody may touch: an answer that is too long is EFAULT, and no memory of the program is hit.
pub struct Ethtool {
    socket: OwnedFd,
    /// [`ROOM`] bytes, and the forbidden page.
    area: NonNull<c_void>,
    mapped: usize,
}

// SAFETY: the mapping belongs to this value alone, and is reached through `&mut self` only.
unsafe impl Send for Ethtool {}

impl Ethtool {
    /// # Errors
    /// When there is no socket or no memory to be had.
    pub fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| ROOM.is_multiple_of(*size))
            .ok_or(Errno::EINVAL)?;
        let mapped = ROOM + page;
        let length = NonZeroUsize::new(mapped).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs none that exists.
        let area = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE)? };
        let this = Self {
            socket,
            area,
            mapped,
        };
        // SAFETY: ROOM is a multiple of the page size, so this is the mapping's last page.
        unsafe { mprotect(area.byte_add(ROOM), page, ProtFlags::PROT_NONE)? };
        Ok(this)
    }

    /// Puts `question` (a structure of linux/ethtool.h, its command first) to the driver of `interface`, and
    /// returns all [`ROOM`] bytes as the kernel left them: the answer stands at their beginning, the rest is
    /// zero or left over from earlier questions.
    ///
    /// # Errors
    /// EOPNOTSUPP when the driver has no answer, ENODEV when there is no such interface, EFAULT when the answer
    /// has no room, EINVAL when the name or the question is too long.
    pub fn ask(&mut self, interface: &[u8], question: &[u8]) -> io::Result<&[u8]> {
        if interface.is_empty() || interface.len() >= libc::IFNAMSIZ || question.len() > ROOM {
            return Err(Errno::EINVAL.into());
        }
        // SAFETY: all bytes zero are a valid `ifreq`, a structure of integers and pointers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(interface) {
            *to = *from as libc::c_char;
        }
        // SAFETY: the first ROOM bytes of the mapping are readable and writable for as long as `self` lives, and
        // `&mut self` makes this the only reference to them.
        let room = unsafe { std::slice::from_raw_parts_mut(self.area.as_ptr().cast::<u8>(), ROOM) };
        room[..question.len()].copy_from_slice(question);
        request.ifr_ifru.ifru_data = self.area.as_ptr().cast();
        // SAFETY: `request` is an `ifreq` whose pointer leads to ROOM writable bytes with a forbidden page behind
        // them, so that the kernel cannot write anywhere else.
        let answer =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        Errno::result(answer)?;
        // SAFETY: as above; the slice that was written through is not used any more.
        Ok(unsafe { std::slice::from_raw_parts(self.area.as_ptr().cast::<u8>(), ROOM) })
    }
}

impl Drop for Ethtool {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and nobody can hold a reference to it any more.
        // Without effect on failure: the mapping would only stay.
        let _ = unsafe { munmap(self.area, self.mapped) };
    }
}
