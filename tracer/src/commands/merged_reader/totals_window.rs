//! The totals of a part of a trace: what the recorder counted in it, less what was filtered since.

use std::collections::BTreeMap;

use tracer_format::Block;
use tracer_format::note::{Counters, Note};
use tracer_model::event::{EventKind, Totals};

/// Adds up the totals of one trace, which may hold several recordings.
#[derive(Default)]
pub struct TotalsWindow {
    /// Of recordings that are over, and of windows of the flight recorder.
    done: Totals,
    trace_id: Option<[u8; 16]>,
    /// Before the first block that is wanted.
    base: Counters,
    last: Counters,
    /// Events (1 each), and events in aggregated ones, that were removed here.
    removed: BTreeMap<EventKind, (u64, u64)>,
    lost: BTreeMap<EventKind, u64>,
}

impl TotalsWindow {
    /// Takes the counters of a block; `early`: it lies before what is wanted.
    pub fn block(&mut self, block: &Block, early: bool) {
        let other = self.trace_id.replace(block.header.trace_id) != Some(block.header.trace_id);
        if other || block.header.begins_window() {
            self.done = std::mem::take(&mut self.done) + self.current();
            (self.base, self.last) = Default::default();
            // A window of the flight recorder begins in the middle.
            if let Some(counters) = counters(block) {
                self.base = counters.clone();
            }
        }
        if let Some(counters) = counters(block) {
            self.last = counters.clone();
            if early {
                self.base = counters.clone();
            }
        }
    }

    /// Of what is being read.
    fn current(&self) -> Totals {
        self.last.totals.clone() - self.base.totals.clone()
    }

    /// An event was read that is not wanted.
    pub fn remove(&mut self, event_kind: EventKind, count: u64) {
        let (single, aggregated) = self.removed.entry(event_kind).or_default();
        match count {
            1 => *single += 1,
            more => *aggregated = aggregated.saturating_add(more),
        }
    }

    /// Events that were recorded and could not be written.
    pub fn lose(&mut self, event_kind: EventKind, count: u64) {
        let lost = self.lost.entry(event_kind).or_default();
        *lost = lost.saturating_add(count);
    }

    /// The totals, of the wanted event kinds.
    pub fn totals(&self, wanted: impl Fn(EventKind) -> bool) -> Totals {
        let mut totals = self.done.clone() + self.current();
        totals.events.retain(|(event_kind, _)| wanted(*event_kind));
        for (event_kind, sums) in &mut totals.events {
            let (single, aggregated) = self.removed.get(event_kind).copied().unwrap_or_default();
            // An aggregated event may stand for one.
            let emitted = single.min(sums.delivered);
            let aggregated = aggregated
                .saturating_add(single - emitted)
                .min(sums.aggregated);
            sums.emitted = sums.emitted.saturating_sub(emitted);
            sums.delivered -= emitted;
            sums.aggregated -= aggregated;
            sums.filtered = sums
                .filtered
                .saturating_add(emitted)
                .saturating_add(aggregated);
            let lost = self
                .lost
                .get(event_kind)
                .copied()
                .unwrap_or_default()
                .min(sums.delivered);
            sums.delivered -= lost;
            sums.lost = sums.lost.saturating_add(lost);
        }
        totals
    }
}

fn counters(block: &Block) -> Option<&Counters> {
    // The totals of the end come last.
    block.notes.iter().rev().find_map(|(_, note)| match note {
        Note::Counters(counters) | Note::Totals(counters) => Some(counters),
        _ => None,
    })
}
