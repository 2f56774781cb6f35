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
