//! What is compared, and what the statistics say of each.

use super::collector::{Count, CountKind, DiffCollector};
use super::judge::{judge_rate, judge_times};
use super::statistics::{self, Counts};
use super::values::Values;
use super::{Side, Verdict};
use tracer_model::errno;

/// What is assumed of segments sent again where there are too few samples to see how they come: TCP sends them in
/// flights.
const FLIGHTS: f64 = 3.0;
/// Traffic is known when at least this part of the time was sampled.
const SAMPLED: f64 = 0.5;

/// One measure, before and after.
#[derive(Clone, Debug)]
pub struct Measure {
    /// In snake case.
    pub id: String,
    /// For people.
    pub title: String,
    /// Does it count for the overall verdict?
    pub counts: bool,
    pub values: Measured,
    pub verdict: Verdict,
    /// `None` where nothing could be tested.
    pub p: Option<f64>,
    /// Why it is not more, for people.
    pub note: Option<String>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub enum Measured {
    Rate {
        /// `per hour`, `/10^6 segments`.
        unit: &'static str,
        /// Of what the events are counted per, so many make one unit.
        per: f64,
        counts: Counts,
        /// See [`statistics::dispersion`].
        dispersion: f64,
    },
    /// Microseconds.
    Times {
        before: Times,
        after: Times,
        /// Cliff's delta; `None` where it was not tested.
        delta: Option<f64>,
    },
}

/// A distribution, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    pub count: u64,
    pub median: Option<f64>,
    pub p90: Option<f64>,
    pub max: Option<f64>,
}

/// What counts are divided by.
#[derive(Clone, Copy)]
struct Exposure {
    suffix: &'static str,
    unit: &'static str,
    per: f64,
    before: f64,
    after: f64,
}

/// All measures. `narrow`: only part of what the host did is looked at, so that its counters do not apply.
pub fn all(before: &Side, after: &Side, narrow: bool) -> Vec<Measure> {
    let time = Exposure {
        suffix: "per_hour",
        unit: "per hour",
        per: 3600.0,
        before: before.seconds(),
        after: after.seconds(),
    };
    let sampled = |side: &Side| side.collector.traffic.sampled_ns as f64 / 1e9;
    let known = !narrow
        && [before, after]
            .iter()
            .all(|side| sampled(side) >= SAMPLED * side.seconds() && side.seconds() > 0.0);
    let traffic = |suffix, unit, of: fn(&DiffCollector) -> u64| {
        let (of_before, of_after) = (of(&before.collector), of(&after.collector));
        (known && of_before > 0 && of_after > 0).then_some(Exposure {
            suffix,
            unit,
            per: 1e6,
            before: of_before as f64,
            after: of_after as f64,
        })
    };
    let segments = traffic("per_million_segments", "/10^6 segments", |collector| {
        collector.traffic.segments
    });
    let packets = traffic("per_million_packets", "/10^6 packets", |collector| {
        collector.traffic.packets()
    });
    let sends = sends(before, after);
    let mut measures = Vec::new();
    // The counters are of one namespace, and may not be of the one where it happened.
    let here = |what| {
        [before, after].iter().all(|side| {
            let count = side.collector.count(what);
            count.sampled.saturating_mul(2) >= count.all
        })
    };
    let of = |traffic: Option<Exposure>, what| traffic.filter(|_| here(what));
    let errors = sends.or(of(packets, CountKind::SendErrors));
    let disconnects = of(segments, CountKind::Disconnects);
    let timeouts = of(segments, CountKind::Timeouts);
    let kinds = [
        ("send_errors", "send errors", CountKind::SendErrors, errors),
        (
            "disconnects",
            "disconnects",
            CountKind::Disconnects,
            disconnects,
        ),
        ("timeouts", "time-outs", CountKind::Timeouts, timeouts),
    ];
    for (id, title, what, traffic) in kinds {
        if let Some(exposure) = traffic {
            measures.push(rate(before, after, (id, title, what), exposure, true));
        }
        let counts = traffic.is_none();
        measures.push(rate(before, after, (id, title, what), time, counts));
        measures.extend(of_errnos(before, after, what, traffic.unwrap_or(time)));
    }
    let counted =
        of(segments, CountKind::Resent).map(|exposure| host_rate(before, after, exposure));
    let resent = ("segments_resent", "segments sent again", CountKind::Resent);
    measures.push(rate(before, after, resent, time, counted.is_none()));
    measures.extend(counted);
    type Get = fn(&DiffCollector) -> &Values;
    let distributions: [(&str, &str, Get, CountKind); 3] = [
        (
            "stall_us",
            "stall of a connection",
            |i| &i.stalls.lengths_us,
            CountKind::Timeouts,
        ),
        (
            "rto_us",
            "longest RTO of a stall",
            |i| &i.stalls.rtos_us,
            CountKind::Timeouts,
        ),
        (
            "blocked_us",
            "blocked time of a failed send",
            |i| &i.blocked_us,
            CountKind::SendErrors,
        ),
    ];
    for (id, title, get, what) in distributions {
        measures.push(times(before, after, (id, title, what), get));
    }
    measures
}

/// Sends, failed ones too, where both recordings have all of them.
fn sends(before: &Side, after: &Side) -> Option<Exposure> {
    let of = |side: &Side| {
        let has = side.has(CountKind::Sends) && side.has(CountKind::SendErrors);
        let tried = side.collector.count(CountKind::Sends).all
            + side.collector.count(CountKind::SendErrors).all;
        (has && tried > 0).then_some(tried as f64)
    };
    Some(Exposure {
        suffix: "per_million_sends",
        unit: "/10^6 sends",
        per: 1e6,
        before: of(before)?,
        after: of(after)?,
    })
}

fn of_errnos(before: &Side, after: &Side, what: CountKind, exposure: Exposure) -> Vec<Measure> {
    let (id, title, of): (&str, &str, fn(u32) -> CountKind) = match what {
        CountKind::SendErrors => ("send_errors", "send errors", CountKind::SendError),
        CountKind::Disconnects => ("disconnects", "disconnects", CountKind::Disconnect),
        _ => return Vec::new(),
    };
    let kinds = [before, after]
        .into_iter()
        .flat_map(|side| side.collector.counts.keys());
    let mut errnos: Vec<u32> = kinds
        .filter_map(|kind| match kind {
            CountKind::SendError(errno) | CountKind::Disconnect(errno) if of(*errno) == *kind => {
                Some(*errno)
            }
            _ => None,
        })
        .collect();
    errnos.sort_unstable();
    errnos.dedup();
    let one = |errno: u32| {
        let name = errno::display(errno);
        let id = format!("{id}.{}", name.replace(' ', "_"));
        let title = format!("{title}: {name}");
        rate(before, after, (&id, &title, of(errno)), exposure, false)
    };
    errnos.into_iter().map(one).collect()
}

/// Events of one kind over an exposure.
fn rate(
    before: &Side,
    after: &Side,
    (id, title, what): (&str, &str, CountKind),
    exposure: Exposure,
    counts: bool,
) -> Measure {
    let (of_before, of_after) = (before.collector.count(what), after.collector.count(what));
    let count = |count: &Count| {
        // The counters are those of one namespace.
        if exposure.suffix.ends_with("segments") || exposure.suffix.ends_with("packets") {
            count.sampled as f64
        } else {
            count.all as f64
        }
    };
    let pieces = |side: &Side, count: &Count| {
        side.observed
            .span
            .map_or(Vec::new(), |span| count.cells.pieces(span))
    };
    let dispersion =
        statistics::dispersion(&[&pieces(before, &of_before), &pieces(after, &of_after)])
            .unwrap_or(1.0);
    let both = Counts {
        before: count(&of_before),
        after: count(&of_after),
        exposure_before: exposure.before,
        exposure_after: exposure.after,
    };
    let (verdict, p, note) = match unrecorded(before, after, what) {
        Some(note) => (Verdict::TooLittleData, None, Some(note)),
        None => judge_rate(both, dispersion),
    };
    Measure {
        id: format!("{id}_{}", exposure.suffix),
        title: title.to_owned(),
        counts,
        values: Measured::Rate {
            unit: exposure.unit,
            per: exposure.per,
            counts: both,
            dispersion,
        },
        verdict,
        p,
        note,
    }
}

/// The host's own count of segments sent again.
fn host_rate(before: &Side, after: &Side, exposure: Exposure) -> Measure {
    let [one, other] = [before, after].map(|side| &side.collector.traffic);
    let dispersion = statistics::dispersion(&[&grouped(&one.cells), &grouped(&other.cells)]);
    let dispersion = dispersion.unwrap_or(FLIGHTS);
    let counts = Counts {
        before: one.resent_segments as f64,
        after: other.resent_segments as f64,
        exposure_before: exposure.before,
        exposure_after: exposure.after,
    };
    let (verdict, p, note) = judge_rate(counts, dispersion);
    Measure {
        id: "retransmit_rate".to_owned(),
        title: "RetransSegs / OutSegs".to_owned(),
        counts: true,
        values: Measured::Rate {
            unit: "%",
            per: 100.0,
            counts,
            dispersion,
        },
        verdict,
        p,
        note,
    }
}

/// Samples in at most 20 groups.
fn grouped(cells: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = cells.len().div_ceil(20).max(1);
    let sum = |group: &[(f64, f64)]| {
        let mut sum = (0.0, 0.0);
        for cell in group {
            sum = (sum.0 + cell.0, sum.1 + cell.1);
        }
        sum
    };
    cells.chunks(each).map(sum).collect()
}

/// What speaks against any comparison of a kind.
fn unrecorded(before: &Side, after: &Side, what: CountKind) -> Option<String> {
    let event_kind = DiffCollector::event_kind(what);
    match (before.has(what), after.has(what)) {
        (true, true) => None,
        (false, true) => Some(format!("{event_kind} was not recorded before")),
        (true, false) => Some(format!("{event_kind} was not recorded after")),
        (false, false) => Some(format!("{event_kind} was not recorded")),
    }
}

fn times(
    before: &Side,
    after: &Side,
    (id, title, what): (&str, &str, CountKind),
    get: fn(&DiffCollector) -> &Values,
) -> Measure {
    let (of_before, of_after) = (get(&before.collector), get(&after.collector));
    let (one, other) = (of_before.sorted(), of_after.sorted());
    let summary = |values: &Values, sorted: &[f64]| Times {
        count: values.seen(),
        median: statistics::quantile(sorted, 0.5),
        p90: statistics::quantile(sorted, 0.9),
        max: sorted.last().copied(),
    };
    let (verdict, ranks, note) = match unrecorded(before, after, what) {
        Some(note) => (Verdict::TooLittleData, None, Some(note)),
        None => judge_times(&one, &other),
    };
    Measure {
        id: id.to_owned(),
        title: title.to_owned(),
        counts: true,
        values: Measured::Times {
            before: summary(of_before, &one),
            after: summary(of_after, &other),
            delta: ranks.map(|ranks| ranks.delta),
        },
        verdict,
        p: ranks.map(|ranks| ranks.p),
        note,
    }
}
