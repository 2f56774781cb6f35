//! One file per command; each composes the line from hook to output.

mod app_log;
mod attach;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod export;
mod header;
pub mod info;
pub mod live;
mod playback;
pub mod record;
pub mod replay;
pub mod report;
mod run_loop;
pub mod selftest;
mod session;

use std::io::{self, IsTerminal as _};

use tracer_format::reader::Recording;

use crate::interrupt::Stdin;

/// Opens a trace, or standard input for `-`.
fn open_trace(name: &str, follow: bool) -> anyhow::Result<Recording> {
    if name != "-" {
        return Recording::open(name, follow);
    }
    if io::stdin().is_terminal() {
        anyhow::bail!("standard input is a terminal: pipe a trace into it, or name a file");
    }
    Ok(Recording::from_reader(name, Box::new(Stdin(io::stdin()))))
}

/// Why a command did not do its job.
#[derive(Debug)]
pub enum Failure {
    /// Arguments that contradict each other: exit status 2.
    Usage(String),
    /// The job is done, and the answer is an exit status of its own (`diff`).
    Verdict(u8),
    /// Everything else: exit status 1; the message says what to do next.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
