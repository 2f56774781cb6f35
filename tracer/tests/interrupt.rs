//! Ctrl-C while there is nothing to do but to wait.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits until the process catches SIGINT.
fn wait_caught(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = format!("/proc/{}/status", child.id());
    loop {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        if caught & (1 << (Signal::SIGINT as u32 - 1)) != 0 {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(Instant::now() < deadline, "SIGINT is not caught");
        std::thread::yield_now();
    }
}

/// Gives a command a trace on a pipe that then stays silent, and interrupts it.
fn interrupted(command: &str, trace: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args([command, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut silent = child.stdin.take().unwrap();
    silent.write_all(trace).unwrap();
    wait_caught(&mut child);
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).unwrap();
    // The pipe is still open: only the signal can end it.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(ended) = receiver.recv_timeout(Duration::from_secs(20)) else {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("SIGINT did not end {command}");
    };
    drop(silent);
    ended.unwrap()
}

#[test]
fn a_pipe_that_stays_silent_keeps_nobody_from_ending_and_a_report_says_that_it_is_cut_short() {
    let trace =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/diagnose/path_loss.sendtrace");
    let bytes = std::fs::read(&trace).unwrap();
    for (command, warned) in [("replay", false), ("report", true)] {
        let ended = interrupted(command, &bytes);
        assert!(ended.status.success(), "{ended:?}");
        let last = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(last.lines().last(), Some("emitted = delivered + lost: ok"));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said.contains("interrupted"), warned, "{said}");
    }
}
