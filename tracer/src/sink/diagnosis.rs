//! The sink that remembers, summed up, what a report needs.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{At, End, Sink};
use tracer_diagnose::applog::SocketIndex;
use tracer_diagnose::{HostFacts, Hours, Observed, Observer, Report};
use tracer_model::event::Event;
use tracer_model::samples::{Change, Sample};

/// What was observed, for whoever judges it at the end.
#[derive(Default)]
pub struct DiagnosisSink {
    observer: Observer,
    observed: Option<(Observed, Hours)>,
}

impl DiagnosisSink {
    /// The next host of the source; `facts` are those of a trace's header.
    pub fn host(&mut self, name: &str, zone: TimeZone, facts: &Map<String, Value>) {
        let host = HostFacts::new(name.to_owned(), zone, facts);
        self.observer.host(host, facts);
    }

    /// What was observed, once the source has ended.
    pub fn observed(self) -> Option<(Observed, Hours)> {
        self.observed
    }

    /// The same, judged. `filtered`: filters may have left events out.
    pub fn report(self, filtered: bool) -> Option<Report> {
        self.observed()
            .map(|(observed, hours)| Report::new(observed, hours, filtered))
    }
}

impl Sink for DiagnosisSink {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.observer
            .event(at.host, at.clock.wall_ns(event.boot_ns), event);
    }

    fn sample(&mut self, at: &At<'_>, sample: &Sample) {
        self.observer
            .sample(at.host, at.clock.wall_ns(at.boot_ns), sample);
    }

    fn change(&mut self, at: &At<'_>, change: &Change) {
        self.observer
            .change(at.host, at.clock.wall_ns(at.boot_ns), change);
    }

    fn finish(&mut self, end: &End<'_>) {
        let mut observer = std::mem::take(&mut self.observer);
        for (index, host) in end.hosts.iter().enumerate() {
            for row in &host.counted {
                observer.counted(index, row.clone());
            }
            observer.damaged(&host.damage);
            if let Some((first, last)) = host.covered {
                observer.covered(first, last);
            }
        }
        self.observed = Some(observer.finish(end.totals.clone()));
    }
}

/// What an application's log is compared with.
impl Sink for SocketIndex {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.event(at.host, at.clock.wall_ns(event.boot_ns), event);
    }
}
