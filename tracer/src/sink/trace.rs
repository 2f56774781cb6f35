//! Events on their way to a trace: into blocks, and blocks to the writer or the flight recorder.

use std::time::Duration;

use super::{At, End, Sink};
use tracer_format::flight::Flight;
use tracer_format::layout::flag;
use tracer_format::note::{Anchor, AnchorWhy, Counters, Fired, Note};
use tracer_format::writer::{Handle, Watcher, WriterSummary};
use tracer_format::{Builder, Seal};
use tracer_model::event::{Counted, Event};
use tracer_model::samples::{Change, Sample};

/// How often the wall clock is noted, nanoseconds.
const ANCHOR_NS: u64 = 60_000_000_000;
/// How often a block is written when nothing happens, nanoseconds: it shows that the recorder was there.
const HEARTBEAT_NS: u64 = 10_000_000_000;

/// How long the end waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// What sealed blocks are handed to.
pub enum TraceTarget {
    Writer(Handle),
    Flight(Box<Flight>),
}

/// The sink that writes a trace: fills blocks and hands them on.
pub struct TraceSink {
    builder: Builder,
    target: TraceTarget,
    trace_id: [u8; 16],
    seq: u64,
    clock_steps: u32,
    wall_minus_boot_ns: i64,
    counters: Counters,
    sealed_boot_ns: u64,
    anchored_boot_ns: u64,
    /// The block at hand says already that a trigger fired.
    says_trigger: bool,
}

impl TraceSink {
    /// # Errors
    /// When there is no memory.
    pub fn new(
        target: TraceTarget,
        trace_id: [u8; 16],
        wall_minus_boot_ns: i128,
        now_boot_ns: u64,
    ) -> std::io::Result<Self> {
        let mut trace_sink = Self {
            builder: Builder::new()?,
            target,
            trace_id,
            seq: 0,
            clock_steps: 0,
            wall_minus_boot_ns: narrow(wall_minus_boot_ns),
            counters: Counters::default(),
            sealed_boot_ns: now_boot_ns,
            anchored_boot_ns: now_boot_ns,
            says_trigger: false,
        };
        trace_sink.anchor(now_boot_ns, AnchorWhy::Start);
        Ok(trace_sink)
    }

    /// What the writer has done so far, for whoever watches it.
    pub fn watcher(&self) -> Watcher {
        match &self.target {
            TraceTarget::Writer(handle) => handle.watcher(),
            TraceTarget::Flight(flight) => flight.watcher(),
        }
    }

    /// Waits for the disk.
    pub fn end(self) -> WriterSummary {
        match self.target {
            TraceTarget::Writer(handle) => handle.finish(PATIENCE),
            TraceTarget::Flight(flight) => flight.finish(PATIENCE),
        }
    }

    /// The counters that the next block has, as they are now.
    fn count(&mut self, at: &At<'_>) {
        if let Some(totals) = (at.totals)() {
            let boot_ns = at.boot_ns;
            self.counters = Counters { boot_ns, totals };
        }
    }

    fn anchor(&mut self, boot_ns: u64, why: AnchorWhy) {
        self.anchored_boot_ns = boot_ns;
        let wall_ns = i64::try_from(boot_ns).unwrap_or(i64::MAX);
        let wall_ns = wall_ns.saturating_add(self.wall_minus_boot_ns);
        self.builder.note(&Note::Anchor(Anchor {
            boot_ns,
            wall_ns,
            why,
        }));
    }

    fn seal(&mut self, flags: u16, now_boot_ns: u64) {
        self.says_trigger = false;
        self.builder.note(&Note::Counters(self.counters.clone()));
        self.seq += 1;
        self.sealed_boot_ns = now_boot_ns.max(self.sealed_boot_ns);
        let sealed = self.builder.seal(&Seal {
            flags,
            trace_id: self.trace_id,
            seq: self.seq,
            sealed_boot_ns: self.sealed_boot_ns,
            wall_minus_boot_ns: self.wall_minus_boot_ns,
            clock_steps: self.clock_steps,
        });
        match &mut self.target {
            TraceTarget::Writer(handle) => handle.submit(sealed, &self.counters),
            TraceTarget::Flight(flight) => flight.push(sealed, &self.counters),
        }
    }
}

impl Sink for TraceSink {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.builder.event(event);
        if self.builder.is_full() {
            self.count(at);
            self.seal(0, at.boot_ns);
        }
    }

    fn sample(&mut self, _: &At<'_>, sample: &Sample) {
        self.builder.note(&Note::Sample(Box::new(sample.clone())));
    }

    fn change(&mut self, _: &At<'_>, change: &Change) {
        self.builder.note(&Note::Change(Box::new(change.clone())));
    }

    /// What led to the trigger is in the block that is closed now. While a window is open the block goes on: a storm
    /// of triggers makes the window longer, and costs no more than its events.
    fn trigger(&mut self, at: &At<'_>, expression: &str) {
        if !std::mem::replace(&mut self.says_trigger, true) {
            self.builder.note(&Note::Trigger(Fired {
                boot_ns: at.boot_ns,
                expression: expression.to_owned(),
            }));
        }
        let TraceTarget::Flight(flight) = &self.target else {
            return;
        };
        if flight.due_boot_ns().is_none() {
            self.count(at);
            self.seal(0, at.boot_ns);
        }
        if let TraceTarget::Flight(flight) = &mut self.target {
            flight.trigger(at.boot_ns);
        }
    }

    fn counted(&mut self, at: &At<'_>, rows: &[Counted]) {
        for row in rows {
            self.builder.counted(row);
            if self.builder.is_full() {
                self.seal(0, at.boot_ns);
            }
        }
    }

    /// Anchors, and closes the block.
    fn tick(&mut self, at: &At<'_>) {
        self.count(at);
        if at.boot_ns.saturating_sub(self.anchored_boot_ns) >= ANCHOR_NS {
            self.anchor(at.boot_ns, AnchorWhy::Periodic);
        }
        let quiet = self.builder.is_empty()
            && at.boot_ns.saturating_sub(self.sealed_boot_ns) < HEARTBEAT_NS;
        if !quiet {
            self.seal(0, at.boot_ns);
        }
        if let TraceTarget::Flight(flight) = &mut self.target {
            flight.tick(at.boot_ns);
        }
    }

    fn clock_step(&mut self, at: &At<'_>) {
        self.count(at);
        if !self.builder.is_empty() {
            self.seal(0, at.boot_ns);
        }
        self.wall_minus_boot_ns = narrow(at.clock.wall_minus_boot_ns);
        self.clock_steps += 1;
        self.anchor(at.boot_ns, AnchorWhy::Step);
    }

    fn finish(&mut self, end: &End<'_>) {
        self.counters = Counters {
            boot_ns: end.at.boot_ns,
            totals: end.totals.clone(),
        };
        self.builder.note(&Note::Totals(self.counters.clone()));
        self.seal(flag::END, end.at.boot_ns);
    }

    fn is_gone(&mut self) -> bool {
        self.watcher().status().reader_gone
    }
}

fn narrow(wall_minus_boot_ns: i128) -> i64 {
    i64::try_from(wall_minus_boot_ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
