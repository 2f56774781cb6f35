//! Names of cgroups where systemd keeps its services in a hierarchy of cgroup v1: the BPF programs know cgroups of
//! v2 only, so each process is asked where it is.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::Processes;

/// No more processes than this are remembered.
const MOST: usize = 65_536;

/// Paths by process.
#[derive(Debug)]
pub struct SystemdCgroups {
    proc: PathBuf,
    processes: Processes,
    /// By pid and start. A process that has ended keeps the last one that was seen.
    paths: HashMap<(u32, u64), String>,
    /// Those that were asked in this batch.
    asked: HashSet<(u32, u64)>,
}

impl SystemdCgroups {
    /// `root` is `/` on a real host.
    pub fn new(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            processes: Processes::new(root),
            paths: HashMap::new(),
            asked: HashSet::new(),
        }
    }

    /// A new batch of events begins: processes may have been moved since the last.
    pub fn begin(&mut self) {
        self.asked.clear();
    }

    /// Path in the hierarchy, `/` for its root; `None` when the process ended before anybody asked.
    pub fn path(&mut self, pid: u32, start_ns: u64) -> Option<String> {
        let key = (pid, start_ns);
        if self.asked.len() < MOST && self.asked.insert(key) {
            let file = self.proc.join(pid.to_string()).join("cgroup");
            let path = fs::read(file)
                .ok()
                .and_then(|text| crate::kernel::facts::systemd_cgroup(&text));
            // Asked afterwards, and anew: else the number could be another process's by now.
            self.processes.forget();
            if let Some(path) = path.filter(|_| self.processes.is_alive(pid, start_ns)) {
                if self.paths.len() >= MOST && !self.paths.contains_key(&key) {
                    self.paths.clear();
                }
                self.paths.insert(key, path);
            }
        }
        self.paths.get(&key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 420_000_000;

    fn put(root: &Path, ticks: u32, cgroups: &str) {
        let dir = root.join("proc/42");
        fs::create_dir_all(&dir).unwrap();
        let stat = format!("42 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("cgroup"), cgroups).unwrap();
    }

    #[test]
    fn a_process_is_where_its_line_of_systemd_says_until_it_is_moved() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = SystemdCgroups::new(root.path());
        put(
            root.path(),
            42,
            "8:cpu,cpuacct:/\n1:name=systemd:/system.slice/a.service\n",
        );
        assert_eq!(
            cgroups.path(42, START).as_deref(),
            Some("/system.slice/a.service")
        );
        put(root.path(), 42, "1:name=systemd:/user.slice\n");
        cgroups.begin();
        assert_eq!(cgroups.path(42, START).as_deref(), Some("/user.slice"));
    }

    #[test]
    fn a_process_that_has_ended_keeps_its_cgroup_and_does_not_take_the_next_one_s() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = SystemdCgroups::new(root.path());
        put(root.path(), 42, "1:name=systemd:/a\n");
        assert_eq!(cgroups.path(42, START).as_deref(), Some("/a"));
        put(root.path(), 77, "1:name=systemd:/b\n");
        cgroups.begin();
        assert_eq!(cgroups.path(42, START).as_deref(), Some("/a"));
        assert_eq!(cgroups.path(42, 770_000_000).as_deref(), Some("/b"));
    }

    #[test]
    fn a_process_that_nobody_asked_in_time_has_no_cgroup() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = SystemdCgroups::new(root.path());
        assert_eq!(cgroups.path(42, START), None);
        put(root.path(), 77, "1:name=systemd:/b\n");
        cgroups.begin();
        assert_eq!(cgroups.path(42, START), None);
    }
}
