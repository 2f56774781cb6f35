//! Is a process still there? By pid and start time, from `/proc/PID/stat`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use tracer_common::{EXACT_START, START_TICK_NS};

use tracer_model::event::RawName;

/// Reads processes below a root path, which tests replace.
#[derive(Clone, Debug)]
pub struct Processes {
    proc: PathBuf,
    /// Answers of this batch, by pid and start: thousands of events may ask about one process.
    alive: RefCell<HashMap<(u32, u64), Option<RawName>>>,
}

/// The fields of proc_pid_stat(5) that are needed.
struct Stat {
    comm: RawName,
    state: char,
    parent: u32,
    start_ticks: u64,
}

impl Processes {
    /// `root` is `/` on a real host.
    pub fn new(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            alive: RefCell::default(),
        }
    }

    /// Does the process of that pid and start (nanoseconds of CLOCK_BOOTTIME) still run? Zombies do not.
    pub fn is_alive(&self, pid: u32, start_ns: u64) -> bool {
        self.look(pid, start_ns, |comm| comm.is_some())
    }

    /// The name that the process has now; `None` when it has ended.
    pub fn comm(&self, pid: u32, start_ns: u64) -> Option<RawName> {
        self.look(pid, start_ns, |comm| comm.cloned())
    }

    fn look<T>(&self, pid: u32, start_ns: u64, of: impl FnOnce(Option<&RawName>) -> T) -> T {
        let mut alive = self.alive.borrow_mut();
        let comm = alive.entry((pid, start_ns)).or_insert_with(|| {
            let stat = self.stat(pid)?;
            let runs = !matches!(stat.state, 'Z' | 'X');
            (runs && stat.start_ticks == start_ns / START_TICK_NS).then_some(stat.comm)
        });
        of(comm.as_ref())
    }

    /// Asks anew from now on.
    pub fn forget(&self) {
        self.alive.borrow_mut().clear();
    }

    /// Descendants of the given processes, as (pid, start in nanoseconds, cut to whole ticks).
    pub fn descendants(&self, of: &[u32]) -> Vec<(u32, u64)> {
        let mut rest = self.all();
        let mut family = of.to_vec();
        let mut found = Vec::new();
        loop {
            let (children, others): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .partition(|(_, stat)| family.contains(&stat.parent));
            if children.is_empty() {
                found.retain(|(pid, _)| !of.contains(pid));
                return found;
            }
            family = children.iter().map(|(pid, _)| *pid).collect();
            found.extend(
                children
                    .iter()
                    .map(|(pid, stat)| (*pid, stat.start_ticks * START_TICK_NS)),
            );
            rest = others;
        }
    }

    /// Those of the given (pid, start) that have ended. The start may have the bit [`EXACT_START`].
    pub fn ended(&self, of: &[(u32, u64)]) -> Vec<u32> {
        of.iter()
            .filter(|(pid, start_ns)| !self.is_alive(*pid, *start_ns & !EXACT_START))
            .map(|(pid, _)| *pid)
            .collect()
    }

    fn all(&self) -> Vec<(u32, Stat)> {
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| Some((pid, self.stat(pid)?)))
            .collect()
    }

    /// Start of a process, nanoseconds of CLOCK_BOOTTIME, cut to whole ticks; `None` when there is none.
    pub fn start_ns(&self, pid: u32) -> Option<u64> {
        self.stat(pid).map(|stat| stat.start_ticks * START_TICK_NS)
    }

    /// Fields 3, 4 and 22. The name before them may hold anything, parentheses too, so they are counted from
    /// the last one.
    fn stat(&self, pid: u32) -> Option<Stat> {
        let bytes = fs::read(self.proc.join(pid.to_string()).join("stat")).ok()?;
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let comm = RawName::new(bytes.get(open + 1..close)?);
        let mut fields = std::str::from_utf8(&bytes[close + 1..])
            .ok()?
            .split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Stat {
            comm,
            state,
            parent,
            start_ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(root: &Path, pid: u32, parent: u32) {
        let dir = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&dir).unwrap();
        let stat = format!(
            "{pid} (a) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n",
            pid * 10
        );
        fs::write(dir.join("stat"), stat).unwrap();
    }

    #[test]
    fn descendants_are_children_and_their_children_and_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        for (pid, parent) in [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1)] {
            add(root.path(), pid, parent);
        }
        let mut found = Processes::new(root.path()).descendants(&[5]);
        found.sort_unstable();
        assert_eq!(found, [(6, 600_000_000), (7, 700_000_000)]);
    }

    #[test]
    fn ended_are_those_that_are_gone_or_whose_pid_was_given_away() {
        let root = tempfile::tempdir().unwrap();
        add(root.path(), 5, 1);
        add(root.path(), 6, 1);
        let processes = Processes::new(root.path());
        let of = [(5, 500_000_000), (6, 500_000_000), (7, 700_000_000)];
        assert_eq!(processes.ended(&of), [6, 7]);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/7");
        fs::create_dir_all(&dir).unwrap();
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0\n";
        fs::write(dir.join("stat"), stat).unwrap();
        let processes = Processes::new(root.path());
        assert_eq!(processes.start_ns(7), Some(43_210_000_000));
        let named = processes.comm(7, 43_215_000_000);
        assert_eq!(named, Some(RawName::new(*b"a) R 1")));
        assert!(processes.is_alive(7, 43_215_000_000));
        assert!(
            !processes.is_alive(7, 43_225_000_000),
            "the pid was given to another process"
        );
        assert!(!processes.is_alive(8, 43_215_000_000));
    }
}
