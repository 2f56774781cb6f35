//! A report, for people and for programs.

mod json;
mod text;

pub(super) use text::{part, safe};

use super::Clock;
use tracer_diagnose::{Observed, Report};

/// One JSON object per line: `report`, then each `finding`, then the rows of the tables.
pub fn json(report: &Report) -> String {
    json::report(report)
}

/// For people.
pub fn text(report: &Report, colour: bool) -> String {
    text::report(report, colour)
}

/// The clock of a host for times that are of the wall clock already.
pub(super) fn clock(observed: &Observed, host: usize) -> Clock {
    let zone = observed.hosts.get(host).map(|host| host.zone.clone());
    Clock {
        wall_minus_boot_ns: 0,
        zone: zone.unwrap_or(jiff::tz::TimeZone::UTC),
    }
}

/// Nanoseconds since 1970 as a [`Clock`] takes them; `None` before 1970.
pub(super) fn since_1970(wall_ns: i64) -> Option<u64> {
    u64::try_from(wall_ns).ok()
}

/// Hours of the day in the zone of the host, with what happened in them: 24 rows, or none when nothing happened.
fn hours(report: &Report) -> Vec<(u8, tracer_diagnose::HourCounts)> {
    let mut rows = vec![tracer_diagnose::HourCounts::default(); 24];
    for (&(host, quarter), counts) in &report.tables.hours.0 {
        let clock = clock(&report.observed, host);
        let Some(hour) = jiff::Timestamp::from_second(quarter.saturating_mul(900))
            .ok()
            .map(|at| at.to_zoned(clock.zone).hour())
        else {
            continue;
        };
        let row = &mut rows[usize::try_from(hour).unwrap_or(0)];
        row.errors += counts.errors;
        row.timeouts += counts.timeouts;
        row.disconnects += counts.disconnects;
    }
    if rows
        .iter()
        .all(|row| *row == tracer_diagnose::HourCounts::default())
    {
        return Vec::new();
    }
    (0..24).zip(rows).collect()
}

#[cfg(test)]
mod tests;
