//! What the kernel's own trace buffer saw of tracepoints: an instance beside ours, which no program of ours can spoil.
//!
//! Some hosts keep BPF programs from running while the task at hand is one of process 1 (seen on a sandbox whose
//! process 1 must not be traced: its thread was at work when a softirq fired the tracepoint, the trace buffer had it,
//! no BPF program and no perf record of ours did, and nothing counted it). What such a host withholds no test can see.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MsFlags, mount, umount};

/// What our programs are attached to, or fires beside it.
pub const TRACEPOINTS: [&str; 6] = [
    "tcp/tcp_retransmit_skb",
    "tcp/tcp_send_reset",
    "tcp/tcp_receive_reset",
    "sock/inet_sock_set_state",
    "skb/kfree_skb",
    "net/net_dev_xmit",
];

/// Several in one process have names of their own.
static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// An instance of the trace buffer, with its own events; it is gone when this is dropped.
pub struct TraceInstance {
    instance: PathBuf,
    /// Where tracefs was mounted for it.
    mounted: Option<tempfile::TempDir>,
}

impl TraceInstance {
    /// Watches these tracepoints (`tcp/tcp_retransmit_skb`) from now on; `None` where there is no tracefs.
    pub fn of(tracepoints: &[&str]) -> Option<Self> {
        Self::filtered(tracepoints, None)
    }

    /// The same, only while the task at hand is one of process 1, or bears the name of one: it may start more.
    pub fn of_process_1(tracepoints: &[&str]) -> Option<Self> {
        let mut conditions = BTreeSet::new();
        for task in fs::read_dir("/proc/1/task").ok()?.flatten() {
            let pid = task.file_name();
            conditions.insert(format!("common_pid == {}", pid.to_string_lossy()));
            let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let comm = comm.trim_end();
            // Others cannot stand in a filter.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
            if !comm.is_empty() && comm.chars().all(plain) {
                conditions.insert(format!("COMM == \"{comm}\""));
            }
        }
        let conditions: Vec<_> = conditions.into_iter().collect();
        Self::filtered(tracepoints, Some(&conditions.join(" || ")))
    }

    /// The same, where this is true of the event (`sport == 443`, see events.rst of the kernel).
    pub fn filtered(tracepoints: &[&str], filter: Option<&str>) -> Option<Self> {
        let usual = PathBuf::from("/sys/kernel/tracing");
        let (root, mounted) = if usual.join("instances").exists() {
            (usual, None)
        } else {
            let dir = tempfile::tempdir().ok()?;
            let (name, none) = (Some("tracefs"), None::<&str>);
            mount(name, dir.path(), name, MsFlags::empty(), none).ok()?;
            (dir.path().to_owned(), Some(dir))
        };
        let pid = std::process::id();
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let instance = root.join(format!("instances/sendtrace-{pid}-{number}"));
        let made = fs::create_dir(&instance).is_ok();
        let trace_instance = Self { instance, mounted };
        if !made {
            return None;
        }
        fs::write(trace_instance.instance.join("buffer_size_kb"), "4096").ok()?;
        // The process of each task, of those too that have ended before the buffer is read.
        fs::write(trace_instance.instance.join("options/record-tgid"), "1").ok()?;
        for tracepoint in tracepoints {
            let event = trace_instance.instance.join("events").join(tracepoint);
            if let Some(filter) = filter {
                fs::write(event.join("filter"), filter).ok()?;
            }
            fs::write(event.join("enable"), "1").ok()?;
        }
        Some(trace_instance)
    }

    /// How often they have fired so far, and how often of these while the task at hand was one of process 1.
    pub fn firings(&self) -> (u64, u64) {
        let text = fs::read_to_string(self.instance.join("trace")).unwrap_or_default();
        let tasks = fs::read_dir("/proc/1/task").into_iter().flatten().flatten();
        let tasks: Vec<_> = tasks.map(|task| task.file_name().into_string()).collect();
        let (mut all, mut of_init) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            all += 1;
            let at_hand = task(line);
            let is_init = at_hand.is_some_and(|(pid, process)| {
                process == Some("1") || tasks.iter().flatten().any(|task| task == pid)
            });
            of_init += u64::from(is_init);
        }
        (all, of_init)
    }
}

/// The task and, where that is known, the process of a line: `comm-pid  ( tgid) [cpu] …`. A comm may hold blanks,
/// dashes and brackets.
fn task(line: &str) -> Option<(&str, Option<&str>)> {
    let head = line.split(" [0").next()?.trim_end();
    let (head, process) = match head
        .strip_suffix(')')
        .and_then(|head| head.rsplit_once('('))
    {
        // Dashes: not known.
        Some((head, process)) => (head.trim_end(), Some(process.trim())),
        None => (head, None),
    };
    Some((head.rsplit('-').next()?, process))
}

impl Drop for TraceInstance {
    fn drop(&mut self) {
        let _ = fs::write(self.instance.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.instance);
        if let Some(dir) = &self.mounted {
            let _ = umount(dir.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_line_is_known_whatever_its_name() {
        for (line, expected) in [
            (
                "          <idle>-0       (-------) [000] ..s1.   970.964833: tcp_retransmit_skb: family=AF_INET",
                Some(("0", Some("-------"))),
            ),
            (
                " tokio-rt (w-7) [x-81      (      1) [001] .....   971.4: kfree_skb: skbaddr=0",
                Some(("81", Some("1"))),
            ),
            (
                "            sh-12987   [001] .....   970.9: x: y",
                Some(("12987", None)),
            ),
        ] {
            assert_eq!(task(line), expected, "{line}");
        }
    }

    #[test]
    #[ignore = "needs root"]
    fn root_the_kernel_takes_the_filter_and_sees_nothing_of_other_processes() {
        let is_root = nix::unistd::geteuid().is_root();
        assert!(is_root, "needs root: run `cargo xtask test` as root");
        let all = TraceInstance::of(&["sock/inet_sock_set_state"]).expect("tracefs");
        // A connection of ours, refused: never while a task of process 1 is at hand.
        let refused = std::net::TcpStream::connect("127.0.0.1:1");
        assert!(refused.is_err());
        assert!(all.firings().0 > 0);
        drop(all);
        let filtered = TraceInstance::of_process_1(&["sock/inet_sock_set_state"]).expect("tracefs");
        assert!(std::net::TcpStream::connect("127.0.0.1:1").is_err());
        let (all, of_init) = filtered.firings();
        assert_eq!(all, of_init);
    }
}
