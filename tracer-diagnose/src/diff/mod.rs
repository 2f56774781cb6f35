//! The same observation before and after one change, normalised for time and traffic. Pure: no clock, no I/O.
//!
//! Each side is what a diagnosis observes ([`crate`]) and an [`DiffCollector`], which keeps every count with its
//! times and every stall with its length. [`measures`] compares them, and names what it compared with;
//! [`Setup`] says what else was different; [`Overall`] is the verdict, in which fewer errors that were bought with
//! longer stalls are worse. Why these statistics: docs/diff.md.

mod collector;
mod judge;
mod matched;
mod measures;
mod setup;
mod stall;
pub mod statistics;
#[cfg(test)]
mod tests;
mod values;
mod verdict;

pub use collector::{Count, CountKind, DiffCollector, Traffic};
pub use judge::{DELTA, NONE, P, RATIO, VALUES, judge_rate, judge_times};
pub use matched::{FindingChange, Pair, pairs};
pub use measures::{Measure, Measured, Times};
pub use setup::{RecordedFilters, Setting, Setup};
pub use stall::Stalls;
pub use values::{Cells, Values};
pub use verdict::Overall;

use crate::rule::Confidence;
use crate::{Finding, Observed, judge};

/// How something became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Better,
    Worse,
    Unchanged,
    TooLittleData,
}

impl Verdict {
    /// As JSON says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unchanged => "unchanged",
            Self::TooLittleData => "too_little_data",
        }
    }
}

/// One recording.
pub struct Side {
    /// As the user named it.
    pub name: String,
    pub observed: Observed,
    pub findings: Vec<Finding>,
    pub collector: DiffCollector,
    pub recorded_filters: RecordedFilters,
}

impl Side {
    /// Judges what was observed; `collector` is at its end.
    pub fn new(
        name: String,
        observed: Observed,
        mut collector: DiffCollector,
        recorded_filters: RecordedFilters,
    ) -> Self {
        collector.finish();
        Self {
            name,
            findings: judge(&observed).findings,
            observed,
            collector,
            recorded_filters,
        }
    }

    /// Length of what was observed.
    pub fn seconds(&self) -> f64 {
        self.observed.span_ns() as f64 / 1e9
    }

    /// Name of the host that recorded.
    pub fn host(&self) -> Option<&str> {
        self.observed.hosts.first().map(|host| host.name.as_str())
    }

    /// Were events of this kind recorded?
    fn has(&self, what: CountKind) -> bool {
        self.observed.coverage.has(DiffCollector::event_kind(what))
    }
}

/// A comparison.
pub struct Diff {
    pub before: Side,
    pub after: Side,
    pub measures: Vec<Measure>,
    pub setup: Setup,
    pub overall: Overall,
    /// For people.
    pub notes: Vec<String>,
}

impl Diff {
    /// Compares; `narrow`: only part of both is looked at, by a filter of this run.
    pub fn new(before: Side, after: Side, narrow: bool) -> Self {
        let narrow = narrow || before.recorded_filters.narrow || after.recorded_filters.narrow;
        let measures = measures::all(&before, &after, narrow);
        let setup = Setup::new(&before, &after);
        let overall = verdict::overall(&before, &after, &measures);
        let new = pairs(&before.findings, &after.findings);
        let new = new.iter().filter(|pair| pair.became == FindingChange::New);
        let sure = new.filter(|pair| {
            pair.after
                .is_some_and(|finding| finding.confidence == Confidence::High)
        });
        let notes = verdict::notes(&overall, sure.count(), &setup);
        Self {
            before,
            after,
            measures,
            setup,
            overall,
            notes,
        }
    }
}
