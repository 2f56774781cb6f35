//! The lines that are written over while something goes on.

#[cfg(feature = "capture")]
use tracer_format::writer::Status;

/// Width of the bar, columns.
const WIDTH: u64 = 30;

/// Of an export. `read` of `length` bytes; of standard input no length is known.
pub fn exporting(events: u64, read: u64, length: Option<u64>) -> String {
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

/// Of a recording that goes on for so long.
#[cfg(feature = "capture")]
pub fn recording(seconds: u64, status: &Status) -> String {
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
#[cfg(feature = "capture")]
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
    fn the_bar_grows_with_what_was_read_and_never_beyond_its_end() {
        let half = "#".repeat(15) + &".".repeat(15);
        assert_eq!(
            exporting(7, 50, Some(100)),
            format!("[{half}]  50 %  7 events")
        );
        let whole = "#".repeat(30);
        assert_eq!(
            exporting(9, 300, Some(100)),
            format!("[{whole}] 100 %  9 events")
        );
        assert_eq!(exporting(9, 300, None), "9 events");
        assert_eq!(exporting(0, 0, Some(0)), "0 events");
    }

    #[cfg(feature = "capture")]
    #[test]
    fn the_line_says_elapsed_events_size_and_loss() {
        let mut status = Status {
            bytes: 3 << 20,
            ..Status::default()
        };
        status.events[0] = 1200;
        assert_eq!(recording(3725, &status), "1:02:05  1200 events  3.0 MiB");
        status.lost_events[1] = 7;
        status.problem = Some("no space left on device".to_owned());
        assert_eq!(
            recording(0, &status),
            "0:00:00  1200 events  3.0 MiB  7 lost  (no space left on device)"
        );
    }
}
