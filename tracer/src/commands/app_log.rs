//! Reads an application's log, line by line, in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};

use tracer_diagnose::applog::{LONGEST, Lines};

/// Gives all lines of a file to `lines`.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path, lines: &mut Lines) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    take(BufReader::new(file), lines).with_context(|| path.display().to_string())
}

fn take(mut from: impl BufRead, lines: &mut Lines) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LONGEST as u64 + 1;
        let read = std::io::Read::take(&mut from, most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.ends_with(b"\n") || line.len() <= LONGEST {
            lines.line(&line);
        } else {
            lines.too_long();
            from.skip_until(b'\n')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use tracer_diagnose::applog::{AppLog, Fields, SocketIndex};

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        let mut bytes = b"ts=1 errno=5\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * LONGEST));
        bytes.extend(b"\nts=1 retry=2\n\nts=1 a=b");
        let mut lines = Lines::new(Fields::default(), TimeZone::UTC);
        take(bytes.as_slice(), &mut lines).unwrap();
        let log = AppLog::new(String::new(), lines, SocketIndex::default(), None, None);
        let counts = &log.counts;
        assert_eq!(
            (counts.lines, counts.bad, counts.without_failure),
            (5, 1, 1)
        );
        assert_eq!(counts.first_bad, Some((2, "is longer than 64 KiB")));
        assert_eq!(counts.outside, 2);
    }
}
