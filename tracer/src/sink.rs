//! What a source gives, and who takes it.
//!
//! A capture and a reader of traces are sources of the same items; a terminal, a trace and a diagnosis are sinks. No
//! sink knows which source it has, so the same items make the same lines, the same trace and the same report.

mod diagnosis;
mod terminal;
#[cfg(feature = "capture")]
mod trace;

pub use diagnosis::DiagnosisSink;
pub use terminal::TerminalSink;
#[cfg(feature = "capture")]
pub use trace::{TraceSink, TraceTarget};

use std::time::Duration;

use crate::render::Clock;
use tracer_model::event::{Counted, Event, Totals};
use tracer_model::samples::{Change, Sample};

/// Where and when a source is.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// Which of the source's hosts, from 0.
    pub host: usize,
    /// Its name, where the source has several.
    pub name: Option<&'a str>,
    pub clock: &'a Clock,
    /// How far the source has come, nanoseconds of CLOCK_BOOTTIME; of a sample or change, when it was taken.
    pub boot_ns: u64,
    /// What has been counted so far. `None` when it cannot be read. Costs more than an event.
    pub totals: &'a dyn Fn() -> Option<Totals>,
}

/// What a source has to say of one host when nothing more comes.
#[derive(Clone, Debug, Default)]
pub struct HostEnd {
    /// What was counted instead of listed, from the beginning on.
    pub counted: Vec<Counted>,
    /// From when to when it was observed, nanoseconds since 1970; `None`: never.
    pub covered: Option<(i64, i64)>,
    /// What is missing or damaged in its trace.
    pub damage: Vec<String>,
}

/// The end of a source.
pub struct End<'a> {
    pub at: At<'a>,
    /// One for each of the source's hosts.
    pub hosts: &'a [HostEnd],
    pub totals: &'a Totals,
}

/// Takes what a source gives. Nothing here waits, but for `flush`.
pub trait Sink {
    fn event(&mut self, at: &At<'_>, event: &Event);

    /// Counters of the host, and sockets with trouble.
    fn sample(&mut self, _: &At<'_>, _: &Sample) {}

    /// A route, neighbour, link or address changed.
    fn change(&mut self, _: &At<'_>, _: &Change) {}

    /// A trigger of the flight recorder fired.
    fn trigger(&mut self, _: &At<'_>, _expression: &str) {}

    /// What was counted instead of listed since the last time: every few seconds, and before the end.
    fn counted(&mut self, _: &At<'_>, _: &[Counted]) {}

    /// About once a second.
    fn tick(&mut self, _: &At<'_>) {}

    /// The wall clock was set: what came before keeps the old one.
    fn clock_step(&mut self, _: &At<'_>) {}

    /// Nothing more comes.
    fn finish(&mut self, _: &End<'_>) {}

    /// Hands on what is held back, and waits for whoever takes it, as long as something is taken within each
    /// `patience`. `false`: nothing more can be taken for now.
    fn flush(&mut self, _patience: Duration) -> bool {
        true
    }

    /// There is nobody left for whom it would be worth going on.
    fn is_gone(&mut self) -> bool {
        false
    }
}

/// Several sinks are one: each gets everything, in their order.
impl Sink for Vec<&mut dyn Sink> {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.iter_mut().for_each(|sink| sink.event(at, event));
    }

    fn sample(&mut self, at: &At<'_>, sample: &Sample) {
        self.iter_mut().for_each(|sink| sink.sample(at, sample));
    }

    fn change(&mut self, at: &At<'_>, change: &Change) {
        self.iter_mut().for_each(|sink| sink.change(at, change));
    }

    fn trigger(&mut self, at: &At<'_>, expression: &str) {
        self.iter_mut()
            .for_each(|sink| sink.trigger(at, expression));
    }

    fn counted(&mut self, at: &At<'_>, rows: &[Counted]) {
        self.iter_mut().for_each(|sink| sink.counted(at, rows));
    }

    fn tick(&mut self, at: &At<'_>) {
        self.iter_mut().for_each(|sink| sink.tick(at));
    }

    fn clock_step(&mut self, at: &At<'_>) {
        self.iter_mut().for_each(|sink| sink.clock_step(at));
    }

    fn finish(&mut self, end: &End<'_>) {
        self.iter_mut().for_each(|sink| sink.finish(end));
    }

    fn flush(&mut self, patience: Duration) -> bool {
        // Each is asked, whatever the others say.
        let mut all = true;
        for sink in self {
            all &= sink.flush(patience);
        }
        all
    }

    fn is_gone(&mut self) -> bool {
        self.iter_mut().any(|sink| sink.is_gone())
    }
}

#[cfg(all(test, feature = "capture"))]
mod tests;
