//! Small facts: sysctls, mounts, limits, clocks.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_getres, clock_gettime};

use super::{ClockAnchor, Limit};

/// The first line of a file, trimmed; `None` when absent or empty.
pub(super) fn line(root: &Path, path: &str) -> Option<String> {
    let bytes = fs::read(root.join(path)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

pub(super) fn number(root: &Path, path: &str) -> Option<u32> {
    line(root, path)?.parse().ok()
}

/// The word in brackets: `none [integrity] confidentiality`.
pub(super) fn lockdown(root: &Path) -> Option<String> {
    let line = line(root, "sys/kernel/security/lockdown")?;
    let (_, rest) = line.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    Some(mode.to_owned())
}

/// Mount point of the first cgroup2 file system.
pub(super) fn cgroup2(root: &Path) -> Option<PathBuf> {
    mounted(root, |kind, _| kind == b"cgroup2")
}

/// Mount point of systemd's own v1 hierarchy, unless v2 says as much about this process and the first one. systemd
/// fills both where it has both (its hybrid mode); where somebody else has mounted v2, everything is in its root.
pub(super) fn systemd_cgroups(root: &Path) -> Option<PathBuf> {
    let mount = mounted(root, |kind, options| {
        kind == b"cgroup"
            && options
                .split(|&byte| byte == b',')
                .any(|one| one == SYSTEMD)
    })?;
    let has_v2 = cgroup2(root).is_some();
    let says_more = |process: &str| {
        let text = fs::read(root.join(format!("proc/{process}/cgroup"))).ok()?;
        let v1 = systemd_cgroup(&text)?;
        let v2 = cgroup_of(&text, b"0", b"").filter(|_| has_v2);
        Some(v2.is_none_or(|v2| v2 == "/" && v1 != "/"))
    };
    let says_more = |process| says_more(process) == Some(true);
    (says_more("self") || says_more("1")).then_some(mount)
}

/// The name of systemd's hierarchy, among mount options and in /proc/PID/cgroup.
const SYSTEMD: &[u8] = b"name=systemd";

/// Path in systemd's v1 hierarchy, from what /proc/PID/cgroup says; `None` where this process cannot see it.
pub fn systemd_cgroup(text: &[u8]) -> Option<String> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let number = line.split(|&byte| byte == b':').next()?;
        cgroup_of(line, number, SYSTEMD)
    })
}

/// The path on the line `NUMBER:CONTROLLERS:PATH` (cgroups(7)).
fn cgroup_of(text: &[u8], number: &[u8], controllers: &[u8]) -> Option<String> {
    let path = text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let found = parts.next()? == number && parts.next()? == controllers;
        parts.next().filter(|_| found)
    })?;
    // Outside of what this cgroup namespace shows.
    let outside = path.starts_with(b"/..");
    (path.starts_with(b"/") && !outside).then(|| String::from_utf8_lossy(path).into_owned())
}

/// Mount point of the first file system in `mountinfo` (proc_pid_mountinfo(5)) of this type and with these options.
fn mounted(root: &Path, is_it: impl Fn(&[u8], &[u8]) -> bool) -> Option<PathBuf> {
    let bytes = fs::read(root.join("proc/self/mountinfo")).ok()?;
    bytes.split(|&byte| byte == b'\n').find_map(|line| {
        let separator = line.windows(3).position(|window| window == b" - ")?;
        let mut after = line.get(separator + 3..)?.split(|&byte| byte == b' ');
        let kind = after.next()?;
        if !is_it(kind, after.nth(1).unwrap_or_default()) {
            return None;
        }
        let mount_point = line.get(..separator)?.split(|&byte| byte == b' ').nth(4)?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(unescape(
            mount_point,
        ))))
    })
}

/// Undoes `\040` and its kind, with which the kernel writes blanks, tabs, newlines and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// user_namespaces(7): the initial one maps all 2^32 - 1 ids to themselves.
pub(super) fn initial_user_namespace(root: &Path) -> Option<bool> {
    let line = line(root, "proc/self/uid_map")?;
    Some(line.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// Counts a CPU list such as `0-3,8`.
pub(super) fn cpus_possible(root: &Path) -> Option<u32> {
    line(root, "sys/devices/system/cpu/possible")?
        .split(',')
        .try_fold(0u32, |sum, part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
        })
}

/// The coarse clock advances once per tick, and its resolution says so (`KTIME_LOW_RES`), to anybody.
pub(super) fn tick_ns() -> Option<u64> {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok()?;
    let tick = nanoseconds(resolution.tv_sec(), resolution.tv_nsec());
    (tick > 0).then_some(tick)
}

/// The wall clock is read between two readings of the other, so that a pause in between halves its harm.
pub(super) fn clock_anchor() -> ClockAnchor {
    let read =
        |clock| clock_gettime(clock).map_or(0, |time| nanoseconds(time.tv_sec(), time.tv_nsec()));
    let before = read(ClockId::CLOCK_BOOTTIME);
    let wall_ns = read(ClockId::CLOCK_REALTIME);
    let after = read(ClockId::CLOCK_BOOTTIME);
    ClockAnchor {
        boot_ns: before.midpoint(after),
        wall_ns,
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(nanoseconds).unwrap_or(0))
}

pub(super) fn limit(resource: Resource) -> Option<Limit> {
    getrlimit(resource)
        .ok()
        .map(|(soft, hard)| Limit { soft, hard })
}
