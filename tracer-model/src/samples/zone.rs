//! The time zone of the host that records, whole: replay prints its times wherever it runs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

/// No zone's file is near this long.
const LONGEST: usize = 64 * 1024;

/// A time zone that needs no database to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// Its name in the IANA database: `Asia/Tokyo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its rules (TZif, RFC 9636), in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tzif: Option<String>,
    /// Its rule as `TZ` gave it (POSIX): `JST-9`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posix: Option<String>,
    /// Offset from UTC when the trace began, seconds: when there is nothing better.
    pub utc_offset_s: i32,
}

impl Zone {
    /// Describes `zone`, in which times are printed on this host. `tz` is the environment's `TZ`, which comes
    /// before the host's own setting (tzset(3)). Rules are only taken when they agree with `zone` at `now`.
    /// `read` gives a file of the host by its path below the root.
    pub fn of(
        zone: &TimeZone,
        tz: Option<&str>,
        now: Timestamp,
        read: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        let offset = zone.to_offset(now);
        let name = zone.iana_name().map(str::to_owned);
        let posix = tz
            .filter(|text| TimeZone::posix(text).is_ok_and(|posix| posix == *zone))
            .map(str::to_owned);
        let database = name.iter().map(|name| format!("usr/share/zoneinfo/{name}"));
        let own = tz.is_none().then(|| "etc/localtime".to_owned());
        let tzif = database
            .chain(own)
            .filter(|_| posix.is_none())
            .filter_map(|path| read(&path))
            .filter(|bytes| bytes.len() <= LONGEST)
            .find(|bytes| {
                TimeZone::tzif(name.as_deref().unwrap_or_default(), bytes)
                    .is_ok_and(|found| found.to_offset(now) == offset)
            });
        Self {
            name,
            tzif: tzif.map(|bytes| STANDARD.encode(bytes)),
            posix,
            utc_offset_s: offset.seconds(),
        }
    }

    /// The zone again: by its rules, else by its name in this machine's database, else as a fixed offset.
    /// `None` when not even that is one.
    pub fn time_zone(&self) -> Option<TimeZone> {
        let name = self.name.as_deref();
        let rules = || {
            let text = self
                .tzif
                .as_ref()
                .filter(|text| text.len() <= 2 * LONGEST)?;
            TimeZone::tzif(name.unwrap_or_default(), &STANDARD.decode(text).ok()?).ok()
        };
        let posix = || TimeZone::posix(self.posix.as_ref()?).ok();
        let named = || TimeZone::get(name?).ok();
        let fixed = || {
            Some(TimeZone::fixed(
                Offset::from_seconds(self.utc_offset_s).ok()?,
            ))
        };
        rules().or_else(posix).or_else(named).or_else(fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Version 2 with no transitions: the zone is what its last line says.
    fn tzif(posix: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.extend(b"TZif2");
            bytes.extend([0; 15]);
            // isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt
            for count in [0_u32, 0, 0, 0, 1, 4] {
                bytes.extend(count.to_be_bytes());
            }
            bytes.extend(32_400_i32.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(b"JST\0");
        }
        bytes.extend(format!("\n{posix}\n").bytes());
        bytes
    }

    #[test]
    fn the_rules_of_the_hosts_zone_come_back_without_a_database() {
        let read = |path: &str| (path == "etc/localtime").then(|| tzif("JST-9"));
        let tokyo = TimeZone::tzif("", &tzif("JST-9")).unwrap();
        let zone = Zone::of(&tokyo, None, NOW, read);
        assert!(zone.tzif.is_some());
        let text = serde_json::to_string(&zone).unwrap();
        let back: Zone = serde_json::from_str(&text).unwrap();
        assert_eq!(back, zone);
        assert_eq!(back.time_zone().unwrap().to_offset(NOW).seconds(), 32_400);
    }

    #[test]
    fn rules_that_disagree_with_the_zone_in_use_are_not_taken() {
        let read = |path: &str| (path == "etc/localtime").then(|| tzif("JST-9"));
        let zone = Zone::of(&TimeZone::UTC, None, NOW, read);
        assert_eq!(zone.tzif, None);
        assert_eq!(zone.time_zone().unwrap().to_offset(NOW).seconds(), 0);
    }

    #[test]
    fn a_rule_of_the_environment_comes_back() {
        let rule = "EST5EDT,M3.2.0,M11.1.0";
        let posix = TimeZone::posix(rule).unwrap();
        let zone = Zone::of(&posix, Some(rule), NOW, |_| None);
        assert_eq!(
            (zone.posix.as_deref(), zone.utc_offset_s),
            (Some(rule), -18_000)
        );
        assert_eq!(zone.time_zone(), Some(posix));
    }

    #[test]
    fn a_damaged_zone_falls_back_on_its_offset_and_a_mad_one_on_nothing() {
        let damaged = Zone {
            name: Some("Not/AZone".to_owned()),
            tzif: Some("!!!".to_owned()),
            posix: Some("\0".to_owned()),
            utc_offset_s: -3600,
        };
        assert_eq!(damaged.time_zone().unwrap().to_offset(NOW).seconds(), -3600);
        let mad = Zone {
            utc_offset_s: i32::MAX,
            ..Zone::default()
        };
        assert_eq!(mad.time_zone(), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn this_hosts_zone_can_be_described() {
        let here = TimeZone::system();
        let zone = Zone::of(
            &here,
            std::env::var("TZ").ok().as_deref(),
            Timestamp::now(),
            |path| std::fs::read(format!("/{path}")).ok(),
        );
        let back = zone.time_zone().unwrap();
        assert_eq!(
            back.to_offset(Timestamp::now()),
            here.to_offset(Timestamp::now())
        );
    }
}
