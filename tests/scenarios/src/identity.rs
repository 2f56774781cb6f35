//! Who a process is: what an event's owner must say about it.

use std::fs;

use crate::sys;

/// A process as /proc describes it, read while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pid: u32,
    /// Field 22 of /proc/PID/stat, in clock ticks (10 ms) since boot.
    pub start_ticks: u64,
    pub comm: String,
    pub uid: u32,
    /// Path of the cgroup (v2).
    pub cgroup: Option<String>,
}

impl Identity {
    /// Reads a living process.
    pub fn read(pid: u32) -> Self {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}"))
                .unwrap_or_else(|e| panic!("/proc/{pid}/{file}: {e}"))
        };
        let stat = read("stat");
        // The comm is in parentheses and may hold anything: count from the last one.
        let (head, tail) = stat.rsplit_once(')').expect("stat has a comm");
        let start_ticks = tail.split_whitespace().nth(19).expect("field 22");
        let uid = read("status")
            .lines()
            .find_map(|line| {
                line.strip_prefix("Uid:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .expect("Uid in status");
        let cgroup = read("cgroup")
            .lines()
            .find_map(|line| Some(line.strip_prefix("0::")?.to_owned()));
        Self {
            pid,
            start_ticks: start_ticks.parse().expect("a number"),
            comm: head.split_once('(').expect("stat has a comm").1.to_owned(),
            uid,
            cgroup,
        }
    }

    /// Whether an event's `started` names this process: /proc counts in ticks of 10 ms, the event in
    /// nanoseconds of the wall clock, so the two may differ by one tick and the clock's adjustment.
    pub fn started_at(&self, started: &str) -> bool {
        const TICK_NS: i128 = 10_000_000;
        let event = boot_ns_of_wall(started);
        let earliest = i128::from(self.start_ticks) * TICK_NS;
        (earliest - TICK_NS..=earliest + 2 * TICK_NS).contains(&event)
    }
}

/// Nanoseconds of CLOCK_BOOTTIME of an RFC 3339 time.
pub fn boot_ns_of_wall(time: &str) -> i128 {
    let parsed: jiff::Timestamp = time
        .parse()
        .unwrap_or_else(|e| panic!("{time:?} is not RFC 3339: {e}"));
    parsed.as_nanosecond() - sys::wall_minus_boot_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_start() {
        let me = Identity::read(std::process::id());
        let wall = sys::wall_minus_boot_ns() + i128::from(me.start_ticks) * 10_000_000;
        let time = jiff::Timestamp::from_nanosecond(wall).unwrap().to_string();
        assert!(me.started_at(&time));
        let later = jiff::Timestamp::from_nanosecond(wall + 1_000_000_000)
            .unwrap()
            .to_string();
        assert!(!me.started_at(&later));
    }
}
