//! The real program, started the way a user starts it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::program::{sendtrace, sendtrace_path, wait_exit};
use crate::run::{Run, Tally, describe};

/// How long the program may take to start or to end: on an emulated processor that is shared, seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines kept whole; of the rest only the tally is kept, so that a flood does not fill the memory.
const KEEP: usize = 20_000;

/// A running `sendtrace live --format json`, with everything it has said so far.
pub struct Tracer {
    child: Child,
    arguments: String,
    said: Arc<Said>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Said {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Value>,
    tally: Tally,
    last_line: Option<Value>,
    stderr: String,
    stdout_closed: bool,
}

impl Tracer {
    /// Starts `sendtrace live --format json ARGUMENTS` and waits until it says that it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = sendtrace();
        command.args(["live", "--format", "json"]).args(arguments);
        let tracer = Self::spawn(command);
        tracer.wait_ready();
        tracer
    }

    /// Starts a prepared command, with its output collected; does not wait.
    pub fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", sendtrace_path().display()));
        let said = Arc::new(Said::default());
        let (out, err) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let (for_out, for_err) = (Arc::clone(&said), Arc::clone(&said));
        let threads = vec![
            std::thread::spawn(move || collect(out, &for_out)),
            std::thread::spawn(move || collect_errors(err, &for_err)),
        ];
        let arguments = command
            .get_args()
            .map(|a| a.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            child,
            arguments,
            said,
            threads,
        }
    }

    /// Process id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program says that it is ready.
    pub fn wait_ready(&self) {
        self.until("Ready on stderr", PATIENCE, |state| {
            let ready = state.stderr.contains("Ready");
            assert!(
                ready || !state.stdout_closed,
                "{}",
                self.story(state, "ended before it was ready")
            );
            ready.then_some(())
        });
    }

    /// The first event, past or coming, for which this is true.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut checked = 0;
        self.until(what, deadline, |state| {
            let found = state.lines[checked..]
                .iter()
                .find(|line| line["type"] == "event" && wanted(line))
                .cloned();
            checked = state.lines.len();
            found
        })
    }

    /// Waits until this many events, past or coming, match; returns them.
    pub fn wait_for_count(
        &self,
        what: &str,
        count: usize,
        deadline: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Vec<Value> {
        let mut found = Vec::new();
        self.wait_for(what, deadline, |event| {
            if wanted(event) {
                found.push(event.clone());
            }
            found.len() >= count
        });
        found
    }

    /// Waits until the tally satisfies this.
    pub fn wait_tally(
        &self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Tally) -> bool,
    ) {
        self.until(what, deadline, |state| wanted(&state.tally).then_some(()));
    }

    fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut check: impl FnMut(&State) -> Option<T>,
    ) -> T {
        let end = Instant::now() + deadline;
        let mut state = self.said.lock();
        loop {
            if let Some(found) = check(&state) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stdout_closed {
                let story = self.story(&state, &format!("no {what} within {deadline:?}"));
                drop(state);
                panic!("{story}");
            }
            state = self
                .said
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the program is running");
    }

    /// Ends the run as Ctrl-C does and returns all it said.
    pub fn stop(self) -> Run {
        self.signal(Signal::SIGINT);
        self.finish(PATIENCE)
    }

    /// Waits for the end of a run that ends by itself or was signalled.
    pub fn finish(mut self, deadline: Duration) -> Run {
        let status = wait_exit(&mut self.child, deadline);
        let Some(status) = status else {
            let story = self.story(
                &self.said.lock(),
                &format!("still running after {deadline:?}"),
            );
            panic!("{story}");
        };
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let mut state = self.said.lock();
        Run::new(
            self.arguments.clone(),
            std::mem::take(&mut state.lines),
            state.tally.clone(),
            state.last_line.take(),
            state.stderr.clone(),
            status,
        )
    }

    /// Waits until the program is gone, however it ends.
    pub fn wait_gone(mut self) {
        assert!(
            wait_exit(&mut self.child, Duration::from_secs(5)).is_some(),
            "still running"
        );
    }

    fn story(&self, state: &State, what: &str) -> String {
        format!(
            "sendtrace {}: {what}\n{}",
            self.arguments,
            describe(&state.lines, &state.tally, &state.stderr)
        )
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines as fast as they come: parsing them must never make the program wait for its reader.
fn collect(pipe: impl Read + Send, said: &Said) {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut lines = BufReader::with_capacity(1 << 16, pipe).lines();
            while let Some(Ok(line)) = lines.next() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        parse(lines, said);
    });
}

fn parse(lines: std::sync::mpsc::Receiver<String>, said: &Said) {
    for line in lines {
        let full = said.lock().lines.len() >= KEEP;
        // Rare lines are kept at any load: the end of a run, what was counted, what was lost.
        let keep = !full
            || !line.starts_with(r#"{"type":"event""#)
            || line.contains(r#""event":"retransmit""#);
        let value = keep
            .then(|| serde_json::from_str::<Value>(&line).unwrap_or(Value::String(line.clone())));
        let mut state = said.lock();
        state.tally.add(&line);
        if let Some(value) = value {
            state.last_line = Some(value.clone());
            state.lines.push(value);
        }
        said.changed.notify_all();
    }
    said.lock().stdout_closed = true;
    said.changed.notify_all();
}

fn collect_errors(pipe: impl Read, said: &Said) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let mut state = said.lock();
        state.stderr.push_str(&line);
        state.stderr.push('\n');
        said.changed.notify_all();
    }
}

/// The stderr of a run that a test started by hand, read until it is ready and then on.
pub struct Ready {
    text: Arc<Said>,
    reader: JoinHandle<()>,
}

impl Ready {
    /// Waits for the ready line of `live`.
    pub fn wait(stderr: impl Read + Send + 'static) -> Self {
        Self::wait_for("Ready", stderr)
    }

    /// Waits until this has been said.
    pub fn wait_for(word: &str, stderr: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Said::default());
        let theirs = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            collect_errors(stderr, &theirs);
            theirs.lock().stdout_closed = true;
            theirs.changed.notify_all();
        });
        let ready = Self { text, reader };
        let end = Instant::now() + PATIENCE;
        let mut state = ready.text.lock();
        while !state.stderr.contains(word) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.stdout_closed,
                "not ready; stderr:\n{}",
                state.stderr
            );
            state = ready
                .text
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        ready
    }

    /// What was said so far.
    pub fn stderr(&self) -> String {
        self.text.lock().stderr.clone()
    }

    /// What was said until the end of the program.
    pub fn finish(self) -> String {
        let _ = self.reader.join();
        self.text.lock().stderr.clone()
    }
}
