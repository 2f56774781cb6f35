//! What a run has counted: for its end, and for each block of its trace.

use anyhow::{Context as _, Result};
use tracer_common::{BEYOND_MAP, CodeKey, Counters, signal};

use super::Session;
use tracer_capture::decode;
use tracer_model::event::{Counted, CountedKind, Totals};

impl Session {
    pub(super) fn totals(&self, missed: &[Option<u64>; signal::COUNT]) -> Result<Totals> {
        let counters = self.counters()?;
        Ok(self
            .tally
            .totals(&counters, missed, self.resolved.config.signals))
    }

    /// Totals in the middle of a run: of what has been taken from the rings. What is still in them counts later.
    pub(super) fn totals_so_far(&self) -> Result<Totals> {
        let mut totals = self.totals(&self.missed())?;
        totals
            .signals
            .iter_mut()
            .for_each(|(_, sums)| sums.settle());
        Ok(totals)
    }

    fn counters(&self) -> Result<[Counters; signal::COUNT]> {
        self.loaded.counters().context("cannot read the counters")
    }

    /// Rows that were counted instead of listed.
    pub(super) fn counted(&mut self) -> Result<Vec<Counted>> {
        for (key, count) in self
            .loaded
            .codes()
            .context("cannot read what was counted by code")?
        {
            let kind = if key.signal & BEYOND_MAP != 0 {
                CountedKind::BeyondMap
            } else if key.signal == signal::DROP && self.benign.contains(&key.code) {
                CountedKind::Benign
            } else {
                CountedKind::NoLocalSocket
            };
            let key = CodeKey {
                signal: key.signal & !BEYOND_MAP,
                ..key
            };
            match decode::counted_by_code(&key, count, kind, &self.names) {
                Ok(counted) => self.tally.count(counted),
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(self.tally.counted())
    }

    /// Runs that the kernel skipped, per signal.
    pub(super) fn missed(&self) -> [Option<u64>; signal::COUNT] {
        let mut missed = [None; signal::COUNT];
        for (signals, count) in self.loaded.misses() {
            for signal in signals {
                if let Some(count) = count {
                    *missed[signal as usize].get_or_insert(0) += count;
                }
            }
        }
        missed
    }
}
