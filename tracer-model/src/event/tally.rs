//! What is counted instead of listed, and the totals of a run.

use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EventKind, Flow, Owner};

/// Why something was counted and not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountedKind {
    /// A send on a non-blocking socket that would have blocked (EAGAIN).
    WouldBlock,
    /// A send of which the kernel took a part.
    PartialSend,
    /// A dropped packet that belongs to no local socket.
    NoLocalSocket,
    /// An event whose flow found no place in the aggregation map.
    BeyondMap,
    /// A packet that was freed with nothing lost (a duplicate, for one).
    Benign,
    /// Events that a replay adds up because it was asked to.
    Aggregated,
}

impl CountedKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WouldBlock,
        Self::PartialSend,
        Self::NoLocalSocket,
        Self::BeyondMap,
        Self::Benign,
        Self::Aggregated,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WouldBlock => "would_block",
            Self::PartialSend => "partial_send",
            Self::NoLocalSocket => "no_local_socket",
            Self::BeyondMap => "beyond_map",
            Self::Benign => "benign",
            Self::Aggregated => "aggregated",
        }
    }
}

/// A count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The kind that its events would have had.
    pub event_kind: EventKind,
    /// Why it was counted.
    pub kind: CountedKind,
    /// Name of the errno, drop reason, cause…; `None` when the kind says it all.
    pub code: Option<String>,
    /// How many.
    pub count: u64,
    /// Bytes, where they were counted: not taken (partial sends), or dropped.
    pub bytes: Option<u64>,
    /// First, nanoseconds of CLOCK_BOOTTIME.
    pub first_boot_ns: Option<u64>,
    /// Last, nanoseconds of CLOCK_BOOTTIME.
    pub last_boot_ns: Option<u64>,
    /// Whose, where it was counted per owner.
    pub owner: Option<Owner>,
    /// Between whom, where it was counted per flow.
    pub flow: Option<Flow>,
}

/// The counters of one event kind over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventTotals {
    /// Events that the hooks saw.
    pub seen: u64,
    /// Events that a filter removed.
    pub filtered: u64,
    /// Events for which a place in the ring was asked.
    pub emitted: u64,
    /// Events that were counted per flow or per code instead.
    pub aggregated: u64,
    /// Events that the reader got, by its own count.
    pub delivered: u64,
    /// Events for which the ring had no room.
    pub lost: u64,
    /// Runs of the hooks that the kernel skipped; `None` where it does not tell.
    pub missed: Option<u64>,
    /// A sum or difference did not fit: the numbers are the nearest that do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saturated: bool,
}

impl EventTotals {
    /// Each number with its like.
    fn with(self, other: Self, apply: fn(u64, u64) -> Option<u64>, nearest: u64) -> Self {
        let mut saturated = self.saturated || other.saturated;
        let mut number = |a, b| {
            apply(a, b).unwrap_or_else(|| {
                saturated = true;
                nearest
            })
        };
        Self {
            seen: number(self.seen, other.seen),
            filtered: number(self.filtered, other.filtered),
            emitted: number(self.emitted, other.emitted),
            aggregated: number(self.aggregated, other.aggregated),
            delivered: number(self.delivered, other.delivered),
            lost: number(self.lost, other.lost),
            missed: self.missed.zip(other.missed).map(|(a, b)| number(a, b)),
            saturated,
        }
    }

    /// `seen = filtered + emitted + aggregated`.
    pub fn seen_holds(&self) -> bool {
        u128::from(self.seen)
            == [self.filtered, self.emitted, self.aggregated]
                .map(u128::from)
                .iter()
                .sum()
    }

    /// Leaves out what is still on its way to the reader, so that both equations hold in the middle of a run.
    pub fn settle(&mut self) {
        self.emitted = self.delivered.saturating_add(self.lost);
        self.seen = self
            .filtered
            .saturating_add(self.emitted)
            .saturating_add(self.aggregated);
    }

    /// `emitted = delivered + lost`.
    pub fn emitted_holds(&self) -> bool {
        u128::from(self.emitted) == u128::from(self.delivered) + u128::from(self.lost)
    }
}

/// Both together, at most [`u64::MAX`]. What only one knows to be missed was missed.
impl Add for EventTotals {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let sum = self.with(more, u64::checked_add, u64::MAX);
        Self {
            missed: sum.missed.or(self.missed).or(more.missed),
            ..sum
        }
    }
}

/// What came after `earlier`, at least 0.
impl Sub for EventTotals {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        self.with(earlier, u64::checked_sub, 0)
    }
}

/// The totals of a run, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// One entry per event kind.
    pub events: Vec<(EventKind, EventTotals)>,
}

impl Totals {
    /// The counters of one event kind, which are there from now on.
    fn of(&mut self, event_kind: EventKind) -> &mut EventTotals {
        let known = self
            .events
            .iter()
            .position(|(known, _)| *known == event_kind);
        let index = known.unwrap_or_else(|| {
            self.events.push((event_kind, EventTotals::default()));
            self.events.len() - 1
        });
        &mut self.events[index].1
    }
}

/// Both together, in the order of the first that has any.
impl Add for Totals {
    type Output = Self;

    fn add(mut self, more: Self) -> Self {
        for (event_kind, more) in more.events {
            let sums = self.of(event_kind);
            *sums = *sums + more;
        }
        self
    }
}

/// What came after `earlier`, of the event kinds that are there now.
impl Sub for Totals {
    type Output = Self;

    fn sub(mut self, mut earlier: Self) -> Self {
        for (event_kind, sums) in &mut self.events {
            if earlier.events.iter().any(|(known, _)| known == event_kind) {
                *sums = *sums - *earlier.of(*event_kind);
            }
        }
        self
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// An event kind with its counters, as one object.
#[derive(Serialize, Deserialize)]
struct Row<K> {
    // Traces from before the first release say it so, here and below.
    #[serde(alias = "signal")]
    event: K,
    #[serde(flatten)]
    totals: EventTotals,
}

#[derive(Serialize, Deserialize)]
struct Rows<K> {
    #[serde(alias = "signals")]
    events: Vec<Row<K>>,
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = |&(event_kind, totals): &(EventKind, EventTotals)| Row {
            event: event_kind.name(),
            totals,
        };
        let events = self.events.iter().map(row).collect();
        Rows { events }.serialize(serializer)
    }
}

/// Event kinds of newer tools are left out.
impl<'de> Deserialize<'de> for Totals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = Rows::<String>::deserialize(deserializer)?
            .events
            .into_iter();
        let known = rows.filter_map(|row| Some((row.event.parse().ok()?, row.totals)));
        Ok(Self {
            events: known.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(seen: u64, missed: Option<u64>) -> Totals {
        let one = EventTotals {
            seen,
            missed,
            ..EventTotals::default()
        };
        Totals {
            events: vec![(EventKind::Drop, one)],
        }
    }

    #[test]
    fn a_sum_or_difference_that_does_not_fit_is_the_nearest_and_says_so() {
        let sum = (totals(u64::MAX, None) + totals(1, Some(2))).events[0].1;
        assert_eq!(
            (sum.seen, sum.missed, sum.saturated),
            (u64::MAX, Some(2), true)
        );
        let difference = (totals(1, Some(1)) - totals(2, None)).events[0].1;
        let expected = (0, None, true);
        let of = |totals: EventTotals| (totals.seen, totals.missed, totals.saturated);
        assert_eq!(of(difference), expected);
        let both = totals(5, Some(1)) + totals(6, Some(2));
        assert_eq!(of(both.events[0].1), (11, Some(3), false));
        assert_eq!(both - totals(6, Some(2)), totals(5, Some(1)));
    }

    #[test]
    fn kinds_of_newer_tools_are_left_out_and_words_of_older_ones_are_read() {
        let json = r#"{"signals":[{"signal":"drop","seen":7,"filtered":0,"emitted":0,"aggregated":0,
            "delivered":0,"lost":0,"missed":null},{"signal":"rumour","seen":7,"filtered":0,"emitted":0,
            "aggregated":0,"delivered":0,"lost":0,"missed":null}]}"#;
        let read: Totals = serde_json::from_str(json).expect("totals");
        assert_eq!(read, totals(7, None));
        let again = serde_json::to_string(&read).expect("JSON");
        assert!(
            again.starts_with(r#"{"events":[{"event":"drop","seen":7,"#),
            "{again}"
        );
        assert_eq!(
            serde_json::from_str::<Totals>(&again).expect("totals"),
            read
        );
    }
}
