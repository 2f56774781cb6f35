//! The bar of progress: on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::commands::merged_reader::MergedReader;
use crate::render::progress::exporting;

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(200);
/// Events between two looks at the clock.
const LOOK: u64 = 512;

/// A line that is written over, and goes when it is dropped.
pub struct Progress {
    drawn: Instant,
    calls: u64,
}

impl Progress {
    /// `None` where nobody would see it, or where it would stand in the middle of the export.
    pub fn on_terminal(exports_to_terminal: bool) -> Option<Self> {
        (io::stderr().is_terminal() && !exports_to_terminal).then(|| Self {
            drawn: Instant::now(),
            calls: 0,
        })
    }

    /// Draws it when it is time.
    pub fn step(&mut self, events: u64, reader: &MergedReader) {
        self.calls += 1;
        if !self.calls.is_multiple_of(LOOK) || self.drawn.elapsed() < EVERY {
            return;
        }
        self.drawn = Instant::now();
        let (mut read, mut length) = (0, Some(0));
        for trace in reader.traces() {
            let (of_trace, whole) = trace.progress();
            read += of_trace;
            length = length.zip(whole).map(|(sum, whole)| sum + whole);
        }
        let _ = write!(io::stderr(), "\r{}\x1b[K", exporting(events, read, length));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
