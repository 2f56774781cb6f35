//! What a run has counted: for its end, and for each block of its trace.

use anyhow::{Context as _, Result};
use tracer_common::{BEYOND_MAP, CodeKey, Counters, event_kind};

use super::Capture;
use crate::sink::Sink;
use tracer_capture::decode;
use tracer_model::event::{CountedKind, Totals};

impl Capture {
    pub(super) fn totals(&self, missed: &[Option<u64>; event_kind::COUNT]) -> Result<Totals> {
        let counters = self.counters()?;
        Ok(self
            .tally
            .totals(&counters, missed, self.filter.config.event_kinds))
    }

    /// Totals in the middle of a run: of what has been taken from the rings. What is still in them counts later.
    pub(super) fn totals_so_far(&self) -> Result<Totals> {
        let mut totals = self.totals(&self.missed())?;
        totals.events.iter_mut().for_each(|(_, sums)| sums.settle());
        Ok(totals)
    }

    fn counters(&self) -> Result<[Counters; event_kind::COUNT]> {
        self.loaded.counters().context("cannot read the counters")
    }

    /// Tells the sinks what was counted instead of listed since the last time.
    pub(super) fn tell_counted(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.take_codes()?;
        self.told_boot_ns = self.now_boot_ns;
        let rows = self.recent.counted();
        if !rows.is_empty() {
            self.at(|at| sink.counted(at, &rows));
        }
        for row in rows {
            self.tally.count(row);
        }
        Ok(())
    }

    /// What the kernel counted by code since the last time.
    fn take_codes(&mut self) -> Result<()> {
        for (key, count) in self
            .loaded
            .codes()
            .context("cannot read what was counted by code")?
        {
            let known = self.codes.insert(key, count).unwrap_or(0);
            let count = count.saturating_sub(known);
            if count == 0 {
                continue;
            }
            let kind = if key.event_kind & BEYOND_MAP != 0 {
                CountedKind::BeyondMap
            } else if key.event_kind == event_kind::DROP && self.benign.contains(&key.code) {
                CountedKind::Benign
            } else {
                CountedKind::NoLocalSocket
            };
            let key = CodeKey {
                event_kind: key.event_kind & !BEYOND_MAP,
                ..key
            };
            match decode::counted_by_code(&key, count, kind, &self.names) {
                Ok(counted) => self.recent.count(counted),
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(())
    }

    /// Runs that the kernel skipped, per event kind.
    pub(super) fn missed(&self) -> [Option<u64>; event_kind::COUNT] {
        let mut missed = [None; event_kind::COUNT];
        for (event_kinds, count) in self.loaded.misses() {
            for event_kind in event_kinds {
                if let Some(count) = count {
                    *missed[event_kind as usize].get_or_insert(0) += count;
                }
            }
        }
        missed
    }
}
