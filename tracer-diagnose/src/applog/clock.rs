//! How far the log's clock is ahead of that of the trace.

use std::collections::BTreeMap;

use super::parse::Entry;
use super::socket_index::SocketIndex;

/// Errors that must agree before an offset is believed.
const LEAST: usize = 3;
/// They must lie so close together, nanoseconds: a log line is written a moment after the error.
const SPREAD_NS: i64 = 500_000_000;
/// A smaller offset cannot be distinguished from the time that an application takes to write a line.
const SAME_NS: i64 = 1_000_000_000;
/// No clock is so far off, nor a zone so wrong, nanoseconds.
const FAR_NS: i64 = 15 * 3600 * 1_000_000_000;
/// Lines and events of one kind that are looked at.
const ALIKE: usize = 300;
/// Part of the errors that must agree.
const PART: f64 = 0.6;

/// What is known of the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offset {
    /// The user said it.
    Given(i64),
    /// The errors of both agree without one.
    Same { matches: usize, median_ns: i64 },
    /// Median of the differences; so many errors agree, within so much.
    Estimated {
        offset_ns: i64,
        matches: usize,
        spread_ns: i64,
    },
    /// Taken to be none, because of too few errors that both know.
    Assumed { matches: usize },
    /// Taken to be none, although several offsets fit.
    Unclear,
}

impl Offset {
    /// What is taken from the times of the log, nanoseconds.
    pub const fn ns(&self) -> i64 {
        match self {
            Self::Given(ns) => *ns,
            Self::Estimated { offset_ns, .. } => *offset_ns,
            _ => 0,
        }
    }

    /// One word for JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Given(_) => "given",
            Self::Same { .. } => "same",
            Self::Estimated { .. } => "estimated",
            Self::Assumed { .. } => "assumed",
            Self::Unclear => "unclear",
        }
    }
}

/// Estimates it from the errors that both the log and the trace know.
pub fn estimate(entries: &[Entry], socket_index: &SocketIndex) -> Offset {
    let (differences, errors) = differences(entries, socket_index);
    let needed = LEAST.max((errors as f64 * PART).ceil() as usize);
    // A window of this width: of each line in it the difference that is nearest to the middle of all, or to 0.
    let windows = |from_ns: i64, near_ns: Option<i64>| {
        let start = differences.partition_point(|(ns, _)| *ns < from_ns);
        let rest = &differences[start..];
        let inside = &rest[..rest.partition_point(|(ns, _)| *ns - from_ns <= SPREAD_NS)];
        let middle = near_ns.or_else(|| inside.get(inside.len() / 2).map(|(ns, _)| *ns));
        let off = |ns: i64| (ns - middle.unwrap_or(0)).abs();
        let mut lines: BTreeMap<u64, i64> = BTreeMap::new();
        for (ns, line) in inside {
            let known = lines.entry(*line).or_insert(*ns);
            if off(*ns) < off(*known) {
                *known = *ns;
            }
        }
        let mut times: Vec<_> = lines.into_values().collect();
        times.sort_unstable();
        times
    };
    // The clock of a log on the same host is the same clock: that comes first.
    let near = windows(-SPREAD_NS / 2, Some(0));
    if near.len() >= needed {
        return Offset::Same {
            matches: near.len(),
            median_ns: near[near.len() / 2],
        };
    }
    let all: Vec<_> = differences
        .iter()
        .map(|(ns, _)| (windows(*ns, None), *ns))
        .collect();
    let Some((best, from_ns)) = all.iter().max_by_key(|(times, _)| times.len()) else {
        return Offset::Assumed { matches: 0 };
    };
    if best.len() < needed {
        return Offset::Assumed {
            matches: best.len().min(near.len()),
        };
    }
    let mut others = all
        .iter()
        .filter(|(_, ns)| (ns - from_ns).abs() > 2 * SPREAD_NS);
    if others.any(|(times, _)| times.len() * 2 > best.len()) {
        return Offset::Unclear;
    }
    let offset_ns = best[best.len() / 2];
    if offset_ns.abs() < SAME_NS {
        return Offset::Same {
            matches: best.len(),
            median_ns: offset_ns,
        };
    }
    Offset::Estimated {
        offset_ns,
        matches: best.len(),
        spread_ns: best[best.len() - 1] - best[0],
    }
}

/// Time of the log less time of the event, of every line and every event with the same errno and destination; and
/// how many errors could agree at most.
fn differences(entries: &[Entry], socket_index: &SocketIndex) -> (Vec<(i64, u64)>, usize) {
    let mut lines: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        if let Some(errno) = entry.errno
            && (entry.peer.is_some() || entry.pid.is_some())
        {
            lines.entry(errno).or_default().push(entry);
        }
    }
    let (mut all, mut errors) = (Vec::new(), 0);
    for (errno, lines) in lines {
        let sockets = socket_index.sockets.iter().filter_map(|socket| {
            let facts: Vec<_> = socket
                .facts
                .iter()
                .filter(|fact| fact.what.errno() == Some(errno))
                .map(|fact| fact.wall_ns)
                .take(ALIKE)
                .collect();
            (!facts.is_empty()).then_some((socket, facts))
        });
        let sockets: Vec<_> = sockets.take(ALIKE).collect();
        for entry in lines.into_iter().take(ALIKE) {
            let before = all.len();
            for (socket, facts) in &sockets {
                let fits = entry
                    .peer
                    .as_ref()
                    .is_none_or(|peer| socket.is_towards(peer))
                    && entry.pid.is_none_or(|pid| socket.is_of(pid));
                if fits {
                    let near = facts.iter().map(|at| entry.time.ns.saturating_sub(*at));
                    all.extend(
                        near.filter(|ns| ns.abs() < FAR_NS)
                            .map(|ns| (ns, entry.line)),
                    );
                }
            }
            errors += usize::from(all.len() > before);
        }
    }
    all.sort_unstable();
    all.truncate(50_000);
    (all, errors)
}
