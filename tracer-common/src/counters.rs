//! The exact counters of one event kind on one CPU.

use crate::wire;

/// `seen = filtered + emitted + aggregated`, and `emitted = delivered + lost`; `delivered` is counted by
/// the reader, on its own, so that the second equation proves something.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that the hook saw.
    pub seen: u64,
    /// Events that a filter removed.
    pub filtered: u64,
    /// Events for which a place in the ring was asked.
    pub emitted: u64,
    /// Events that were counted per (event kind, code, flow) or per (event kind, code) instead.
    pub aggregated: u64,
    /// Of the emitted, those for which the ring had no room.
    pub lost: u64,
}

wire!(Counters = 40);
