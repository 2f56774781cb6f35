//! The helper: a process that is the invoking user and nothing more, and runs their command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context as _, ensure};
use caps::CapSet;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};
use socket2::Socket;

use super::invoker::{self, Account};
use super::{MESSAGE_BYTES, QUEUE, answer, ask, receive};
use crate::cli::ExecHelper;
use tracer_capture::kernel::facts;

/// Serves the recorder, whose socket is standard input, until it says that this is all, or is gone.
///
/// # Errors
/// When this process cannot become the user; the recorder has been told.
pub fn run(args: &ExecHelper) -> anyhow::Result<()> {
    // First of all, before anything of our own is open: what the recorder or its caller left open is not for
    // the command.
    for descriptor in
        facts::open_descriptors(Path::new("/")).context("--exec: descriptors are not shown")?
    {
        if descriptor > libc::STDERR_FILENO {
            let _ = nix::unistd::close(descriptor);
        }
    }
    let _ = prctl::set_name(c"sendtrace-exec");
    let socket = Socket::from(io::stdin().as_fd().try_clone_to_owned()?);
    let account = account(args);
    if let Err(error) = become_user(args, account.as_ref()) {
        let why = [&[answer::FAILED], format!("{error:#}").as_bytes()].concat();
        // The recorder says it; once is enough.
        match socket.send(&why) {
            Ok(_) => process::exit(1),
            Err(_) => return Err(error),
        }
    }
    let environment = invoker::environment(
        invoker::kept(std::env::vars_os()),
        args.uid,
        account.as_ref(),
    );
    socket.send(&[answer::READY])?;
    serve(socket, args.command.clone(), environment)
}

/// Paths come in here, one after the other they go to the thread that runs the command.
fn serve(
    socket: Socket,
    command: OsString,
    environment: BTreeMap<OsString, OsString>,
) -> anyhow::Result<()> {
    let answers = socket.try_clone()?;
    let (paths, waiting) = sync_channel::<PathBuf>(QUEUE);
    let worker = thread::spawn(move || {
        for path in waiting {
            let message = run_command(&command, &path, &environment);
            // The recorder may be gone: the command has run all the same.
            let _ = answers.send_with_flags(&message, libc::MSG_NOSIGNAL);
        }
    });
    let mut message = [0; MESSAGE_BYTES];
    loop {
        let length = receive(&socket, &mut message).unwrap_or(0);
        match &message[..length] {
            [ask::RUN, path @ ..] => {
                if paths.send(OsStr::from_bytes(path).into()).is_err() {
                    break;
                }
            }
            [ask::END] => break,
            // The recorder was killed: what waits will not run; what runs is the user's own, and goes on.
            _ => process::exit(1),
        }
    }
    drop(paths);
    let _ = worker.join();
    Ok(())
}

/// Runs the command for one trace; gives the message for the recorder.
fn run_command(
    command: &OsStr,
    trace: &Path,
    environment: &BTreeMap<OsString, OsString>,
) -> Vec<u8> {
    let ended = Command::new("/bin/sh")
        .arg("-c")
        .args([command, OsStr::new("sendtrace"), trace.as_os_str()])
        .env_clear()
        .envs(environment)
        .env("SENDTRACE_TRACE", trace)
        .stdin(Stdio::null())
        .status();
    let (kind, number) = match ended {
        Ok(status) => (answer::ENDED, status.into_raw()),
        Err(error) => (answer::NOT_STARTED, error.raw_os_error().unwrap_or(0)),
    };
    [&[kind][..], &number.to_ne_bytes()].concat()
}

/// Asked of `getent`, as the user: users may live in a directory on the network, and a static program cannot
/// load what the C library needs for that.
fn account(args: &ExecHelper) -> Option<Account> {
    let line = answer_of(args, "getent", &["passwd", &args.uid.to_string()])?;
    Account::read(line.lines().next()?)
}

/// The groups of the user; their own alone when nobody knows the others.
fn groups(args: &ExecHelper, account: Option<&Account>) -> Vec<Gid> {
    let known = account.and_then(|account| answer_of(args, "id", &["-G", "--", &account.name]));
    let mut groups: Vec<u32> = known
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|group| group.parse().ok())
        .collect();
    groups.push(args.gid);
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(Gid::from_raw).collect()
}

/// What a program of the system prints when the user runs it.
fn answer_of(args: &ExecHelper, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", invoker::PATH)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    if Uid::effective().is_root() {
        command.uid(args.uid).gid(args.gid);
    }
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// For good: real, effective and saved ids, groups, and no capability for anybody but root.
fn become_user(args: &ExecHelper, account: Option<&Account>) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(args.uid), Gid::from_raw(args.gid));
    // Whatever bits the file of this program has: nobody becomes another by calling it so.
    ensure!(
        Uid::current().is_root() || (uid == Uid::current() && gid == Gid::current()),
        "only root may run commands as somebody else"
    );
    if args.look_up_groups {
        setgroups(&groups(args, account)).context("cannot take the groups of the user")?;
    }
    setresgid(gid, gid, gid).with_context(|| format!("cannot become group {gid}"))?;
    setresuid(uid, uid, uid).with_context(|| format!("cannot become user {uid}"))?;
    if !uid.is_root() {
        for set in [
            CapSet::Ambient,
            CapSet::Inheritable,
            CapSet::Effective,
            CapSet::Permitted,
        ] {
            caps::clear(None, set).context("cannot give up capabilities")?;
        }
    }
    // Believing it is not enough: -1 is an id that means "as it is".
    let (users, groups) = (getresuid()?, getresgid()?);
    ensure!(
        [users.real, users.effective, users.saved] == [uid; 3]
            && [groups.real, groups.effective, groups.saved] == [gid; 3],
        "still not user {uid} and group {gid}"
    );
    ensure!(
        uid.is_root() || setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_err(),
        "could become root again"
    );
    Ok(())
}
