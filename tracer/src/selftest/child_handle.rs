//! A handle on each process of the self-test: starts it, sends requests, and waits for answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::expect::Who;
use super::protocol::{Reply, Request};
use tracer_capture::kernel::facts;
use tracer_capture::owner::Processes;

/// Longer than any order takes, on the slowest host.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running child process. Dropped, it is killed.
pub struct ChildHandle {
    /// What events must say about it.
    pub who: Who,
    child: Child,
    orders: ChildStdin,
    replies: Receiver<Reply>,
}

impl ChildHandle {
    /// Starts a process in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When no process can be started, or it does not live.
    pub fn start(comm: &str, uid: Option<u32>) -> anyhow::Result<Self> {
        let mut command = Command::new(facts::own_program());
        command
            .arg0("sendtrace")
            .args(["selftest", "--actor", comm])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(uid) = uid {
            command.args(["--actor-uid", &uid.to_string()]);
        }
        let mut child = command
            .spawn()
            .context("cannot start a process of the self-test")?;
        let orders = child.stdin.take().context("no pipe to the process")?;
        let output = child.stdout.take().context("no pipe from the process")?;
        let (sender, replies) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(reply) = serde_json::from_str(&line) else {
                    break;
                };
                if sender.send(reply).is_err() {
                    break;
                }
            }
        });
        let pid = child.id();
        let start_ns = Processes::new(Path::new("/"))
            .start_ns(pid)
            .context("a process of the self-test ended at once")?;
        let who = Who {
            pid,
            comm: comm.to_owned(),
            uid: uid.unwrap_or_else(|| nix::unistd::getuid().as_raw()),
            start_ns,
            cgroup: None,
            found_among_files: true,
        };
        let mut actor = Self {
            who,
            child,
            orders,
            replies,
        };
        // It has its name and its user once it answers.
        actor.ask(&Request::RetransmittedSegments)?;
        Ok(actor)
    }

    /// Sends a request and waits for the reply.
    ///
    /// # Errors
    /// When the process is gone or hangs.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        let line = serde_json::to_string(request)?;
        let gone = "a process of the self-test is gone";
        writeln!(self.orders, "{line}").context(gone)?;
        self.replies.recv_timeout(PATIENCE).context(gone)
    }

    /// A request that must succeed.
    ///
    /// # Errors
    /// When it does not; the text names the request.
    pub fn must(&mut self, request: &Request) -> anyhow::Result<()> {
        self.number(request).map(drop)
    }

    /// A request whose reply is a number; 0 for those without.
    ///
    /// # Errors
    /// When it fails.
    pub fn number(&mut self, request: &Request) -> anyhow::Result<u64> {
        match self.ask(request)? {
            Reply::Done => Ok(0),
            Reply::Number(number) => Ok(number),
            other => bail!("{request:?}: {}", said(other)),
        }
    }

    /// A request that must fail with this errno.
    ///
    /// # Errors
    /// When it does not.
    pub fn fails(&mut self, request: &Request, errno: i32) -> anyhow::Result<()> {
        match self.ask(request)? {
            Reply::Errno(found) if found == errno => Ok(()),
            other => bail!("{request:?}: {}, expected {}", said(other), name(errno)),
        }
    }
}

fn said(reply: Reply) -> String {
    match reply {
        Reply::Done | Reply::Number(_) => "succeeded".to_owned(),
        Reply::Errno(errno) => name(errno),
        Reply::Timeout => "nothing happened in time".to_owned(),
        Reply::Refused => "not possible".to_owned(),
    }
}

fn name(errno: i32) -> String {
    tracer_model::errno::display(errno.unsigned_abs()).into_owned()
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
