//! Ctrl-C while there is nothing to do but to wait.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

#[test]
fn a_pipe_that_stays_silent_keeps_nobody_from_ending() {
    let trace =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/diagnose/path_loss.sendtrace");
    let trace = std::fs::read(trace).unwrap();
    let whole = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["replay", "tests/traces/diagnose/path_loss.sendtrace"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut silent = child.stdin.take().unwrap();
    silent.write_all(&trace).unwrap();
    wait_caught(&mut child);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    // The pipe is still open: only the signal can end it.
    let (sender, receiver) = std::sync::mpsc::channel();
    let pid = child.id().cast_signed();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(ended) = receiver.recv_timeout(Duration::from_secs(20)) else {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        panic!("SIGINT did not end it");
    };
    let ended = ended.unwrap();
    drop(silent);
    assert!(ended.status.success(), "{ended:?}");
    let last = |output: &[u8]| {
        let text = String::from_utf8_lossy(output).into_owned();
        text.lines().last().map(str::to_owned)
    };
    assert_eq!(last(&ended.stdout), last(&whole.stdout), "the totals come");
}
