//! Remembers a live run for the report at its end: what a trace would have held, summed up as it happens.

use serde_json::{Map, Value};

use super::HostMonitor;
use crate::render::Clock;
use tracer_diagnose::{HostFacts, Observer, Report};
use tracer_format::Note;
use tracer_model::event::{Counted, Event, Flow, Totals};

/// The sink that judges a live run when it ends.
pub struct DiagnosisSink {
    observer: Observer,
    host: usize,
    host_monitor: HostMonitor,
    begun_ns: i64,
}

impl DiagnosisSink {
    /// `facts` are those that a trace's header would have.
    pub fn new(
        mut host_monitor: HostMonitor,
        facts: &Map<String, Value>,
        clock: &Clock,
        now_boot_ns: u64,
    ) -> Self {
        let mut observer = Observer::default();
        let name = facts.get("host").and_then(Value::as_str);
        let name = name.unwrap_or("this host").to_owned();
        let host = observer.host(HostFacts::new(name, clock.zone.clone(), facts), facts);
        host_monitor.begin(now_boot_ns);
        Self {
            observer,
            host,
            host_monitor,
            begun_ns: wall(clock, now_boot_ns),
        }
    }

    pub fn event(&mut self, event: &Event, clock: &Clock) {
        self.host_monitor.event(event);
        self.observer
            .event(self.host, wall(clock, event.boot_ns), event);
    }

    /// The socket of this flow is looked at in the next sample.
    pub fn sample_socket(&mut self, flow: &Flow) {
        self.host_monitor.sample_socket(flow);
    }

    /// About once a second.
    pub fn tick(&mut self, now_boot_ns: u64, clock: &Clock) {
        let notes = self.host_monitor.poll(now_boot_ns);
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
        let notes = self.host_monitor.last(now_boot_ns);
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
