//! From the clock of the kernel to the clock on the wall.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Turns nanoseconds of CLOCK_BOOTTIME into times of day.
#[derive(Clone, Debug)]
pub struct Clock {
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, nanoseconds.
    pub wall_minus_boot_ns: i128,
    /// The zone in which times are shown.
    pub zone: TimeZone,
}

impl Clock {
    /// RFC 3339 with nine digits and the offset of the zone; `None` outside the years −9999 to 9999.
    pub fn rfc3339(&self, boot_ns: u64) -> Option<String> {
        Some(
            self.zoned(boot_ns)?
                .strftime("%Y-%m-%dT%H:%M:%S.%9f%:z")
                .to_string(),
        )
    }

    /// Time of day with milliseconds, cut, not rounded: `03:14:15.123`.
    pub fn time_of_day(&self, boot_ns: u64) -> Option<String> {
        Some(self.zoned(boot_ns)?.strftime("%H:%M:%S.%3f").to_string())
    }

    /// Nanoseconds since 1970, as far as they fit.
    pub fn wall_ns(&self, boot_ns: u64) -> i64 {
        let wall_ns = self.wall_minus_boot_ns.saturating_add(boot_ns.into());
        wall_ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn zoned(&self, boot_ns: u64) -> Option<Zoned> {
        let wall_ns = self.wall_minus_boot_ns.checked_add(i128::from(boot_ns))?;
        Some(
            Timestamp::from_nanosecond(wall_ns)
                .ok()?
                .to_zoned(self.zone.clone()),
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;

    use super::*;

    fn clock(wall_minus_boot_ns: i128, hours: i8) -> Clock {
        Clock {
            wall_minus_boot_ns,
            zone: TimeZone::fixed(offset(hours)),
        }
    }

    #[test]
    fn times_have_nine_digits_and_the_offset_of_their_zone() {
        assert_eq!(
            clock(0, 0).rfc3339(1).unwrap(),
            "1970-01-01T00:00:00.000000001+00:00"
        );
        assert_eq!(
            clock(0, -5).rfc3339(1_000_000_000).unwrap(),
            "1969-12-31T19:00:01.000000000-05:00"
        );
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(5 * 3600 + 1800).unwrap());
        let clock = Clock {
            wall_minus_boot_ns: 0,
            zone,
        };
        assert_eq!(
            clock.rfc3339(0).unwrap(),
            "1970-01-01T05:30:00.000000000+05:30"
        );
    }

    #[test]
    fn milliseconds_are_cut() {
        assert_eq!(
            clock(0, 9).time_of_day(59_999_999_999).unwrap(),
            "09:00:59.999"
        );
    }

    #[test]
    fn a_time_out_of_range_is_missing() {
        for wall_minus_boot_ns in [i128::MAX, i128::MIN, 1_i128 << 100] {
            assert_eq!(clock(wall_minus_boot_ns, 0).rfc3339(u64::MAX), None);
        }
        assert!(clock(0, 0).rfc3339(u64::MAX).is_some());
    }
}
