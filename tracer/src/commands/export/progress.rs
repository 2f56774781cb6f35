//! The bar of progress: on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::commands::merged_reader::MergedReader;

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(200);
/// Events between two looks at the clock.
const LOOK: u64 = 512;
/// Width of the bar, columns.
const WIDTH: u64 = 30;

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
        let _ = write!(io::stderr(), "\r{}\x1b[K", line(events, read, length));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

/// `read` of `length` bytes; of standard input no length is known.
fn line(events: u64, read: u64, length: Option<u64>) -> String {
    let Some(length) = length.filter(|length| *length > 0) else {
        return format!("{events} events");
    };
    // What is still being written grows behind what was asked.
    let part =
        |of: u64| (u128::from(read.min(length)) * u128::from(of) / u128::from(length)) as u64;
    let (done, percent) = (part(WIDTH), part(100));
    let bar: String = (0..WIDTH)
        .map(|at| if at < done { '#' } else { '.' })
        .collect();
    format!("[{bar}] {percent:3} %  {events} events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_what_was_read_and_never_beyond_its_end() {
        let half = "#".repeat(15) + &".".repeat(15);
        assert_eq!(line(7, 50, Some(100)), format!("[{half}]  50 %  7 events"));
        let whole = "#".repeat(30);
        assert_eq!(
            line(9, 300, Some(100)),
            format!("[{whole}] 100 %  9 events")
        );
        assert_eq!(line(9, 300, None), "9 events");
        assert_eq!(line(0, 0, Some(0)), "0 events");
    }
}
