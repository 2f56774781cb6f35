//! Events on their way to a trace: into blocks, and blocks to the writer or the flight recorder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::HostMonitor;
use tracer_format::flight::Flight;
use tracer_format::layout::flag;
use tracer_format::note::{Anchor, AnchorWhy, Counters, Fired, Note};
use tracer_format::writer::{Handle, Notice, Status, WriterSummary};
use tracer_format::{Builder, Seal};
use tracer_model::event::{Counted, Event, Flow, Totals};
use tracer_model::trigger::Triggers;

/// How often the wall clock is noted, nanoseconds.
const ANCHOR_NS: u64 = 60_000_000_000;
/// How often a block is written when nothing happens, nanoseconds: it shows that the recorder was there.
const HEARTBEAT_NS: u64 = 10_000_000_000;

/// What sealed blocks are handed to.
pub enum TraceTarget {
    Writer(Handle),
    Flight(Box<Flight>, Triggers),
}

/// The sink that writes a trace: fills blocks and hands them on.
pub struct TraceSink {
    builder: Builder,
    target: TraceTarget,
    host_monitor: Option<HostMonitor>,
    trace_id: [u8; 16],
    seq: u64,
    clock_steps: u32,
    wall_minus_boot_ns: i64,
    counters: Counters,
    sealed_boot_ns: u64,
    anchored_boot_ns: u64,
    /// The trigger that fired at the last event.
    fired: Option<String>,
}

impl TraceSink {
    /// # Errors
    /// When there is no memory.
    pub fn new(
        target: TraceTarget,
        host_monitor: Option<HostMonitor>,
        trace_id: [u8; 16],
        wall_minus_boot_ns: i128,
        now_boot_ns: u64,
    ) -> std::io::Result<Self> {
        let mut trace_sink = Self {
            builder: Builder::new()?,
            target,
            host_monitor,
            trace_id,
            seq: 0,
            clock_steps: 0,
            wall_minus_boot_ns: narrow(wall_minus_boot_ns),
            counters: Counters::default(),
            sealed_boot_ns: now_boot_ns,
            anchored_boot_ns: now_boot_ns,
            fired: None,
        };
        trace_sink.anchor(now_boot_ns, AnchorWhy::Start);
        if let Some(host_monitor) = &mut trace_sink.host_monitor {
            host_monitor.begin(now_boot_ns);
        }
        Ok(trace_sink)
    }

    /// Takes an event. When this is the last one of its block, the caller calls [`Self::close`].
    #[must_use]
    pub fn event(&mut self, event: &Event) -> bool {
        self.builder.event(event);
        if let Some(host_monitor) = &mut self.host_monitor {
            host_monitor.event(event);
        }
        if let TraceTarget::Flight(_, triggers) = &mut self.target
            && let Some(trigger) = triggers.observe(event)
        {
            self.fired = Some(trigger.expression().to_owned());
        }
        self.fired.is_some() || self.builder.is_full()
    }

    /// Closes a block that is full, or in which a trigger fired. `totals` as of its last event, where they are
    /// known.
    pub fn close(&mut self, totals: Option<&Totals>, now_boot_ns: u64) {
        if let Some(totals) = totals {
            self.counters = Counters::new(now_boot_ns, totals);
        }
        match self.fired.take() {
            Some(expression) => self.fired(expression, now_boot_ns),
            None => self.seal(0, now_boot_ns),
        }
    }

    /// A trigger fires that is no event. `totals` as of now.
    pub fn fire(&mut self, expression: String, totals: &Totals, now_boot_ns: u64) {
        self.counters = Counters::new(now_boot_ns, totals);
        self.fired(expression, now_boot_ns);
    }

    /// What led to the trigger is in the block that is closed now.
    fn fired(&mut self, expression: String, now_boot_ns: u64) {
        let boot_ns = now_boot_ns;
        self.builder.note(&Note::Trigger(Fired {
            boot_ns,
            expression,
        }));
        self.seal(0, now_boot_ns);
        if let TraceTarget::Flight(flight, triggers) = &mut self.target {
            flight.trigger(now_boot_ns);
            triggers.rearm();
        }
    }

    /// About once a second: samples, changes, anchors; closes the block. `totals` as of now.
    pub fn tick(&mut self, totals: &Totals, now_boot_ns: u64) {
        self.counters = Counters::new(now_boot_ns, totals);
        if now_boot_ns.saturating_sub(self.anchored_boot_ns) >= ANCHOR_NS {
            self.anchor(now_boot_ns, AnchorWhy::Periodic);
        }
        self.poll_monitor(now_boot_ns);
        let quiet = self.builder.is_empty()
            && now_boot_ns.saturating_sub(self.sealed_boot_ns) < HEARTBEAT_NS;
        if !quiet {
            self.seal(0, now_boot_ns);
        }
        if let TraceTarget::Flight(flight, _) = &mut self.target {
            flight.tick(now_boot_ns);
        }
    }

    /// The wall clock was set: what was recorded until now keeps the old one. `totals` as of now.
    pub fn clock_stepped(&mut self, wall_minus_boot_ns: i128, totals: &Totals, now_boot_ns: u64) {
        self.counters = Counters::new(now_boot_ns, totals);
        if !self.builder.is_empty() {
            self.seal(0, now_boot_ns);
        }
        self.wall_minus_boot_ns = narrow(wall_minus_boot_ns);
        self.clock_steps += 1;
        self.anchor(now_boot_ns, AnchorWhy::Step);
    }

    /// The end: what was counted instead of listed, and the totals.
    pub fn finish(
        mut self,
        counted: &[Counted],
        totals: &Totals,
        now_boot_ns: u64,
    ) -> WriterSummary {
        self.counters = Counters::new(now_boot_ns, totals);
        for row in counted {
            self.builder.counted(row);
            if self.builder.is_full() {
                self.seal(0, now_boot_ns);
            }
        }
        self.builder.note(&Note::Totals(self.counters.clone()));
        self.seal(flag::END, now_boot_ns);
        match self.target {
            TraceTarget::Writer(handle) => handle.finish(PATIENCE),
            TraceTarget::Flight(flight, _) => flight.finish(PATIENCE),
        }
    }

    /// What has been written so far.
    pub fn status(&self) -> Status {
        match &self.target {
            TraceTarget::Writer(handle) => handle.status(),
            TraceTarget::Flight(flight, _) => flight.status(),
        }
    }

    /// What the user should hear of, since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        match &self.target {
            TraceTarget::Writer(handle) => handle.notices(),
            TraceTarget::Flight(flight, _) => flight.notices(),
        }
    }

    fn poll_monitor(&mut self, now_boot_ns: u64) {
        for note in self
            .host_monitor
            .iter_mut()
            .flat_map(|host_monitor| host_monitor.poll(now_boot_ns))
        {
            self.builder.note(&note);
        }
    }

    /// The socket of this flow is looked at in the next sample.
    pub fn sample_socket(&mut self, flow: &Flow) {
        if let Some(host_monitor) = &mut self.host_monitor {
            host_monitor.sample_socket(flow);
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
            TraceTarget::Flight(flight, _) => flight.push(sealed, &self.counters),
        }
    }
}

/// How long the end waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

fn narrow(wall_minus_boot_ns: i128) -> i64 {
    i64::try_from(wall_minus_boot_ns).unwrap_or(i64::MAX)
}

/// A JSON object of what serializes to one.
pub fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Runs of the user's command, one for each complete window.
pub fn windows(notices: &[Notice]) -> impl Iterator<Item = &Path> {
    notices.iter().filter_map(|notice| match notice {
        Notice::Complete(path) => Some(PathBuf::as_path(path)),
        Notice::Warning(_) => None,
    })
}

#[cfg(test)]
mod tests;
