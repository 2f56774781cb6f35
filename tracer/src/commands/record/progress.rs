//! The line of progress: on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

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
            line(self.begun.elapsed().as_secs(), status)
        );
    }

    /// Takes the line away.
    pub fn clear(&self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

fn line(seconds: u64, status: &Status) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let size = size(status.bytes);
    let events = status.all_events();
    let mut line = format!("{hours}:{minutes:02}:{seconds:02}  {events} events  {size}");
    let lost = status.all_lost_events();
    if lost > 0 {
        line.push_str(&format!("  {lost} lost"));
    }
    if let Some(problem) = &status.problem {
        line.push_str(&format!("  ({problem})"));
    }
    line
}

/// Bytes with a binary unit.
fn size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_elapsed_events_size_and_loss() {
        let mut status = Status {
            bytes: 3 << 20,
            ..Status::default()
        };
        status.events[0] = 1200;
        assert_eq!(line(3725, &status), "1:02:05  1200 events  3.0 MiB");
        status.lost_events[1] = 7;
        status.problem = Some("no space left on device".to_owned());
        assert_eq!(
            line(0, &status),
            "0:00:00  1200 events  3.0 MiB  7 lost  (no space left on device)"
        );
    }
}
