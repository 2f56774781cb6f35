//! A process that sends on one path: `src/bin/sender` is its other end.

use std::io::{BufRead, BufReader, Write};
use std::path::Path as FilePath;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Path, SendReport};
use crate::identity::Identity;

/// A sender: started, but it sends nothing until it is told. Dropped, it is killed.
pub struct Sender {
    pub path: Path,
    /// Read before it sends.
    pub id: Identity,
    child: Child,
    commands: ChildStdin,
    said: Receiver<String>,
}

impl Sender {
    /// Starts a process that will make about `count` sends of `size` bytes and a few more, each of another
    /// size, in this network namespace.
    pub fn start(path: Path, comm: &str, netns: &FilePath, count: usize, size: usize) -> Self {
        let program = crate::program::build_dir().join("sender");
        let mut child = Command::new(&program)
            .arg(netns)
            .args([comm, path.name])
            .args([count, size].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let commands = child.stdin.take().expect("piped");
        let pipe = child.stdout.take().expect("piped");
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let pid = child.id();
        let hello = said.recv_timeout(Duration::from_secs(30));
        assert!(hello.is_ok(), "{}: the sender does not start", path.name);
        Self {
            path,
            id: Identity::read(pid),
            child,
            commands,
            said,
        }
    }

    /// Lets it send.
    pub fn go(&mut self) {
        // If it is gone, that shows when its report is asked for.
        let _ = writeln!(self.commands, "go");
    }

    /// What it did. It lives on, so that who it is can still be looked up.
    ///
    /// # Errors
    /// When it failed at something that every kernel must be able to do, or is not done by the deadline.
    pub fn report(&mut self, deadline: Duration) -> Result<SendReport, String> {
        let line = self
            .said
            .recv_timeout(deadline)
            .map_err(|_| format!("no report of the sender within {deadline:?}"))?;
        serde_json::from_str(&line).map_err(|_| line)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
