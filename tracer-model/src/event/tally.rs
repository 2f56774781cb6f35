//! What is counted instead of listed, and the totals of a run.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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
}

impl EventTotals {
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

/// The totals of a run, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// One entry per event kind.
    pub events: Vec<(EventKind, EventTotals)>,
}
