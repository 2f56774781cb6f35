//! Names of segments: in the order of their names they are in the order of time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const PREFIX: &str = "sendtrace-";
const SUFFIX: &str = ".trace";
/// Behind the name of a window that is still being written.
pub const PART: &str = ".part";

/// `sendtrace-20261122T031415Z-000001.trace`: UTC of the first block, and a number that grows by one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Of all segments that are or were in the folder; what counts for the order.
    pub number: u64,
    /// `20261122T031415Z`.
    pub stamp: String,
}

impl Name {
    /// The name after `last`, for a segment that begins at `wall_ns` (since 1970). When the wall clock was set
    /// back, the time of `last` is kept, so that names stay in order.
    pub fn next(last: Option<&Self>, wall_ns: i128) -> Self {
        let stamp = stamp(wall_ns);
        match last {
            None => Self { number: 1, stamp },
            Some(last) => Self {
                number: last.number.saturating_add(1),
                stamp: stamp.max(last.stamp.clone()),
            },
        }
    }

    /// `None` when it is not a name of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (stamp, number) = name
            .strip_prefix(PREFIX)?
            .strip_suffix(SUFFIX)?
            .split_once('-')?;
        let shape = stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        (stamp.len() == 16 && shape && digits && number.len() >= 6).then_some(())?;
        Some(Self {
            number: number.parse().ok()?,
            stamp: stamp.to_owned(),
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{PREFIX}{}-{:06}{SUFFIX}", self.stamp, self.number)
    }
}

fn stamp(wall_ns: i128) -> String {
    let time = Timestamp::from_nanosecond(wall_ns).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.max(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHT: i128 = 1_795_317_255_000_000_000;

    #[test]
    fn a_name_comes_back_as_it_was() {
        let name = Name::next(None, NIGHT);
        assert_eq!(name.to_string(), "sendtrace-20261122T031415Z-000001.trace");
        assert_eq!(Name::parse(&name.to_string()), Some(name));
    }

    #[test]
    fn names_stay_in_order_when_the_clock_is_set_back() {
        let first = Name::next(None, NIGHT);
        let second = Name::next(Some(&first), NIGHT - 3_600_000_000_000);
        assert!(first.to_string() < second.to_string());
        assert_eq!(second.number, 2);
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "sendtrace-.trace",
            "sendtrace-20261122T031415Z-000001.trace.part",
            "sendtrace-20261122T031415Z-1.trace",
            "sendtrace-20261122T031415Z-00000x.trace",
            "sendtrace-20261122X031415Z-000001.trace",
            "x-sendtrace-20261122T031415Z-000001.trace",
            "sendtrace-20261122T031415Z-99999999999999999999999.trace",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
