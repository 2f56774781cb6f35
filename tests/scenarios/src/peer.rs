//! A process that the test commands: it opens sockets and sends when it is told to, and answers each
//! command with one line. `src/bin/peer/` is its other end and lists the commands.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::SOON;
use crate::identity::Identity;

/// A commanded process. Dropped, it is killed.
pub struct Peer {
    /// Read at the start, so that it is known after the process is gone.
    pub id: Identity,
    child: Option<Child>,
    commands: Option<Box<dyn Write + Send>>,
    replies: Receiver<String>,
}

/// The answer to one command: `ok WORD…` or `err ERRNO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(String);

impl Peer {
    /// Starts a process in the network namespace of this file, under this name.
    pub fn start(netns: &Path, comm: &str) -> Self {
        let mut child = Command::new(program())
            .arg(netns)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program().display()));
        let commands = child.stdin.take().expect("piped");
        let replies = listen(child.stdout.take().expect("piped"));
        let mut peer = Self::new(child.id(), Some(child), Box::new(commands), replies);
        peer.ok(&format!("comm {comm}"));
        peer.id = Identity::read(peer.id.pid);
        peer
    }

    /// Starts a process in a pid namespace of its own, as a container is.
    pub fn contained(netns: &Path, comm: &str) -> Self {
        let mut child = Command::new(program())
            .arg("--contained")
            .arg(netns)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program().display()));
        let commands = child.stdin.take().expect("piped");
        let replies = listen(child.stdout.take().expect("piped"));
        let mut peer = Self::new(child.id(), Some(child), Box::new(commands), replies);
        // The child that it forked is the one that acts.
        let pid = peer.reply(SOON).number("pid");
        peer.ok(&format!("comm {comm}"));
        peer.id = Identity::read(pid as u32);
        peer
    }

    /// A process that runs these commands and exits: for many short lives at once.
    pub fn one_shot(netns: &Path, commands: &[&str]) -> Child {
        Command::new(program())
            .arg(netns)
            .args(commands)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the helper starts")
    }

    fn new(
        pid: u32,
        child: Option<Child>,
        commands: Box<dyn Write + Send>,
        replies: Receiver<String>,
    ) -> Self {
        Self {
            id: Identity::read(pid),
            child,
            commands: Some(commands),
            replies,
        }
    }

    /// Sends a command; the answer is fetched by [`Peer::reply`].
    pub fn tell(&mut self, command: &str) {
        let pipe = self.commands.as_mut().expect("a living process");
        writeln!(pipe, "{command}")
            .and_then(|()| pipe.flush())
            .expect("the process reads its commands");
    }

    /// The answer to the oldest unanswered command.
    pub fn reply(&mut self, deadline: Duration) -> Reply {
        match self.replies.recv_timeout(deadline) {
            Ok(line) => Reply(line),
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} did not answer in {deadline:?}", self.id.comm)
            }
            Err(RecvTimeoutError::Disconnected) => panic!("{} is gone", self.id.comm),
        }
    }

    /// The program that every peer runs.
    pub fn program() -> PathBuf {
        program()
    }

    /// Sends a command and returns the answer.
    pub fn ask(&mut self, command: &str) -> Reply {
        self.tell(command);
        self.reply(SOON)
    }

    /// Sends a command that must succeed; returns the rest of the answer.
    pub fn ok(&mut self, command: &str) -> String {
        let reply = self.ask(command);
        match reply.0.strip_prefix("ok") {
            Some(rest) => rest.trim().to_owned(),
            None => panic!("{}: {command}: {}", self.id.comm, reply.0),
        }
    }

    /// Sends a command that must fail with this errno.
    pub fn fails(&mut self, command: &str, errno: i32) {
        let reply = self.ask(command);
        assert_eq!(
            reply.errno(),
            Some(errno),
            "{}: {command}: {}",
            self.id.comm,
            reply.0
        );
    }

    /// Forks: the child has every socket of the parent, under the same names.
    pub fn fork(&mut self) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let [down, up] = ["down", "up"].map(|name| {
            let path = dir.path().join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
            path
        });
        let pid = self.ok(&format!("fork {} {}", down.display(), up.display()));
        // Each open waits for the child's: the order is the same on both sides.
        let commands = File::options()
            .write(true)
            .open(&down)
            .expect("the child opens its fifo");
        let replies = listen(File::open(&up).expect("the child opens its fifo"));
        let mut child = Self::new(
            pid.parse().expect("a pid"),
            None,
            Box::new(commands),
            replies,
        );
        child.ok("hello");
        child
    }

    /// Renames the process.
    pub fn rename(&mut self, comm: &str) {
        self.ok(&format!("comm {comm}"));
        self.id.comm = comm.to_owned();
    }

    /// Ends the process and waits until it is gone.
    pub fn exit(&mut self) {
        self.tell("exit");
        self.commands = None;
        match self.child.take() {
            Some(mut child) => drop(child.wait()),
            None => while self.replies.recv_timeout(SOON).is_ok() {},
        }
    }

    /// Waits until the process dies by itself; the signal that killed it.
    pub fn died_of(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("a process of its own");
        let status = crate::program::wait_exit(&mut child, SOON);
        status.expect("it dies").signal()
    }

    /// Kills the process at once and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            if child.id() == self.id.pid {
                let _ = child.kill();
            } else {
                // The one that acts is a child of the child, which ends with it.
                let pid = nix::unistd::Pid::from_raw(self.id.pid as i32);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            }
            let _ = child.wait();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A forked child has no handle here: the end of its commands ends it.
        self.commands = None;
        self.kill();
    }
}

impl From<&str> for Reply {
    fn from(line: &str) -> Self {
        Self(line.to_owned())
    }
}

impl Reply {
    /// Whether the command succeeded.
    pub fn is_ok(&self) -> bool {
        self.0.starts_with("ok")
    }

    /// The errno of a failure.
    pub fn errno(&self) -> Option<i32> {
        self.0.strip_prefix("err ")?.split(' ').next()?.parse().ok()
    }

    /// How often this word is in the answer.
    pub fn number_of(&self, word: &str) -> usize {
        self.0.split(' ').filter(|said| *said == word).count()
    }

    /// Whether the answer has `key=`.
    pub fn has(&self, key: &str) -> bool {
        let mut words = self.0.split(' ');
        words.any(|word| {
            word.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('='))
        })
    }

    /// The number after `key=` in the answer.
    pub fn number(&self, key: &str) -> u64 {
        let value = self
            .0
            .split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value
            .and_then(|v| v.parse().ok())
            .unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }
}

fn listen(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The helper that cargo built beside the tests.
fn program() -> PathBuf {
    crate::program::build_dir().join("peer")
}
