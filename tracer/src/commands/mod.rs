//! One file per command; each composes the line from hook to output.

mod app_log;
#[cfg(feature = "capture")]
mod attach;
#[cfg(feature = "capture")]
mod capture;
pub mod completions;
pub mod diff;
#[cfg(feature = "capture")]
pub mod doctor;
pub mod explain;
pub mod export;
#[cfg(feature = "capture")]
mod header;
pub mod info;
#[cfg(feature = "capture")]
pub mod live;
pub(crate) mod merged_reader;
#[cfg(feature = "capture")]
pub mod record;
pub mod replay;
pub mod report;
#[cfg(feature = "capture")]
mod run_loop;
#[cfg(feature = "capture")]
pub mod selftest;

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, anyhow};

use crate::cli::{Color, Format, Printed};
use crate::interrupt::Stdin;
use crate::output::{FinishOutcome, Output, print, warn};
use crate::render::{self, Renderer};
use crate::sink::TerminalSink;
use tracer_format::reader::Recording;

/// Opens a trace, or standard input for `-`.
fn open_trace(name: &str, follow: bool) -> anyhow::Result<Recording> {
    if name != "-" {
        let mut recording = Recording::open(name, follow)?;
        recording.stop = crate::interrupt::has_come;
        return Ok(recording);
    }
    if io::stdin().is_terminal() {
        anyhow::bail!("standard input is a terminal: pipe a trace into it, or name a file");
    }
    Ok(Recording::from_reader(name, Box::new(Stdin(io::stdin()))))
}

/// Is standard output coloured?
fn colour(choice: Color) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    }
}

/// How a command prints.
fn renderer(printed: Printed) -> Renderer {
    if printed.format == Format::Json {
        return Renderer::Json;
    }
    if let Some((width, _)) = terminal_size::terminal_size_of(io::stdout()) {
        render::text::fit(width.0);
    }
    Renderer::Text {
        colour: colour(printed.color),
    }
}

/// Lines to standard output. After privileges are dropped: it starts a thread.
fn terminal(printed: Printed) -> anyhow::Result<TerminalSink> {
    let output = Output::stdout().context("cannot write to stdout")?;
    Ok(TerminalSink::new(renderer(printed), Some(output)))
}

/// Was everything printed?
fn printed(terminal: TerminalSink, interrupted: bool) -> Result<(), Failure> {
    let ended = terminal.end();
    match ended.context("stdout takes no more output: make room, or write elsewhere")? {
        FinishOutcome::Complete | FinishOutcome::ReaderGone => Ok(()),
        FinishOutcome::Incomplete { unwritten_bytes } => {
            warn(&format!(
                "{unwritten_bytes} bytes of output were not read in time and are gone"
            ));
            if interrupted {
                return Ok(());
            }
            let problem =
                "stdout does not take the rest of the output: read it, or write to a file";
            Err(anyhow!(problem).into())
        }
    }
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
