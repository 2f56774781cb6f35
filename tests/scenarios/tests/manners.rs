//! How a run ends, what it leaves behind, and what it is still allowed to do: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::{
    Peer, Ready, SOON, Tracer, World, assert_owner, kernel_ids, requires, sendtrace, wait_exit,
};

/// A clean end comes within this time.
const PROMPT: Duration = Duration::from_secs(1);

/// One test at a time: what the kernel has loaded is compared before and after.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run whose stdout is somebody else's.
fn start(stdout: Stdio) -> (Child, Ready) {
    let mut child = sendtrace()
        .args(["live", "--format", "json", "--rate", "1000000"])
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let ready = Ready::wait(child.stderr.take().expect("piped"));
    (child, ready)
}

fn failing_sender(world: &World) -> Peer {
    let mut peer = world.a.peer("manners");
    peer.ok("open u udp4");
    peer
}

#[track_caller]
fn ends_promptly(child: &mut Child, since: Instant, ready: &Ready) -> ExitStatus {
    let Some(status) = wait_exit(child, PROMPT.saturating_sub(since.elapsed())) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!(
            "still running after {PROMPT:?}; stderr:\n{}",
            ready.stderr()
        );
    };
    status
}

#[test]
#[ignore = "needs root"]
fn root_ctrl_c_and_sigterm_end_with_totals() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let tracer = Tracer::start(&[]);
        tracer.signal(signal);
        tracer.finish(PROMPT).assert_totals();
    }
}

#[test]
#[ignore = "needs root"]
fn root_sigterm_ends_a_run_whose_reader_does_not_read() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let world = World::pair();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        let (mut child, ready) = start(Stdio::from(writer.try_clone().expect("a copy")));
        failing_sender(&world).ok("flood u 20000 10 203.0.113.9:9");
        let end = Instant::now() + SOON;
        while poll(
            &mut [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)],
            PollTimeout::ZERO,
        ) == Ok(1)
        {
            assert!(
                Instant::now() < end,
                "the pipe must fill up; stderr:\n{}",
                ready.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let since = Instant::now();
        kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
        let status = ends_promptly(&mut child, since, &ready);
        assert!(
            status.code().is_some(),
            "{signal}: {status}: a clean end, not a death"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_closed_pipe_ends_a_run_in_silence() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let world = World::pair();
    for with_events in [true, false] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let (mut child, ready) = start(Stdio::from(writer));
        let before = ready.stderr();
        drop(reader);
        let since = Instant::now();
        if with_events {
            failing_sender(&world).fails("sendto u 10 203.0.113.9:9", libc::ENETUNREACH);
        }
        let status = ends_promptly(&mut child, since, &ready);
        assert_eq!(status.code(), Some(0), "stderr:\n{}", ready.stderr());
        assert_eq!(ready.finish(), before, "a broken pipe is no news");
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_vanished_terminal_ends_a_run() {
    if !requires(&["setsid"]) {
        return;
    }
    let _alone = alone();
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    for end in [&pty.master, &pty.slave] {
        // The program must not hold the terminal's other end itself.
        let close_on_exec = FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC);
        fcntl(end, close_on_exec).expect("our descriptor");
    }
    let slave = || Stdio::from(pty.slave.try_clone().expect("a copy"));
    let mut child = Command::new("setsid")
        .arg("--ctty")
        .arg(scenarios::sendtrace_path())
        .args(["live"])
        .stdin(slave())
        .stdout(slave())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let ready = Ready::wait(child.stderr.take().expect("piped"));
    drop(pty);
    let since = Instant::now();
    let status = ends_promptly(&mut child, since, &ready);
    assert_eq!(
        status.code(),
        Some(0),
        "{status}; stderr:\n{}",
        ready.stderr()
    );
}

#[test]
#[ignore = "needs root"]
fn root_sighup_ends_a_run_cleanly() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let tracer = Tracer::start(&[]);
    tracer.signal(Signal::SIGHUP);
    tracer.finish(PROMPT).assert_totals();
}

#[test]
#[ignore = "needs root"]
fn root_nothing_is_left_behind_even_after_sigkill() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let before: BTreeSet<_> = kernel_ids().into_iter().collect();
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let tracer = Tracer::start(&[]);
        let ours: BTreeSet<_> = kernel_ids()
            .into_iter()
            .filter(|id| !before.contains(id))
            .collect();
        assert!(
            ours.iter().any(|(kind, _)| *kind == "prog"),
            "the run must load programs: {ours:?}"
        );
        tracer.signal(signal);
        tracer.wait_gone();
        let end = Instant::now() + SOON;
        loop {
            let left: Vec<_> = kernel_ids()
                .into_iter()
                .filter(|id| ours.contains(id))
                .collect();
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "{signal} leaves {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_second_instance_works_beside_the_first() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let world = World::pair();
    let (first, second) = (Tracer::start(&[]), Tracer::start(&[]));
    let mut peer = failing_sender(&world);
    let mut seen_by = |tracers: &[&Tracer], bytes: u64| {
        peer.fails(
            &format!("sendto u {bytes} 203.0.113.9:9"),
            libc::ENETUNREACH,
        );
        for tracer in tracers {
            let event = tracer.wait_for("the failed send", SOON, |event| {
                event["send_error"]["requested_bytes"] == bytes
            });
            assert_owner(&event, &peer.id, &["at_send"]);
        }
    };
    seen_by(&[&first, &second], 31);
    first.stop().assert_complete();
    // The end of one takes nothing from the other.
    seen_by(&[&second], 32);
    second.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_no_privilege_is_kept_after_the_start() {
    if !requires(&[]) {
        return;
    }
    let _alone = alone();
    let tracer = Tracer::start(&[]);
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", tracer.pid())).expect("tasks") {
        let status =
            fs::read_to_string(task.expect("a task").path().join("status")).expect("status");
        let field = |name: &str| {
            let value = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value
                .unwrap_or_else(|| panic!("no {name}"))
                .trim()
                .to_owned()
        };
        let name = field("Name");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(
                u64::from_str_radix(&field(set), 16),
                Ok(0),
                "{set} of thread {name}"
            );
        }
        assert_eq!(field("NoNewPrivs"), "1", "thread {name}");
        threads += 1;
    }
    assert!(threads > 0);
    tracer.stop().assert_totals();
}
