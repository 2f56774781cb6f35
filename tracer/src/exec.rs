//! `record --exec`: a command of the user's for each trace that a trigger left.
//!
//! The recorder gives up its privileges for good, so it could neither become the user who started it nor start
//! anything as another. A small process does that: it is this program again, started while there still are
//! privileges; it becomes that user at once, and runs the command when it receives the path of a trace. It ends
//! with the recorder.

mod helper;
mod invoker;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};

use tracer_model::errno;
use tracer_model::escape;

pub use helper::run as run_helper;
pub use invoker::Invoker;

/// Traces whose command runs or waits; of more than that none is taken.
pub const QUEUE: usize = 8;
/// How long the helper may take to become the user: the names of users may come from the network.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any message: a path has 4096 bytes at most.
const MESSAGE_BYTES: usize = 8192;

/// First bytes of messages to the helper.
mod ask {
    /// Run the command for the path that follows.
    pub const RUN: u8 = b'r';
    /// No more will come: run what waits, then end.
    pub const END: u8 = b'e';
}

/// First bytes of messages from the helper.
mod answer {
    /// It is the user, and takes paths.
    pub const READY: u8 = b'r';
    /// It could not become the user; why follows.
    pub const FAILED: u8 = b'f';
    /// A command ended: four bytes of wait status follow.
    pub const ENDED: u8 = b'e';
    /// A command could not be started: four bytes of errno follow.
    pub const NOT_STARTED: u8 = b'n';
}

/// Runs the command, one trace after the other. Nothing here but [`Runner::start`] and [`Runner::finish`] waits.
#[derive(Debug)]
pub struct Runner {
    helper: Child,
    socket: Socket,
    /// The helper answers in the order of what it was asked.
    outstanding: VecDeque<PathBuf>,
    skipped: u64,
    gone: bool,
}

impl Runner {
    /// Starts the helper and waits until it is the user. `program` is this program; must be called before
    /// privileges are dropped, and starts no thread.
    ///
    /// # Errors
    /// When there can be no other process, or it cannot become the user.
    pub fn start(program: &Path, command: &OsStr, invoker: &Invoker) -> anyhow::Result<Self> {
        let (socket, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)
            .context("--exec: no socket to a helper")?;
        // What commands say must not get into a trace or a report on standard output.
        let stderr = io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .context("--exec: no standard error for the command")?;
        let mut argument = OsString::from("--command=");
        argument.push(command);
        let helper = Command::new(program)
            .arg0("sendtrace")
            .arg("exec-helper")
            .args(invoker.arguments())
            .arg(argument)
            .env_clear()
            .envs(invoker::kept(std::env::vars_os()))
            .stdin(OwnedFd::from(theirs))
            .stdout(stderr)
            // A Ctrl-C is for the recorder, which has a last trace to hand over.
            .process_group(0)
            .spawn()
            .context("--exec: cannot start a process for the command")?;
        let mut runner = Self {
            helper,
            socket,
            outstanding: VecDeque::new(),
            skipped: 0,
            gone: false,
        };
        if let Err(error) = runner.wait_until_ready() {
            // Only ever our own child, which has not been waited for.
            let _ = runner.helper.kill();
            let _ = runner.helper.wait();
            return Err(error.context("--exec: cannot run commands as the user who started this"));
        }
        runner.socket.set_nonblocking(true)?;
        Ok(runner)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.socket.set_read_timeout(Some(PATIENCE))?;
        let mut message = [0; MESSAGE_BYTES];
        let length = match receive(&self.socket, &mut message) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                bail!("the helper is not ready after {} s", PATIENCE.as_secs())
            }
            Err(error) => return Err(error.into()),
        };
        match message[..length] {
            [answer::READY] => Ok(()),
            [answer::FAILED, ref why @ ..] => bail!("{}", escape::name(why)),
            _ => bail!("the helper ended at once"),
        }
    }

    /// Has the command run for a trace, after those that wait.
    ///
    /// # Errors
    /// Why the command will not run for this trace. The recorder goes on.
    pub fn run(&mut self, trace: &Path) -> Result<(), NotRun> {
        let because = |why, skipped: &mut u64| {
            *skipped += 1;
            Err(NotRun {
                trace: trace.to_owned(),
                why,
                skipped: *skipped,
            })
        };
        if self.gone {
            return because(NotRunReason::HelperGone, &mut self.skipped);
        }
        if self.outstanding.len() >= QUEUE {
            return because(NotRunReason::QueueFull, &mut self.skipped);
        }
        // The helper has the same working directory, but the command may change its own.
        let absolute = std::path::absolute(trace).unwrap_or_else(|_| trace.to_owned());
        let message = [&[ask::RUN], absolute.as_os_str().as_bytes()].concat();
        match self.send(&message) {
            Ok(()) => {
                self.outstanding.push_back(absolute);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                because(NotRunReason::QueueFull, &mut self.skipped)
            }
            Err(_) => {
                self.gone = true;
                because(NotRunReason::HelperGone, &mut self.skipped)
            }
        }
    }

    /// Commands that ended since the last call. To be asked now and then: what is not asked for keeps its place
    /// in the queue.
    pub fn reports(&mut self) -> Vec<CommandResult> {
        let mut reports = Vec::new();
        while let Some(report) = self.next_report() {
            reports.push(report);
        }
        reports
    }

    /// Traces for which no command was run.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Process id of the helper.
    pub fn helper_pid(&self) -> u32 {
        self.helper.id()
    }

    /// Waits for the commands that run and wait, but not longer than `patience`: what is not done then goes on
    /// without us, and is in `unfinished`.
    pub fn finish(mut self, patience: Duration) -> Finished {
        let deadline = Instant::now() + patience;
        let mut reports = self.reports();
        let asked = self.send(&[ask::END]).is_ok() && self.socket.set_nonblocking(false).is_ok();
        while asked && !self.outstanding.is_empty() && !self.gone {
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of 0 would be none at all.
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                break;
            }
            match self.next_report() {
                Some(report) => reports.push(report),
                None => break,
            }
        }
        if self.outstanding.is_empty() || self.gone {
            // It has nothing left to do but to end.
            let ended = |helper: &mut Child| !matches!(helper.try_wait(), Ok(None));
            while !ended(&mut self.helper) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Finished {
            reports,
            unfinished: self.outstanding.into(),
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        self.socket.send_with_flags(message, flags).map(drop)
    }

    /// `None` when there is none now; notices the end of the helper.
    fn next_report(&mut self) -> Option<CommandResult> {
        let mut message = [0; MESSAGE_BYTES];
        let length = match receive(&self.socket, &mut message) {
            Ok(length) => length,
            Err(error) => {
                self.gone |= error.kind() != io::ErrorKind::WouldBlock;
                return None;
            }
        };
        let outcome = match message[..length] {
            [answer::ENDED, a, b, c, d] => {
                Outcome::Ended(ExitStatus::from_raw(i32::from_ne_bytes([a, b, c, d])))
            }
            [answer::NOT_STARTED, a, b, c, d] => {
                Outcome::NotStarted(i32::from_ne_bytes([a, b, c, d]))
            }
            _ => {
                self.gone = true;
                return None;
            }
        };
        let trace = self.outstanding.pop_front()?;
        Some(CommandResult { trace, outcome })
    }
}

/// A message; its length is 0 when the other side is gone. A receive with a timeout is not restarted by the
/// kernel when something interrupts it (signal(7)).
fn receive(mut socket: &Socket, message: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(message) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// How the commands ended, when the recorder did.
#[derive(Debug)]
pub struct Finished {
    /// Those that ended since they were last asked for.
    pub reports: Vec<CommandResult>,
    /// Traces whose commands still run or wait, or were given to a helper that is gone.
    pub unfinished: Vec<PathBuf>,
}

/// What became of a command. `Display` is a line for standard error.
#[derive(Debug)]
pub struct CommandResult {
    /// Its trace.
    pub trace: PathBuf,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Ended(ExitStatus),
    /// The shell could not be started: errno.
    NotStarted(i32),
}

impl CommandResult {
    /// Whether it ended with status 0.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Ended(status) if status.success())
    }
}

impl fmt::Display for CommandResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = escape::name(self.trace.as_os_str().as_bytes());
        write!(f, "command for {trace}: ")?;
        match self.outcome {
            Outcome::Ended(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit status {code}"),
                (None, Some(signal)) => write!(f, "killed by signal {signal}"),
                (None, None) => write!(f, "{status}"),
            },
            Outcome::NotStarted(error) => {
                write!(f, "not started: {}", errno::display(error.unsigned_abs()))
            }
        }
    }
}

/// Why the command does not run for a trace. `Display` is a line for standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
    /// The trace.
    pub trace: PathBuf,
    /// Why.
    pub why: NotRunReason,
    /// For how many traces that is so, this one included.
    pub skipped: u64,
}

/// Why a command does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRunReason {
    /// [`QUEUE`] commands run or wait already.
    QueueFull,
    /// The helper was ended by somebody.
    HelperGone,
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = escape::name(self.trace.as_os_str().as_bytes());
        match self.why {
            NotRunReason::QueueFull => write!(
                f,
                "command for {trace}: not run, {QUEUE} others have not ended"
            )?,
            NotRunReason::HelperGone => write!(
                f,
                "command for {trace}: not run, the process that runs commands is gone"
            )?,
        }
        write!(f, " ({} skipped so far)", self.skipped)
    }
}
