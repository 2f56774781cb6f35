//! What a diagnosis made of the traces, round by round.

use std::collections::BTreeMap;
use std::path::Path;

use scenarios::faults::{Expected, Finding, Verdict, judge};
use scenarios::recording::{events, replay};
use scenarios::run_sendtrace;

/// One scenario, and what became of it in each round.
pub struct Row {
    pub name: &'static str,
    pub expected: Expected,
    pub outcomes: Vec<Outcome>,
}

pub enum Outcome {
    Judged(Verdict),
    /// This host cannot play it.
    Skipped(String),
    /// The fault could not be made.
    NotPlayed(String),
}

impl Row {
    /// What a report must say.
    pub fn wanted(&self) -> String {
        match self.expected.as_slice() {
            [] => "silence".to_owned(),
            findings => findings
                .iter()
                .map(Finding::tell)
                .collect::<Vec<_>>()
                .join(" + "),
        }
    }

    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Judged(verdict) => Some(verdict),
            Outcome::Skipped(_) | Outcome::NotPlayed(_) => None,
        })
    }
}

impl Outcome {
    pub fn failed(&self) -> bool {
        match self {
            Self::Judged(verdict) => !verdict.wrong.is_empty(),
            Self::Skipped(_) => false,
            Self::NotPlayed(_) => true,
        }
    }
}

/// Findings of one confidence, over all scenarios.
#[derive(Default)]
pub struct Count {
    pub right: usize,
    pub wrong: usize,
}

/// How often each confidence was right. A finding that is not expected is wrong, whatever else may be true of it.
pub fn confidences(rows: &[Row]) -> BTreeMap<&'static str, Count> {
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    for confidence in ["high", "medium", "low"] {
        let count = counts.entry(confidence).or_default();
        for verdict in rows.iter().flat_map(Row::verdicts) {
            let right = verdict.right.iter();
            count.right += right.filter(|word| *word == confidence).count();
            let others = verdict.others.iter();
            count.wrong += others
                .filter(|other| other.confidence == confidence)
                .count();
        }
    }
    counts
}

/// Has a trace diagnosed.
pub fn diagnose(trace: &Path, expected: &Expected) -> Outcome {
    if trace.exists() {
        Outcome::Judged(judge(&report(trace), expected))
    } else {
        Outcome::Skipped("no trace".to_owned())
    }
}

/// What `sendtrace report` says of a trace; an error of its own counts as no report.
fn report(trace: &Path) -> String {
    let run = run_sendtrace(&["report", "--format", "json", &trace.to_string_lossy()]);
    let said = String::from_utf8_lossy(&run.stderr);
    if !said.is_empty() {
        eprint!("{said}");
    }
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// How many events of each kind the trace has.
pub fn summary(trace: &Path) -> String {
    let played = replay(&[trace.as_os_str(), "--format".as_ref(), "json".as_ref()]);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in events(&played.stdout) {
        let event_kind = event["event"].as_str().unwrap_or("?");
        let code = ["cause", "name", "reason", "direction", "to"]
            .iter()
            .find_map(|key| event[event_kind][key].as_str());
        let count = event["count"].as_u64().unwrap_or(1);
        *counts
            .entry(format!("{event_kind}:{}", code.unwrap_or("?")))
            .or_default() += count;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{what}={count}"))
        .collect();
    counts.join(" ")
}
