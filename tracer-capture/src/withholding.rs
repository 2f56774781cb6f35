//! Whether this host keeps BPF programs from running while the task at hand is one of process 1.
//!
//! Some sandboxes do, to hide that process. A timer or a softirq that interrupts such a task fires tracepoints too,
//! and what it fires is seen by no program and counted by nobody. No setting tells: a program that counts the
//! switches from process 1 does, beside the kernel's own count of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tracer_common::selftest::counter;

use crate::bpf_faults::BpfFaults;
use crate::kernel::facts::in_pid_namespace;

/// Fewer switches than this decide nothing: one may be counted before its program runs, on each CPU.
const ENOUGH: u64 = 10;

/// Watches process 1 until it is dropped.
pub struct Withholding {
    counting: BpfFaults,
    before: BTreeMap<String, u64>,
}

impl Withholding {
    /// Begins; `None` where the kernel refuses the program, or process 1 is not that of the host.
    pub fn watch() -> Option<Self> {
        if in_pid_namespace(Path::new("/")) {
            return None;
        }
        let mut counting = BpfFaults::load().ok()?;
        counting.attach_switches().ok()?;
        // After the program, so that it counts at least as many.
        let before = switches(Path::new("/"));
        Some(Self { counting, before })
    }

    /// Whether programs are kept from running; `None` while process 1 has done too little to tell.
    pub fn found(&self) -> Option<bool> {
        let now = switches(Path::new("/"));
        let counted = self.counting.counter(counter::SWITCHES_OF_PROCESS_1).ok()?;
        judge(since(&self.before, &now), counted)
    }
}

/// `happened`: what the kernel counted; `counted`: what the program did.
fn judge(happened: u64, counted: u64) -> Option<bool> {
    match (happened, counted) {
        (_, 1..) => Some(false),
        (ENOUGH.., 0) => Some(true),
        _ => None,
    }
}

/// Switches of the tasks that were there both times.
fn since(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> u64 {
    let both = before
        .iter()
        .filter_map(|(task, then)| Some((now.get(task)?, then)));
    both.map(|(now, then)| now.saturating_sub(*then)).sum()
}

/// How often each task of process 1 was left for another one (`nr_switches` in the kernel), by task id.
fn switches(root: &Path) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(root.join("proc/1/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let of = |status: &str| -> u64 {
        let lines = status.lines().filter_map(|line| {
            let (name, number) = line.split_once(':')?;
            let number = number.trim().parse::<u64>().ok()?;
            name.ends_with("voluntary_ctxt_switches").then_some(number)
        });
        lines.sum()
    };
    tasks
        .filter_map(|task| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            Some((task.file_name().into_string().ok()?, of(&status)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_withholds_where_process_1_worked_and_no_program_ran() {
        assert_eq!(judge(1000, 0), Some(true));
        assert_eq!(judge(1000, 1), Some(false));
        assert_eq!(judge(ENOUGH - 1, 0), None);
    }

    #[test]
    fn switches_of_both_kinds_are_added_for_tasks_that_stay() {
        let dir = tempfile::tempdir().unwrap();
        let status = |task: &str, voluntary: u32| {
            let task = dir.path().join("proc/1/task").join(task);
            fs::create_dir_all(&task).unwrap();
            let text = format!(
                "Name:\tinit\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t5\n"
            );
            fs::write(task.join("status"), text).unwrap();
        };
        status("1", 7);
        let before = switches(dir.path());
        assert_eq!(before, BTreeMap::from([("1".to_owned(), 12)]));
        status("1", 9);
        status("30", 100);
        assert_eq!(since(&before, &switches(dir.path())), 2);
    }
}
