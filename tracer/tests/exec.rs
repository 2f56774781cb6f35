//! `record --exec`: what the command of a user is given, and as whom it runs.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tracer::exec::{CommandResult, Invoker, NotRunReason, Outcome, QUEUE, Runner};

const PATIENCE: Duration = Duration::from_secs(20);
/// `nobody`: an account on every host.
const NOBODY: u32 = 65534;

fn start_as(invoker: &Invoker, command: &str) -> anyhow::Result<Runner> {
    let program = Path::new(env!("CARGO_BIN_EXE_sendtrace"));
    Runner::start(program, OsStr::new(command), invoker)
}

fn start(command: &str) -> Runner {
    start_as(&ourselves(), command).unwrap()
}

fn ourselves() -> Invoker {
    Invoker {
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        through_sudo: false,
        lent_by: None,
    }
}

fn sudo_user(uid: u32) -> Invoker {
    Invoker {
        uid,
        gid: uid,
        through_sudo: true,
        lent_by: None,
    }
}

fn is_root() -> bool {
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root: run `cargo xtask test` as root"
    );
    true
}

/// A folder that everybody may write to, and the path of a trace in it. Commands write to the folder of the trace.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let trace = folder.path().join("a b'.trace");
    (folder, trace)
}

/// Runs a command for one trace to its end; gives what it wrote to `out` beside the trace.
fn output_of(invoker: &Invoker, command: &str) -> String {
    let (folder, trace) = folder();
    let command = format!("{{ {command}\n}} > \"$(dirname \"$1\")/out\" 2>&1");
    let mut runner = start_as(invoker, &command).unwrap();
    runner.run(&trace).unwrap();
    let finished = runner.finish(PATIENCE);
    assert!(finished.unfinished.is_empty());
    assert!(finished.reports[0].is_success(), "{}", finished.reports[0]);
    fs::read_to_string(folder.path().join("out")).unwrap()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}

fn collect(runner: &mut Runner, count: usize) -> Vec<CommandResult> {
    let mut reports = Vec::new();
    wait_for("reports", || {
        reports.extend(runner.reports());
        reports.len() >= count
    });
    reports
}

/// Held up until the file `go` is there; fails when two run at once.
const ONE_AT_A_TIME: &str = "cd \"$(dirname \"$1\")\" && mkdir running || exit 9\n\
                             until [ -e go ]; do sleep 0.01; done\n\
                             rmdir running; echo \"$1\" >> order";

#[test]
fn the_path_of_the_trace_is_an_argument_and_in_the_environment() {
    let text = output_of(&ourselves(), "echo \"$0|$1|$#\"; echo \"$SENDTRACE_TRACE\"");
    let lines: Vec<_> = text.lines().collect();
    let path = lines[1];
    assert!(path.ends_with("/a b'.trace"), "{text}");
    assert_eq!(lines[0], format!("sendtrace|{path}|1"));
}

#[test]
fn a_relative_path_is_made_absolute_and_one_that_is_not_utf8_stays_whole() {
    let mut runner = start("case $1 in /*/relative.trace) exit 0;; esac; exit 3");
    runner.run(Path::new("relative.trace")).unwrap();
    let report = &runner.finish(PATIENCE).reports[0];
    assert!(
        report.is_success() && report.trace.is_absolute(),
        "{report}"
    );

    let (folder, _) = folder();
    let odd = folder.path().join(OsStr::from_bytes(b"\xff\n.trace"));
    fs::write(&odd, "").unwrap();
    let mut runner = start("test -e \"$1\"");
    runner.run(&odd).unwrap();
    let report = &runner.finish(PATIENCE).reports[0];
    assert!(report.is_success());
    assert!(!report.to_string().contains('\n'), "{report}");
}

#[test]
fn the_end_of_each_command_is_reported() {
    let (folder, trace) = folder();
    let mut runner = start("exit 3");
    runner.run(&trace).unwrap();
    let reports = collect(&mut runner, 1);
    let path = folder.path().display();
    assert_eq!(
        reports[0].to_string(),
        format!("command for {path}/a b'.trace: exit status 3")
    );
    assert!(!reports[0].is_success());
    runner.finish(PATIENCE);

    let mut runner = start("kill -9 $$");
    runner.run(&trace).unwrap();
    let report = &runner.finish(PATIENCE).reports[0];
    assert!(
        report.to_string().ends_with("killed by signal 9"),
        "{report}"
    );
}

#[test]
fn one_command_runs_at_a_time_and_what_is_too_much_is_counted_and_said() {
    let (folder, trace) = folder();
    let mut runner = start(ONE_AT_A_TIME);
    let name = |i: usize| folder.path().join(format!("{i}.trace"));
    for i in 0..QUEUE {
        runner.run(&name(i)).unwrap();
    }
    let error = runner.run(&trace).unwrap_err();
    assert_eq!((error.why, error.skipped), (NotRunReason::QueueFull, 1));
    assert!(
        error
            .to_string()
            .ends_with("not run, 8 others have not ended (1 skipped so far)"),
        "{error}"
    );
    assert_eq!(runner.run(&trace).unwrap_err().skipped, 2);
    assert!(runner.reports().is_empty());

    fs::write(folder.path().join("go"), "").unwrap();
    let reports = collect(&mut runner, QUEUE);
    assert!(reports.iter().all(CommandResult::is_success), "{reports:?}");
    let order = fs::read_to_string(folder.path().join("order")).unwrap();
    let expected: String = (0..QUEUE)
        .map(|i| format!("{}\n", name(i).display()))
        .collect();
    assert_eq!(order, expected);
    // There is room again.
    runner.run(&trace).unwrap();
    assert_eq!(runner.finish(PATIENCE).reports.len(), 1);
}

#[test]
fn the_end_waits_for_commands_but_not_for_ever() {
    let (folder, trace) = folder();
    let mut runner = start(ONE_AT_A_TIME);
    runner.run(&trace).unwrap();
    runner.run(&trace).unwrap();
    let finished = runner.finish(Duration::from_millis(50));
    assert_eq!((finished.reports.len(), finished.unfinished.len()), (0, 2));
    // Both still run to their end.
    fs::write(folder.path().join("go"), "").unwrap();
    let order = folder.path().join("order");
    wait_for("both commands", || {
        fs::read_to_string(&order).is_ok_and(|text| text.lines().count() == 2)
    });
}

#[test]
fn when_the_recorder_is_gone_the_helper_ends_and_nothing_more_is_started() {
    let (folder, trace) = folder();
    let mut runner = start(ONE_AT_A_TIME);
    let helper = Pid::from_raw(runner.helper_pid() as i32);
    runner.run(&trace).unwrap();
    runner.run(&trace).unwrap();
    wait_for("the first command", || {
        folder.path().join("running").exists()
    });
    // As a killed recorder leaves it: a closed socket.
    drop(runner);
    wait_for("the end of the helper", || {
        use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
        waitpid(helper, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::Exited(helper, 1))
    });
    fs::write(folder.path().join("go"), "").unwrap();
    let order = folder.path().join("order");
    wait_for("the first command's end", || {
        fs::read_to_string(&order).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_eq!(fs::read_to_string(&order).unwrap().lines().count(), 1);
}

#[test]
fn a_helper_that_was_killed_is_noticed_and_does_no_harm() {
    let (_folder, trace) = folder();
    let mut runner = start("exit 0");
    kill(Pid::from_raw(runner.helper_pid() as i32), Signal::SIGKILL).unwrap();
    let mut error = None;
    wait_for("the end of the helper", || {
        let _ = runner.reports();
        error = runner.run(&trace).err();
        error
            .as_ref()
            .is_some_and(|error| error.why == NotRunReason::HelperGone)
    });
    assert!(error.unwrap().to_string().contains("is gone"));
    runner.finish(PATIENCE);
}

#[test]
fn nothing_of_the_environment_but_the_language_reaches_the_command() {
    let text = output_of(&ourselves(), "env");
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    const ALLOWED: [&str; 11] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "SENDTRACE_TRACE",
        "LANG",
        "LANGUAGE",
        "PWD",
        "SHLVL",
        "_",
    ];
    assert!(text.contains("SENDTRACE_TRACE="), "{text}");
    for line in text.lines() {
        let name = line.split('=').next().unwrap();
        assert!(
            ALLOWED.contains(&name) || name.starts_with("LC_") || name == "OLDPWD",
            "{line}"
        );
    }
    for name in [
        "PATH=/usr/local/sbin:",
        "HOME=/",
        "USER=",
        "SENDTRACE_TRACE=/",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}: {text}"
        );
    }
}

#[test]
fn no_descriptor_of_the_recorder_reaches_the_command() {
    let secret = tempfile::tempfile().unwrap();
    fcntl(secret.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    // A shell opens none of its own for a builtin.
    let text = output_of(
        &ourselves(),
        "for fd in /proc/$$/fd/*; do readlink $fd; done; true",
    );
    assert!(text.lines().next().unwrap() == "/dev/null", "{text}");
    assert!(
        !text.contains("deleted") && !text.contains("socket"),
        "{text}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_a_command_of_a_sudo_user_is_not_run_as_root() {
    if !is_root() {
        return;
    }
    let script = "id -u; id -ru; id -g; id -rg; id -G; grep -E '^(Cap(Inh|Prm|Eff|Amb)|Uid|Gid)' /proc/self/status; \
                  head -c1 /etc/shadow; echo; echo \"$USER $HOME\"";
    let text = output_of(&sudo_user(NOBODY), script);
    let none = "0000000000000000";
    let expected_start = format!(
        "{NOBODY}\n{NOBODY}\n{NOBODY}\n{NOBODY}\n{}",
        String::from_utf8_lossy(
            &Command::new("id")
                .args(["-G", "nobody"])
                .output()
                .unwrap()
                .stdout
        )
    );
    assert!(text.starts_with(&expected_start), "{text}");
    for line in [
        format!("Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n"),
        format!("Gid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n"),
        format!("CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\n"),
        "Permission denied".to_owned(),
        "nobody /nonexistent".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_user_without_an_account_has_only_the_group_that_sudo_names() {
    if !is_root() {
        return;
    }
    let text = output_of(&sudo_user(4_234_242), "id -u; id -G; echo \"$USER $HOME\"");
    assert_eq!(text, "4234242\n4234242\n4234242 /\n");
}

#[test]
#[ignore = "needs root"]
fn root_an_id_that_means_no_change_is_refused() {
    if !is_root() {
        return;
    }
    let error = start_as(&sudo_user(u32::MAX), "true").unwrap_err();
    assert!(
        format!("{error:#}")
            .starts_with("--exec: cannot run commands as the user who started this: "),
        "{error:#}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_nobody_but_root_becomes_somebody_else() {
    if !is_root() {
        return;
    }
    use std::os::unix::process::CommandExt as _;
    let (folder, _) = folder();
    // The program where another user may run it.
    let program = folder.path().join("sendtrace");
    // By another process: a child that another test starts just then would hold it open for writing.
    let copied = Command::new("cp")
        .args([Path::new(env!("CARGO_BIN_EXE_sendtrace")), &program])
        .status();
    assert!(copied.unwrap().success());
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let output = Command::new(&program)
        .args(["exec-helper", "--uid=0", "--gid=0", "--command=true"])
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "fonly root may run commands as somebody else");
}

#[test]
fn a_program_that_is_no_helper_is_an_error_and_not_a_hang() {
    let error =
        Runner::start(Path::new("/bin/true"), OsStr::new("true"), &ourselves()).unwrap_err();
    assert!(
        format!("{error:#}").contains("the helper ended at once"),
        "{error:#}"
    );
    let error =
        Runner::start(Path::new("/nonexistent"), OsStr::new("true"), &ourselves()).unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot start a process"),
        "{error:#}"
    );
}

#[test]
fn a_shell_that_cannot_be_started_reads_well() {
    let report = CommandResult {
        trace: "/t\u{1b}[31m".into(),
        outcome: Outcome::NotStarted(libc::EACCES),
    };
    let line = report.to_string();
    assert!(
        line.ends_with(": not started: EACCES") && !line.contains('\u{1b}'),
        "{line}"
    );
}
