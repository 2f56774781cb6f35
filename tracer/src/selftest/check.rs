//! One check: what was provoked, what must be said of it, and how it ended.

use serde_json::Value;

use super::expect::{Expectation, State};
use tracer_capture::bpf_faults::BpfFaults;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// And what was seen.
    Pass(String),
    /// And what was expected and what came.
    Fail(String),
    /// And why.
    Unsupported(String),
    /// It failed each time, and each time this host had kept events from BPF programs. What was expected and what
    /// came.
    Withheld(String),
}

/// A check that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub name: String,
    pub outcome: Outcome,
}

/// What to watch for after a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    pub expectations: Vec<Expectation>,
    /// What passing means.
    pub detail: String,
    /// Segments to a port that the BPF programs must have lost.
    pub lost: Option<(u16, u32)>,
}

/// A check under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    /// What was provoked; `None` when nothing was.
    pub watch: Option<Watch>,
    /// Already known, whatever comes.
    pub outcome: Option<Outcome>,
}

impl Watch {
    /// These events; `detail` says so in short.
    pub fn new(detail: impl Into<String>, expectations: Vec<Expectation>) -> Self {
        Self {
            expectations,
            detail: detail.into(),
            lost: None,
        }
    }

    /// And so many segments to this port must have been lost.
    pub fn losing(mut self, port: u16, segments: u32) -> Self {
        self.lost = Some((port, segments));
        self
    }
}

impl Check {
    fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.watch.iter().flat_map(|watch| &watch.expectations)
    }

    /// Does one of its expectations claim this line?
    pub fn claims(&self, line: &Value) -> bool {
        self.expectations()
            .any(|expectation| expectation.claims(line))
    }

    /// May something still come that it waits for?
    pub fn waits(&self, said: &[Value], wall_minus_boot_ns: i128) -> bool {
        self.outcome.is_none()
            && self
                .expectations()
                .filter(|expectation| !expectation.comes_last())
                .any(|expectation| {
                    matches!(
                        expectation.state(said, wall_minus_boot_ns),
                        State::Missing(_)
                    )
                })
    }

    /// The end of it, once all has been said.
    pub fn verdict(self, said: &[Value], faults: &BpfFaults, wall_minus_boot_ns: i128) -> Verdict {
        let outcome = match (self.outcome, &self.watch) {
            (Some(outcome), _) => outcome,
            (None, None) => Outcome::Fail("nothing was provoked".to_owned()),
            (None, Some(watch)) => match watch.problem(said, faults, wall_minus_boot_ns) {
                Some(problem) => Outcome::Fail(problem),
                None => Outcome::Pass(watch.detail.clone()),
            },
        };
        Verdict {
            name: self.name,
            outcome,
        }
    }
}

impl Watch {
    fn problem(
        &self,
        said: &[Value],
        faults: &BpfFaults,
        wall_minus_boot_ns: i128,
    ) -> Option<String> {
        if let Some((port, expected)) = self.lost {
            match faults.lost(port) {
                Ok(lost) if lost == expected => {}
                Ok(lost) => {
                    return Some(format!(
                        "the fault did not come about: {lost} segments were lost, not {expected}"
                    ));
                }
                Err(error) => return Some(format!("the fault cannot be counted: {error:#}")),
            }
        }
        self.expectations.iter().find_map(|expectation| {
            match expectation.state(said, wall_minus_boot_ns) {
                State::Seen => None,
                State::Missing(text) | State::Wrong(text) => Some(text),
            }
        })
    }
}
