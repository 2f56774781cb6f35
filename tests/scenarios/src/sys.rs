//! The only room with `unsafe`: system calls that nix leaves unsafe or does not have.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use io_uring::{IoUring, squeue};

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

/// send(2) of this many bytes at an address where nothing is mapped: the kernel fails while it copies.
pub fn send_unmapped(fd: BorrowedFd<'_>, bytes: usize) -> nix::Result<usize> {
    // Below the lowest address that a process may map (vm.mmap_min_addr).
    let nowhere = std::ptr::without_provenance(8);
    // SAFETY: the kernel checks what it reads; the program itself never follows the pointer.
    let result = unsafe { libc::send(fd.as_raw_fd(), nowhere, bytes, libc::MSG_NOSIGNAL) };
    nix::errno::Errno::result(result).map(|sent| sent as usize)
}

/// An ISO-TP socket on this CAN interface that waits until a message is through: a type that nix lacks.
pub fn isotp(ifindex: u32) -> nix::Result<OwnedFd> {
    // include/uapi/linux/can/isotp.h
    const SOL_CAN_ISOTP: i32 = 106;
    const CAN_ISOTP_OPTS: i32 = 1;
    const CAN_ISOTP_WAIT_TX_DONE: u32 = 0x400;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_CAN, libc::SOCK_DGRAM, libc::CAN_ISOTP) };
    let fd = adopt(nix::errno::Errno::result(fd)?);
    // Flags, frame time, four bytes of addresses and padding.
    set(
        fd.as_fd(),
        SOL_CAN_ISOTP,
        CAN_ISOTP_OPTS,
        &[CAN_ISOTP_WAIT_TX_DONE, 0, 0],
    )?;
    // Family, interface, and the identifiers that are received and sent.
    let address = [libc::AF_CAN as u32, ifindex, 0x321, 0x123, 0, 0];
    // SAFETY: pointer and length describe `address`, which has the size of `struct sockaddr_can`.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            address.as_ptr().cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(fd)
}

/// A packet socket that takes every frame that arrives on this interface, and sends there. In front of each frame is
/// a `struct virtio_net_hdr`, so that what the sender left to the device (checksum, segments) is passed on.
pub fn frames(interface: u32) -> nix::Result<OwnedFd> {
    // include/uapi/linux/if_packet.h
    const PACKET_VNET_HDR: i32 = 15;
    const PACKET_IGNORE_OUTGOING: i32 = 23;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    let fd = adopt(nix::errno::Errno::result(fd)?);
    set(fd.as_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, &1)?;
    set(fd.as_fd(), libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: pointer and length describe `address`.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(fd)
}

/// A socket filter (SO_ATTACH_FILTER) that lets no packet in.
pub fn refuse_all(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let mut program = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let filter = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// The user's end of a tun(4) device, which is made if it is not there.
pub fn tun(interface: &str) -> io::Result<OwnedFd> {
    let device = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let mut request: libc::ifreq = nothing();
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    nix::errno::Errno::result(result)?;
    Ok(device.into())
}

fn nothing() -> libc::ifreq {
    // SAFETY: all bits zero are a valid `struct ifreq`.
    unsafe { std::mem::zeroed() }
}

/// SIGUSR1 does nothing but interrupt; with `restart` (SA_RESTART) interrupted calls begin anew.
pub fn interruptible(restart: bool) -> nix::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: i32) {}
    let flags = if restart {
        SaFlags::SA_RESTART
    } else {
        SaFlags::empty()
    };
    let action = SigAction::new(SigHandler::Handler(nothing), flags, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.map(drop)
}

/// SIGPIPE kills the process again: the runtime of Rust ignores it.
pub fn die_of_sigpipe() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: no handler of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
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

/// What to add to CLOCK_BOOTTIME for the wall clock (CLOCK_REALTIME), nanoseconds.
pub fn wall_minus_boot_ns() -> i128 {
    difference(boot_ns, || clock(libc::CLOCK_REALTIME))
}

/// The second clock minus the first. It is read between two reads of the first: a pause in between shows as a wide
/// bracket, and the tightest of several tries counts.
fn difference(mut first: impl FnMut() -> i128, mut second: impl FnMut() -> i128) -> i128 {
    /// A guest of a busy host may be paused in several tries in a row.
    const TRIES: usize = 16;
    let tries = (0..TRIES).map(|_| {
        let before = first();
        let between = second();
        let after = first();
        (after - before, between - before.midpoint(after))
    });
    tries
        .min_by_key(|(bracket, _)| *bracket)
        .map_or(0, |(_, difference)| difference)
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

/// Makes a command start as an unprivileged user with these capabilities and no others.
pub fn with_capabilities_alone(command: &mut Command, uid: u32, capabilities: &'static [u32]) {
    // SAFETY: between fork and exec only system calls are made; nothing is allocated or locked.
    unsafe {
        command.pre_exec(move || reduce(uid, capabilities));
    }
}

fn reduce(uid: u32, capabilities: &[u32]) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words of 32 capabilities.
    const VERSION: u32 = 0x2008_0522;
    let check = |result: libc::c_long| match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    let mut sets = [[0u32; 3]; 2];
    for &capability in capabilities {
        let word = &mut sets[capability as usize / 32];
        *word = word.map(|bits| bits | 1 << (capability % 32));
    }
    let header = [VERSION, 0];
    // What LimitMEMLOCK= of a service does: kernels before 5.11 count maps as locked memory. Where even root may
    // not raise it, the kernel is newer or the run says so.
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: all arguments are integers, but for a limit, and two arrays of the sizes that capset(2) reads.
    unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited);
        for number in 0..64 {
            if !capabilities.contains(&number) {
                // Beyond the last one the kernel says EINVAL.
                libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0);
            }
        }
        check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into())?;
        check(libc::syscall(libc::SYS_setgroups, 0, 0))?;
        check(libc::syscall(libc::SYS_setresgid, uid, uid, uid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        check(libc::syscall(
            libc::SYS_capset,
            header.as_ptr(),
            sets.as_ptr(),
        ))?;
        for &capability in capabilities {
            let (raise, number) = (libc::PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(capability));
            check(libc::prctl(libc::PR_CAP_AMBIENT, raise, number, 0, 0).into())?;
        }
    }
    Ok(())
}

/// Hands one operation to the ring and waits until all its completions are there: the result of the first.
/// What the operation points to must live until this returns, and then nothing of it is used any more.
pub fn submit(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<i64> {
    // SAFETY: the callers keep buffers and descriptors until the operation has completed.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    let mut result = None;
    loop {
        ring.submit_and_wait(1)?;
        for completion in ring.completion() {
            let told = *result.get_or_insert(i64::from(completion.result()));
            // A zero-copy send completes twice: with its result, and when its memory is free again.
            if !io_uring::cqueue::more(completion.flags()) {
                return Ok(told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_pause_between_two_reads_of_the_clocks_does_not_move_one_against_the_other() {
        const BETWEEN: i128 = 1_000_000;
        // Every read takes 30 ns; all tries but one meet a pause of 20 ms, on one side or the other.
        for (calm, paused_read) in [(0, 1), (7, 1), (7, 2), (15, 2)] {
            let now = Cell::new(0);
            let reads = Cell::new(0);
            let tick = || {
                let (round, read) = (reads.get() / 3, reads.get() % 3);
                reads.set(reads.get() + 1);
                let pause = round != calm && read == paused_read;
                now.set(now.get() + 30 + i128::from(pause) * 20_000_000);
                now.get()
            };
            assert_eq!(difference(tick, || tick() + BETWEEN), BETWEEN);
        }
    }
}
