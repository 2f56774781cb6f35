//! The tracer under test: this very program, started the way a user starts it, and the lines that it prints.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use tracer_capture::kernel::facts;

/// Longest start and longest end, on the slowest host.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its lines are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running `sendtrace live --format json`. Dropped, it is killed.
pub struct TracerProcess {
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Said {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Value>,
    /// Lines of stdout that are not JSON.
    garbled: Vec<String>,
    stderr: String,
    ended: bool,
}

/// All that a finished run said.
#[derive(Debug)]
pub struct Finished {
    pub lines: Vec<Value>,
    pub garbled: Vec<String>,
    pub stderr: String,
    pub status: ExitStatus,
}

impl TracerProcess {
    /// Starts `sendtrace live --format json ARGUMENTS` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start; the text says what it said.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(facts::own_program())
            .arg0("sendtrace")
            .args(["live", "--format", "json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the tracer")?;
        let out = child.stdout.take().context("no pipe from the tracer")?;
        let err = child.stderr.take().context("no pipe from the tracer")?;
        let said = Arc::new(Said::default());
        let (for_out, for_err) = (Arc::clone(&said), Arc::clone(&said));
        let readers = vec![
            thread::spawn(move || read_lines(out, &for_out)),
            thread::spawn(move || read_errors(err, &for_err)),
        ];
        let tracer = Self {
            child,
            said,
            readers,
        };
        let ready = tracer.wait(Instant::now() + PATIENCE, |_, stderr| {
            stderr.contains("Ready:").then_some(())
        });
        if ready.is_none() {
            let stderr = tracer.said.lock().stderr.trim().to_owned();
            bail!("the tracer did not start; it said: {stderr}");
        }
        Ok(tracer)
    }

    /// Polls every [`LOOK`] until there is an answer, the tracer has ended, or it is too late.
    pub fn wait<T>(
        &self,
        deadline: Instant,
        mut answer: impl FnMut(&[Value], &str) -> Option<T>,
    ) -> Option<T> {
        loop {
            let state = self.said.lock();
            let found = answer(&state.lines, &state.stderr);
            if found.is_some() || state.ended || Instant::now() >= deadline {
                return found;
            }
            drop(state);
            // Not at every line: they come in crowds, and all of them are compared.
            thread::sleep(LOOK);
        }
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn finish(mut self) -> anyhow::Result<Finished> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)
            .context("the tracer has ended by itself")?;
        // Its output ends with it.
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.said.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the tracer did not end on SIGINT");
            }
            state = self
                .said
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let status = self.child.wait().context("the tracer is gone")?;
        let state = std::mem::take(&mut *self.said.lock());
        Ok(Finished {
            lines: state.lines,
            garbled: state.garbled,
            stderr: state.stderr,
            status,
        })
    }
}

impl Drop for TracerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines as fast as they come: a tracer that must wait for its reader gives up on it.
fn read_lines(pipe: impl Read + Send, said: &Said) {
    let (sender, lines) = channel();
    thread::scope(|threads| {
        threads.spawn(move || {
            for line in BufReader::with_capacity(1 << 16, pipe)
                .lines()
                .map_while(Result::ok)
            {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        for line in lines {
            let parsed = serde_json::from_str(&line);
            let mut state = said.lock();
            match parsed {
                Ok(value) => state.lines.push(value),
                Err(_) => state.garbled.push(line),
            }
            drop(state);
            said.changed.notify_all();
        }
    });
    said.lock().ended = true;
    said.changed.notify_all();
}

fn read_errors(pipe: impl Read, said: &Said) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let mut state = said.lock();
        state.stderr.push_str(&line);
        state.stderr.push('\n');
        drop(state);
        said.changed.notify_all();
    }
}
