//! System calls that no safe crate wraps well: privileges, limits, clocks, and waiting for the kernel.
//!
//! Outside [`crate::kernel`] this is the only file with `unsafe`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, bail};
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Gives up every capability but `keep`, for good.
///
/// Clears the ambient, inheritable and bounding sets, cuts permitted and effective down to those of `keep`
/// that the process has, sets `no_new_privs`, and makes the process undumpable: it holds descriptors of BPF
/// maps and other users' destinations, which a debugger or a core file would hand out.
///
/// `keep` is for hosts where `unprivileged_bpf_disabled` would block access to the maps.
///
/// Must be called before the first thread is started: capabilities belong to threads, and only those that are
/// started later inherit the result.
///
/// # Errors
/// When another thread runs, or the kernel refuses; the process must not go on as if it were unprivileged.
pub fn drop_privileges(keep: &[Capability]) -> anyhow::Result<()> {
    if !is_single_threaded() {
        bail!("privileges can only be dropped while the process has a single thread");
    }
    drop_bounding_set().context("cannot clear the bounding set of capabilities")?;
    caps::clear(None, CapSet::Ambient).context("cannot clear the ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).context("cannot clear the inheritable capabilities")?;
    let permitted =
        caps::read(None, CapSet::Permitted).context("cannot read the permitted capabilities")?;
    let kept: CapsHashSet = keep
        .iter()
        .copied()
        .filter(|cap| permitted.contains(cap))
        .collect();
    // Effective first: it must stay a subset of permitted.
    caps::set(None, CapSet::Effective, &kept).context("cannot drop the effective capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).context("cannot drop the permitted capabilities")?;
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    prctl::set_dumpable(false).context("cannot make the process undumpable")?;
    Ok(())
}

/// The capabilities without which `works` would fail once privileges are dropped: none on kernels that ask
/// for them only when something is loaded, CAP_BPF and CAP_PERFMON on those that want them for every bpf(2)
/// call while `unprivileged_bpf_disabled` is set. Found by trying, with the effective set empty.
pub fn needed_for(mut works: impl FnMut() -> bool) -> Vec<Capability> {
    let Ok(permitted) = caps::read(None, CapSet::Permitted) else {
        return Vec::new();
    };
    for keep in [
        &[][..],
        &[Capability::CAP_BPF],
        &[Capability::CAP_BPF, Capability::CAP_PERFMON],
    ] {
        let trial = keep
            .iter()
            .copied()
            .filter(|cap| permitted.contains(cap))
            .collect();
        let fits = caps::set(None, CapSet::Effective, &trial).is_ok() && works();
        // Best effort: what cannot be raised again is dropped in a moment anyway.
        let _ = caps::set(None, CapSet::Effective, &permitted);
        if fits {
            return keep.to_vec();
        }
    }
    vec![Capability::CAP_SYS_ADMIN]
}

/// Whether the calling thread is the only one.
///
/// `unshare(CLONE_THREAD)` does nothing for a process with one thread and is refused with EINVAL otherwise
/// (`check_unshare_flags`). Where unshare is refused altogether (seccomp) the answer is yes.
fn is_single_threaded() -> bool {
    nix::sched::unshare(CloneFlags::CLONE_THREAD) != Err(Errno::EINVAL)
}

/// Empties the bounding set, by number, so that capabilities younger than this program go too.
///
/// Without CAP_SETPCAP this is refused and left: `no_new_privs` keeps execve(2) from granting anything.
fn drop_bounding_set() -> io::Result<()> {
    for number in 0..64 as libc::c_ulong {
        // SAFETY: PR_CAPBSET_DROP takes an integer and touches no memory of this process.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } == 0 {
            continue;
        }
        return match Errno::last() {
            // The number after the kernel's last capability.
            Errno::EINVAL if number > 0 => Ok(()),
            Errno::EPERM => Ok(()),
            errno => Err(errno.into()),
        };
    }
    Ok(())
}

/// Makes room for `needed` open files; gives the limit in force.
///
/// # Errors
/// When the limit cannot be raised that far; the message says what to do.
pub fn raise_nofile(needed: u64) -> anyhow::Result<u64> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    if soft >= needed {
        return Ok(soft);
    }
    // Raising the hard limit too takes CAP_SYS_RESOURCE.
    if setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_err() {
        bail!(
            "{needed} open files are needed, but no more than {hard} are allowed (ulimit -n says {soft}): \
             raise the limit with ulimit -n {needed}, or LimitNOFILE={needed} of the service"
        );
    }
    Ok(needed)
}

/// Asks for unlimited locked memory, which kernels before 5.11 charge BPF maps against; says whether it was
/// granted. A refusal is no error: newer kernels do not care.
pub fn raise_memlock() -> bool {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
}

/// A call of bpf(2) that loads a program or makes a map, and so gives a descriptor. What `attributes` points to must live as
/// long as the call.
pub(crate) fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: pointer and size describe `attributes`; what it points to is borrowed by the caller, and only read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    new_descriptor(fd)
}

/// The first 64 bytes of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`), which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    rest: [u64; 5],
}

/// Opens a tracepoint as a perf event of all processes and processors.
pub(crate) fn perf_tracepoint(id: u64) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    let attributes = PerfEventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<PerfEventAttr>() as u32,
        config: id,
        ..PerfEventAttr::default()
    };
    // Programs run on every processor, whichever the event is opened on.
    let (all, processor, no_group) = (-1, 0, -1);
    // SAFETY: the structure says its own size, and is only read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attributes),
            all,
            processor,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    new_descriptor(fd)
}

/// Runs a BPF program at a perf event, for as long as that is open.
pub(crate) fn run_on_event(event: &OwnedFd, program: RawFd) -> io::Result<()> {
    const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
    const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: both take an integer and touch no memory of this process.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Mounts a file system that nobody else sees, at no place: it is gone with its descriptor (5.2 and later).
pub(crate) fn detached_mount(kind: &CStr) -> io::Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const CLOEXEC: libc::c_uint = 1;
    // SAFETY: fsopen(2) reads the name.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) };
    let context = new_descriptor(context)?;
    let (no_key, no_value) = (std::ptr::null::<u8>(), std::ptr::null::<u8>());
    // SAFETY: this command of fsconfig(2) takes neither key nor value.
    let made = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            no_key,
            no_value,
            0,
        )
    };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fsmount(2) takes integers and touches no memory of this process.
    new_descriptor(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) })
}

/// The descriptor that a system call gave, or why it gave none.
fn new_descriptor(returned: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(returned) {
        // SAFETY: the callers' system calls give a new descriptor, which nobody else has.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the event loop wait until a descriptor is readable.
///
/// # Errors
/// When the descriptor cannot be polled, or no event loop runs.
pub fn readiness(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open and gives the same one each time.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| error.into_parts().1)
}

/// How [`grace_period`] waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GracePeriod {
    /// The kernel confirmed it.
    Exact,
    /// The kernel refused to say; [`GRACE_FALLBACK`] was slept instead.
    Guessed,
}

/// What to sleep when the kernel will not wait for an RCU grace period on request: programs run for
/// microseconds, but one that was preempted may be held up for scheduling ticks (10 ms at the slowest HZ), so
/// two of these. A best effort: a program that is still late counts into what was just replaced.
pub const GRACE_FALLBACK: Duration = Duration::from_millis(20);

/// `MEMBARRIER_CMD_GLOBAL` of `linux/membarrier.h`.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Waits until no BPF program still uses what was replaced before the call: programs run inside an RCU
/// read-side section, and `membarrier(MEMBARRIER_CMD_GLOBAL)` is `synchronize_rcu()`. Takes up to tens of
/// milliseconds.
///
/// The kernel refuses on `nohz_full` hosts and under some seccomp filters, and does nothing on a single
/// processor, where a preempted program may yet be in the middle: then [`GRACE_FALLBACK`] is slept.
pub fn grace_period() -> GracePeriod {
    // `None` or an error: the number is unknown, so do not trust the barrier.
    let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN)
        .ok()
        .flatten()
        .unwrap_or(1);
    // SAFETY: membarrier(2) takes three integers and touches no memory of this process.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if answer == 0 && processors > 1 {
        return GracePeriod::Exact;
    }
    std::thread::sleep(GRACE_FALLBACK);
    GracePeriod::Guessed
}

/// CLOCK_BOOTTIME, nanoseconds: the clock of records and of process start times; it goes on in suspend.
pub fn boot_clock_ns() -> u64 {
    u64::try_from(clock_ns(ClockId::CLOCK_BOOTTIME)).unwrap_or(0)
}

/// CLOCK_THREAD_CPUTIME_ID, nanoseconds: for how long this thread has run.
pub fn thread_cpu_ns() -> u64 {
    u64::try_from(clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)).unwrap_or(0)
}

/// What to add to CLOCK_BOOTTIME for the wall clock (CLOCK_REALTIME), nanoseconds.
///
/// The wall clock is read between two reads of the other; of several tries the tightest counts, so a
/// preemption in between does no harm. The result is off by at most half of that bracket, far below 1 µs.
pub fn wall_minus_boot_ns() -> i128 {
    (0..8)
        .map(|_| {
            let before = clock_ns(ClockId::CLOCK_BOOTTIME);
            let wall = clock_ns(ClockId::CLOCK_REALTIME);
            let after = clock_ns(ClockId::CLOCK_BOOTTIME);
            (after - before, wall - before.midpoint(after))
        })
        .min_by_key(|(bracket, _)| *bracket)
        .map_or(0, |(_, offset)| offset)
}

fn clock_ns(clock: ClockId) -> i128 {
    let now = clock_gettime(clock).expect("Linux has had these clocks since 2.6.39");
    i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec())
}

pub mod ethtool;
#[cfg(test)]
mod tests;
