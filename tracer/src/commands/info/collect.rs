//! Adds up what the blocks of a recording say of it. Memory does not grow with the trace.

use crate::commands::merged_reader::totals_window::TotalsWindow;
use crate::commands::merged_reader::zone;
use crate::render::info::{Ended, TraceInfo};
use tracer_format::layout::HEADER_BYTES;
use tracer_format::note::Note;
use tracer_format::reader::Notice;
use tracer_format::{Block, Malformed};

/// Goes through the blocks of a path.
#[derive(Default)]
pub struct Collect {
    found: TraceInfo,
    totals: TotalsWindow,
    first_steps: Option<u32>,
    in_window: bool,
}

impl Collect {
    pub fn new(name: &str) -> Self {
        let mut collect = Self::default();
        collect.found.name = name.to_owned();
        collect
    }

    /// Takes a block; gives the recording before it when it is the first of another one.
    pub fn block(&mut self, block: &Block) -> Option<TraceInfo> {
        let header = &block.header;
        let known = self.found.trace_id;
        let done = known
            .is_some_and(|trace_id| trace_id != header.trace_id)
            .then(|| {
                let next = Self::new(&self.found.name);
                std::mem::replace(self, next).finish()
            });
        let found = &mut self.found;
        found.trace_id = Some(header.trace_id);
        found.blocks += 1;
        found.bytes += HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        found.segments += u64::from(header.starts());
        let first_steps = *self.first_steps.get_or_insert(header.clock_steps);
        found.clock_steps = header.clock_steps.saturating_sub(first_steps);
        if header.starts() {
            self.in_window = header.begins_window();
        }
        found.ended = match (header.ends(), self.in_window) {
            (true, _) => Ended::Cleanly,
            (false, true) => Ended::Window,
            (false, false) => Ended::CutOff,
        };
        let first = (header.first_boot_ns, header.wall_ns(header.first_boot_ns));
        // Events that were aggregated may be older than the block before.
        if found.first.is_none_or(|known| first.0 < known.0) {
            found.first = Some(first);
        }
        found.last = Some((header.sealed_boot_ns, header.wall_ns(header.sealed_boot_ns)));
        self.totals.block(block, false);
        for (_, note) in &block.notes {
            self.note(block, note);
        }
        if self.count(block).is_err() {
            self.found.malformed += 1;
        }
        done
    }

    fn note(&mut self, block: &Block, note: &Note) {
        let found = &mut self.found;
        match note {
            Note::Header(facts) if found.facts.is_empty() => {
                found.facts = facts.clone();
                if let Some(zone) = zone(facts) {
                    found.zone = zone;
                }
            }
            Note::Sample(_) => found.samples += 1,
            Note::Change(_) => found.changes += 1,
            Note::Trigger(_) => found.triggers += 1,
            Note::Counted(_) => found.counted += 1,
            Note::Gap(gap) => {
                for (event_kind, count) in &gap.events {
                    if let Ok(event_kind) = event_kind.parse() {
                        self.totals.lose(event_kind, *count);
                    }
                }
                let first = block.header.wall_ns(gap.first_boot_ns);
                let last = block.header.wall_ns(gap.last_boot_ns);
                found.gaps.add((gap.clone(), first, last));
            }
            _ => {}
        }
    }

    /// Counts the events without putting any together.
    fn count(&mut self, block: &Block) -> Result<(), Malformed> {
        if block.header.events == 0 {
            return Ok(());
        }
        for (known, (events, count)) in self.found.counts.iter_mut().zip(block.tally()?) {
            known.events += events;
            known.count = known.count.saturating_add(count);
        }
        Ok(())
    }

    /// Takes what is wrong with the trace.
    pub fn notice(&mut self, notice: &Notice) {
        let found = &mut self.found;
        if let Some(span) = notice.torn {
            found.torn_bytes += span.bytes;
            found.ended = Ended::CutOff;
        }
        if notice.is_torn_tail() {
            return;
        }
        found.damaged_bytes += notice.damaged.map_or(0, |span| span.bytes);
        found.missing_blocks = found.missing_blocks.saturating_add(notice.missing);
        found.malformed += notice.malformed.map_or(0, |malformed| malformed.blocks);
        found.damage.add(notice.to_string());
    }

    /// No more blocks.
    pub fn finish(self) -> TraceInfo {
        let mut found = self.found;
        found.totals = self.totals.totals(|_| true);
        found
    }
}
