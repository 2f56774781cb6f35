//! `sendtrace record`, started the way a user starts it, and what `replay` makes of what it wrote.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::SOON;
use crate::program::{sendtrace, wait_exit};
use crate::run::{Run, Tally};
use crate::tracer::Ready;
use crate::world::Host;

/// How often a file that another process writes is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A running `sendtrace record`; what it prints goes to a file, byte for byte.
pub struct Recorder {
    child: Child,
    ready: Option<Ready>,
    printed: PathBuf,
}

/// How a program ended, and everything that it said.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Recorder {
    /// Starts `sendtrace record ARGUMENTS` and waits until it is ready. `printed` is where its standard output
    /// goes.
    pub fn start(printed: &Path, arguments: &[&str]) -> Self {
        let mut command = sendtrace();
        command.arg("record").args(arguments);
        Self::spawn(printed, command)
    }

    /// As [`Self::spawn`], inside of a host's network namespace, as an operator there would start it.
    pub fn inside(host: &Host, printed: &Path, command: Command) -> Self {
        // A namespace belongs to a thread, and the process that the thread starts inherits it.
        let recorder = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(host.path()).expect("the namespace's file");
                nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                    .expect("root may enter");
                Self::spawn(printed, command)
            });
            inside.join()
        });
        recorder.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// As [`Self::start`], with a command that becomes the recorder.
    pub fn spawn(printed: &Path, command: Command) -> Self {
        Self::ready(printed, command, "Recording: ")
    }

    /// `live`, as a program beside a recorder.
    pub fn live(printed: &Path, arguments: &[&str]) -> Self {
        let mut command = sendtrace();
        command.arg("live").args(arguments);
        Self::ready(printed, command, "Ready: ")
    }

    /// Starts a command and waits until it has said this.
    fn ready(printed: &Path, mut command: Command, word: &str) -> Self {
        let out = File::create(printed).expect("a file for the output");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        let ready = Some(Ready::wait_for(word, stderr));
        Self {
            child,
            ready,
            printed: printed.to_owned(),
        }
    }

    /// Process id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.ready.as_ref().map(Ready::stderr).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the program is running");
    }

    /// Waits for an event among what `--print --format json` printed.
    pub fn wait_printed(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) {
        wait_until(what, || {
            events(&fs::read_to_string(&self.printed).unwrap_or_default())
                .iter()
                .any(&mut wanted)
        });
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) -> Said {
        self.signal(Signal::SIGINT);
        self.finish()
    }

    /// Ends it as nothing can be caught.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("our child");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Said {
        let status = wait_exit(&mut self.child, SOON);
        let status = status.unwrap_or_else(|| panic!("still running; stderr:\n{}", self.stderr()));
        Said {
            status,
            stdout: fs::read_to_string(&self.printed).unwrap_or_default(),
            stderr: self.ready.take().map(Ready::finish).unwrap_or_default(),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// What was printed as JSON, as a run whose equations can be checked.
    pub fn run(&self, arguments: &str) -> Run {
        let mut tally = Tally::default();
        let mut lines = Vec::new();
        for line in self.stdout.lines() {
            tally.add(line);
            let line = serde_json::from_str(line);
            lines.push(line.unwrap_or_else(|error| panic!("{arguments}: {error}")));
        }
        let last = lines.last().cloned();
        let stderr = self.stderr.clone();
        Run::new(
            arguments.to_owned(),
            lines,
            tally,
            last,
            stderr,
            self.status,
        )
    }
}

/// Runs `sendtrace replay ARGUMENTS` to its end.
pub fn replay<S: AsRef<OsStr>>(arguments: &[S]) -> Said {
    let output = sendtrace()
        .arg("replay")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    Said {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The lines of type `event` among lines of JSON; a last line that is not whole is left out.
pub fn events(text: &str) -> Vec<Value> {
    lines(text, "event")
}

/// The lines of one type among lines of JSON.
pub fn lines(text: &str, kind: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["type"] == kind)
        .collect()
}

/// Looks until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "no {what} within {SOON:?}");
        thread::sleep(LOOK);
    }
}
