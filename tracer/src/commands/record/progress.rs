//! The line of progress: on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use crate::render::progress::recording;
use tracer_format::writer::Status;

/// A line that is written over each second.
pub struct Progress {
    begun: Instant,
}

impl Progress {
    /// `None` where nobody would see it, or where events are printed to the same terminal.
    pub fn on_terminal(prints_events: bool) -> Option<Self> {
        let shared = prints_events && io::stdout().is_terminal();
        (io::stderr().is_terminal() && !shared).then(|| Self {
            begun: Instant::now(),
        })
    }

    /// Writes the line.
    pub fn show(&mut self, status: &Status) {
        let _ = write!(
            io::stderr(),
            "\r{}\x1b[K",
            recording(self.begun.elapsed().as_secs(), status)
        );
    }

    /// Takes the line away.
    pub fn clear(&self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
