//! A path that a test makes long, slow, lossy or disorderly: a process that carries every frame between two hosts.
//! It stands in for netem where the kernel has none; `src/bin/relay.rs` is its other end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::program::build_dir;
use crate::world::Host;

/// The process that carries the frames. Dropped, it ends, and nothing is carried any more.
pub struct Relay {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Relay {
    /// Carries frames between two interfaces of this host, which has no addresses on them.
    pub fn start(host: &Host, one: &str, other: &str) -> Self {
        let mut child = Command::new(build_dir().join("relay"))
            .arg(host.path())
            .args([one, other])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay starts");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            commands,
            answers,
        }
    }

    /// Sets one direction anew: `there delay_us=20000 loss=100`.
    pub fn set(&mut self, line: &str) {
        writeln!(self.commands, "{line}").expect("the relay reads its commands");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the relay answers");
        assert_eq!(answer, "ok\n", "{line}");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
