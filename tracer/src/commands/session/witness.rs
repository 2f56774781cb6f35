//! Remembers a live run for the report at its end: what a trace would have held, summed up as it happens.

use serde_json::{Map, Value};

use super::Beside;
use crate::render::Clock;
use tracer_diagnose::{HostFacts, Observer, Report};
use tracer_format::Note;
use tracer_model::event::{Counted, Event, Flow, Totals};

/// Watches a run.
pub struct Witness {
    observer: Observer,
    host: usize,
    beside: Beside,
    begun_ns: i64,
}

impl Witness {
    /// `facts` are those that a trace's header would have.
    pub fn new(
        mut beside: Beside,
        facts: &Map<String, Value>,
        clock: &Clock,
        now_boot_ns: u64,
    ) -> Self {
        let mut observer = Observer::default();
        let name = facts.get("host").and_then(Value::as_str);
        let name = name.unwrap_or("this host").to_owned();
        let host = observer.host(HostFacts::new(name, clock.zone.clone(), facts), facts);
        beside.begin(now_boot_ns);
        Self {
            observer,
            host,
            beside,
            begun_ns: wall(clock, now_boot_ns),
        }
    }

    pub fn event(&mut self, event: &Event, clock: &Clock) {
        self.beside.event(event);
        self.observer
            .event(self.host, wall(clock, event.boot_ns), event);
    }

    /// The socket of this flow is looked at in the next sample.
    pub fn trouble(&mut self, flow: &Flow) {
        self.beside.trouble(flow);
    }

    /// About once a second.
    pub fn second(&mut self, now_boot_ns: u64, clock: &Clock) {
        let notes = self.beside.look(now_boot_ns);
        self.take(notes, wall(clock, now_boot_ns));
    }

    fn take(&mut self, notes: Vec<Note>, now_ns: i64) {
        for note in notes {
            match note {
                Note::Sample(sample) => self.observer.sample(self.host, now_ns, &sample),
                Note::Change(change) => self.observer.change(self.host, now_ns, &change),
                _ => {}
            }
        }
    }

    /// The end.
    pub fn finish(mut self, counted: &[Counted], totals: &Totals, clock: &Clock) -> Report {
        let now_boot_ns = tracer_capture::sys::boot_clock_ns();
        let now_ns = wall(clock, now_boot_ns);
        let notes = self.beside.last(now_boot_ns);
        self.take(notes, now_ns);
        for row in counted {
            self.observer.counted(self.host, row.clone());
        }
        self.observer.covered(self.begun_ns, now_ns);
        let (observed, hours) = self.observer.finish(totals.clone());
        Report::new(observed, hours)
    }
}

fn wall(clock: &Clock, boot_ns: u64) -> i64 {
    i64::try_from(i128::from(boot_ns) + clock.wall_minus_boot_ns).unwrap_or(i64::MAX)
}
