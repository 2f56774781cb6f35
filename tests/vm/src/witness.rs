//! What the kernel's own trace buffer saw of tracepoints: a witness that is no program of ours.
//!
//! Some hosts keep BPF programs from running while the task at hand is one of process 1 (seen on a sandbox whose
//! process 1 must not be traced: its thread was at work when a softirq fired the tracepoint, the trace buffer had it,
//! no BPF program and no perf record of ours did, and nothing counted it). What such a host withholds no test can see.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An instance of the trace buffer, with its own events; it is gone when this is dropped.
pub struct Witness {
    instance: PathBuf,
    /// Where tracefs was mounted for it.
    mounted: Option<tempfile::TempDir>,
}

impl Witness {
    /// Watches these tracepoints (`tcp/tcp_retransmit_skb`) from now on; `None` where there is no tracefs.
    pub fn of(tracepoints: &[&str]) -> Option<Self> {
        Self::filtered(tracepoints, None)
    }

    /// The same, only while the task at hand is one of process 1 that is there now.
    pub fn of_process_1(tracepoints: &[&str]) -> Option<Self> {
        let tasks = fs::read_dir("/proc/1/task").ok()?.flatten();
        let tasks: Vec<_> = tasks
            .map(|task| format!("common_pid == {}", task.file_name().to_string_lossy()))
            .collect();
        Self::filtered(tracepoints, Some(&tasks.join(" || ")))
    }

    fn filtered(tracepoints: &[&str], filter: Option<&str>) -> Option<Self> {
        let usual = PathBuf::from("/sys/kernel/tracing");
        let (root, mounted) = if usual.join("instances").exists() {
            (usual, None)
        } else {
            let dir = tempfile::tempdir().ok()?;
            run(Command::new("mount")
                .args(["-t", "tracefs", "tracefs"])
                .arg(dir.path()))?;
            (dir.path().to_owned(), Some(dir))
        };
        let instance = root.join(format!("instances/sendtrace-test-{}", std::process::id()));
        let made = fs::create_dir(&instance).is_ok();
        let witness = Self { instance, mounted };
        if !made {
            return None;
        }
        fs::write(witness.instance.join("buffer_size_kb"), "4096").ok()?;
        for tracepoint in tracepoints {
            let event = witness.instance.join("events").join(tracepoint);
            if let Some(filter) = filter {
                fs::write(event.join("filter"), filter).ok()?;
            }
            fs::write(event.join("enable"), "1").ok()?;
        }
        Some(witness)
    }

    /// How often they have fired so far, and how often of these while the task at hand was one of process 1.
    pub fn firings(&self) -> (u64, u64) {
        let text = fs::read_to_string(self.instance.join("trace")).unwrap_or_default();
        let tasks = fs::read_dir("/proc/1/task").into_iter().flatten().flatten();
        let tasks: Vec<_> = tasks.map(|task| task.file_name().into_string()).collect();
        let (mut all, mut of_init) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // `comm-pid  [cpu] …`: a comm may hold blanks and dashes.
            let task = line.split(" [").next().unwrap_or_default().trim();
            let pid = task.rsplit('-').next().unwrap_or_default();
            all += 1;
            of_init += u64::from(tasks.iter().flatten().any(|task| task == pid));
        }
        (all, of_init)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = fs::write(self.instance.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.instance);
        if let Some(dir) = &self.mounted {
            let _ = run(Command::new("umount").arg(dir.path()));
        }
    }
}

fn run(command: &mut Command) -> Option<()> {
    let status = command.stdin(Stdio::null()).status().ok()?;
    status.success().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_kernel_takes_the_filter_and_sees_nothing_of_other_processes() {
        if !crate::requires(&[]) {
            return;
        }
        let all = Witness::of(&["sock/inet_sock_set_state"]).expect("tracefs");
        // A connection of ours, refused: never while a task of process 1 is at hand.
        let refused = std::net::TcpStream::connect("127.0.0.1:1");
        assert!(refused.is_err());
        assert!(all.firings().0 > 0);
        drop(all);
        let filtered = Witness::of_process_1(&["sock/inet_sock_set_state"]).expect("tracefs");
        assert!(std::net::TcpStream::connect("127.0.0.1:1").is_err());
        let (all, of_init) = filtered.firings();
        assert_eq!(all, of_init);
    }
}
