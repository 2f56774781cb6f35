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
            let enable = witness.instance.join(format!("events/{tracepoint}/enable"));
            fs::write(enable, "1").ok()?;
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
