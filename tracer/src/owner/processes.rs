//! Is a process still there? By pid and start time, from `/proc/PID/stat`.

use std::fs;
use std::path::{Path, PathBuf};

use tracer_common::START_TICK_NS;

/// Reads processes below a root path, which tests replace.
#[derive(Clone, Debug)]
pub struct Processes {
    proc: PathBuf,
}

impl Processes {
    /// `root` is `/` on a real host.
    pub fn new(root: &Path) -> Self {
        Self { proc: root.join("proc") }
    }

    /// Does the process of that pid and start (nanoseconds of CLOCK_BOOTTIME) still run? Zombies do not.
    pub fn is_alive(&self, pid: u32, start_ns: u64) -> bool {
        self.stat(pid).is_some_and(|(state, start)| {
            !matches!(state, 'Z' | 'X') && start == start_ns / START_TICK_NS
        })
    }

    /// Start of a process, nanoseconds of CLOCK_BOOTTIME, cut to whole ticks; `None` when there is none.
    pub fn start_ns(&self, pid: u32) -> Option<u64> {
        self.stat(pid).map(|(_, ticks)| ticks * START_TICK_NS)
    }

    /// State and start in ticks: fields 3 and 22 of proc_pid_stat(5). The name before them may hold anything,
    /// parentheses too, so they are counted from the last one.
    fn stat(&self, pid: u32) -> Option<(char, u64)> {
        let bytes = fs::read(self.proc.join(pid.to_string()).join("stat")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let start = fields.nth(18)?.parse().ok()?;
        Some((state, start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/7");
        fs::create_dir_all(&dir).unwrap();
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0\n";
        fs::write(dir.join("stat"), stat).unwrap();
        let processes = Processes::new(root.path());
        assert_eq!(processes.start_ns(7), Some(43_210_000_000));
        assert!(processes.is_alive(7, 43_215_000_000));
        assert!(!processes.is_alive(7, 43_225_000_000), "the pid was given to another process");
        assert!(!processes.is_alive(8, 43_215_000_000));
    }
}
