//! `sendtrace selftest`: it passes where the tool works, it fails where it does not, and nothing remains of it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::{Peer, run_sendtrace, sendtrace, skip, wait_exit};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> bool {
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root: run `cargo xtask test` as root"
    );
    true
}

fn start() -> Child {
    sendtrace()
        .args(["selftest", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Its lines, its last words, and its exit status.
fn finish(mut child: Child) -> (Vec<Value>, String, Option<i32>) {
    let status = wait_exit(&mut child, PATIENCE).expect("it ends");
    let (mut out, mut err) = (String::new(), String::new());
    let stdout = child.stdout.as_mut().expect("piped");
    stdout.read_to_string(&mut out).expect("text");
    let stderr = child.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut err).expect("text");
    let lines = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    (lines, err, status.code())
}

fn failed(lines: &[Value]) -> Vec<&Value> {
    lines
        .iter()
        .filter(|line| line["outcome"] == "fail")
        .collect()
}

/// Child processes whose name is this.
fn children(of: u32, comm: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.trim_end() == comm {
                found.push(child.parse().expect("a pid"));
            }
        }
    }
    found
}

/// The process of the test that sends, once there is one.
fn sender(of: u32) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let [pid] = children(of, "selftest-send")[..] {
            return pid;
        }
        assert!(Instant::now() < deadline, "no process was started");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Cgroups that a self-test of this pid has made.
fn cgroups(of: u32) -> Vec<PathBuf> {
    let name = format!("sendtrace-selftest-{of}");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let roots = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    });
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default()
        .to_owned();
    roots
        .map(|root| root.join(&own).join(&name))
        .filter(|path| path.exists())
        .collect()
}

#[test]
#[ignore = "needs root"]
fn root_selftest_passes_on_this_host() {
    if !root() {
        return;
    }
    let child = start();
    let pid = child.id();
    let (lines, stderr, status) = finish(child);
    for line in &lines {
        println!("{line}");
    }
    assert!(failed(&lines).is_empty(), "{:#?}\n{stderr}", failed(&lines));
    assert_eq!(status, Some(0), "{stderr}");
    let (sum, checks) = lines.split_last().expect("a last line");
    assert_eq!(sum["type"], "selftest");
    assert_eq!(sum["fail"], 0);
    let passed = checks.iter().filter(|line| line["outcome"] == "pass");
    assert_eq!(sum["pass"], passed.count());
    assert!(sum["pass"].as_u64().expect("a number") >= 15, "{sum}");
    for line in checks {
        assert_eq!(line["type"], "check");
        assert_eq!(line["group"], "event");
        let detail = line["detail"].as_str().expect("text");
        assert!(!detail.is_empty(), "{line}");
    }
    assert!(cgroups(pid).is_empty(), "nothing remains");
}

/// Somebody else fails to send in the namespace of the test: one event more than were provoked.
#[test]
#[ignore = "needs root"]
fn root_selftest_finds_an_event_that_it_did_not_provoke() {
    if !root() {
        return;
    }
    let child = start();
    let sender = sender(child.id());
    let mut intruder = Peer::start(Path::new(&format!("/proc/{sender}/ns/net")), "intruder");
    let pid = intruder.id.pid;
    intruder.ok("open u udp4");
    // Until the tracer listens, and then once more.
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        intruder.fails("sendto u 70001 198.18.0.2:9", libc::EMSGSIZE);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (lines, stderr, status) = finish(child);
    if lines
        .iter()
        .any(|line| line["check"] == "send_error EMSGSIZE IPv4" && line["outcome"] == "unsupported")
    {
        skip("this host does not show failing sends");
        return;
    }
    let failed = failed(&lines);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["check"], "nothing else");
    let detail = failed[0]["detail"].as_str().expect("text");
    assert!(detail.contains(&format!("pid {pid} (intruder")), "{detail}");
    assert_eq!(status, Some(1));
    assert!(
        stderr.contains("sendtrace doctor --format json"),
        "{stderr}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_an_interrupted_selftest_leaves_nothing_behind() {
    if !root() {
        return;
    }
    let child = start();
    let pid = child.id();
    let sender = sender(pid);
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("it runs");
    let (lines, stderr, status) = finish(child);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(lines.is_empty(), "no verdict without a whole test");
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert!(
        !Path::new(&format!("/proc/{sender}")).exists(),
        "its processes are gone"
    );
    assert!(cgroups(pid).is_empty(), "its cgroup is gone");
}

#[test]
fn selftest_without_root_says_what_is_missing() {
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let output = run_sendtrace(&["selftest"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("sudo sendtrace selftest"), "{stderr}");
    assert!(stderr.contains("CAP_NET_ADMIN"), "{stderr}");
}
