//! Times of log lines, in the forms that loggers write.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde_json::Value;

/// A time of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime {
    /// Since 1970, by the clock of the log.
    pub ns: i64,
    /// How exactly it is written, nanoseconds.
    pub precision_ns: i64,
    /// It had no zone: it was taken in that of the trace.
    pub local: bool,
}

const SECOND: i64 = 1_000_000_000;

/// Reads RFC 3339 (also with a blank, and a comma before the fraction), the same without a zone, or seconds,
/// milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
pub fn parse(value: &Value, zone: &TimeZone) -> Option<LogTime> {
    match value {
        // As it is written: a double has no nanoseconds.
        Value::Number(number) => epoch(&number.to_string()),
        Value::String(text) => {
            let text = text.trim();
            epoch(text).or_else(|| calendar(text, zone))
        }
        _ => None,
    }
}

fn epoch(text: &str) -> Option<LogTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    // Until the year 5138 seconds are below 10^11; milliseconds were above it from 1973 on, and so forth.
    let unit = match whole {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let mut ns = whole.checked_mul(unit)?;
    let (mut place, mut precision_ns) = (unit, unit);
    for digit in fraction.bytes() {
        place /= 10;
        if place == 0 {
            break;
        }
        precision_ns = place;
        ns = ns.checked_add(i64::from(digit - b'0') * place)?;
    }
    Some(LogTime {
        ns,
        precision_ns,
        local: false,
    })
}

fn calendar(text: &str, zone: &TimeZone) -> Option<LogTime> {
    // 2026-11-22 03:14:15,123 is how some write it.
    if !text.is_ascii() || text.len() > 64 || text.contains('[') {
        return None;
    }
    let text = text.replacen(',', ".", 1);
    let pieces = Pieces::parse(&text).ok()?;
    let time: DateTime = pieces.date().to_datetime(pieces.time()?);
    let offset = pieces.to_numeric_offset();
    let stamp: Timestamp = match offset {
        Some(offset) => offset.to_timestamp(time).ok()?,
        None => zone.to_timestamp(time).ok()?,
    };
    let fraction = text.split_once('.').map_or(0, |(_, rest)| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let precision_ns = (0..fraction.min(9)).fold(SECOND, |precision, _| precision / 10);
    Some(LogTime {
        ns: i64::try_from(stamp.as_nanosecond()).ok()?,
        precision_ns,
        local: offset.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Option<(i64, i64, bool)> {
        let found = parse(&value, &TimeZone::fixed(offset(9)))?;
        Some((found.ns, found.precision_ns, found.local))
    }

    #[test]
    fn calendar_times_are_read_with_and_without_a_zone() {
        for text in [
            "2026-11-22T03:34:15.123+09:00",
            "2026-11-21T18:34:15.123Z",
            "2026-11-22 03:34:15,123+09:00",
        ] {
            let read = read(json!(text));
            assert_eq!(
                read.map(|(_, precision, local)| (precision, local)),
                Some((1_000_000, false))
            );
            assert_eq!(
                read.map(|(ns, ..)| ns % SECOND),
                Some(123_000_000),
                "{text}"
            );
        }
        assert_eq!(
            read(json!("2026-11-22T03:34:15.123")),
            read(json!("2026-11-22 03:34:15,123"))
        );
        let (local, zoned) = (
            read(json!("2026-11-22T03:34:15.123")),
            read(json!("2026-11-22T03:34:15.123+09:00")),
        );
        assert_eq!(local.map(|l| l.0), zoned.map(|z| z.0));
        assert!(local.is_some_and(|l| l.2));
    }

    #[test]
    fn numbers_since_1970_are_told_apart_by_their_size() {
        let ns = 1_763_780_055_123_456_789;
        assert_eq!(
            read(json!(1_763_780_055)),
            Some((1_763_780_055 * SECOND, SECOND, false))
        );
        assert_eq!(
            read(json!(1_763_780_055_123_i64)),
            Some((ns / 1_000_000 * 1_000_000, 1_000_000, false))
        );
        assert_eq!(
            read(json!(1_763_780_055_123_456_i64)),
            Some((ns / 1000 * 1000, 1000, false))
        );
        assert_eq!(read(json!(ns)), Some((ns, 1, false)));
        assert_eq!(
            read(json!("1763780055.123")),
            Some((ns / 1_000_000 * 1_000_000, 1_000_000, false))
        );
        assert_eq!(read(json!(0.5)), Some((500_000_000, 100_000_000, false)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in [
            json!(""),
            json!("yesterday"),
            json!("-5"),
            json!(-5),
            json!(1e300),
            json!("99999999999999999999"),
            json!("2026-13-40T99:99:99Z"),
            json!("2026-11-22"),
            json!("．"),
            json!([]),
            json!(null),
        ] {
            assert_eq!(read(value.clone()), None, "{value}");
        }
    }
}
