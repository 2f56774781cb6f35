//! A report: findings first, then what they rest on.

use super::{Finding, Hours, Observed, Tables, findings};

/// No shorter observation says that nothing is wrong, nanoseconds.
const ENOUGH_NS: i64 = 1_000_000_000;

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are findings.
    Findings,
    /// Nothing that any rule knows, and nothing that calls for an explanation.
    NothingWrong,
    /// Nothing was seen, in too short a time or with too little recorded.
    TooLittleData,
}

impl Verdict {
    /// As JSON says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::NothingWrong => "nothing_wrong",
            Self::TooLittleData => "too_little_data",
        }
    }
}

/// What a renderer is given.
pub struct Report {
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    pub tables: Tables,
    pub observed: Observed,
}

impl Report {
    /// Judges what was observed.
    pub fn new(observed: Observed, hours: Hours) -> Self {
        let findings = findings(&observed);
        let verdict = if !findings.is_empty() {
            Verdict::Findings
        } else if observed.span_ns() < ENOUGH_NS || observed.coverage.kinds_missing() {
            Verdict::TooLittleData
        } else {
            Verdict::NothingWrong
        };
        Self {
            verdict,
            findings,
            tables: Tables::new(&observed, hours),
            observed,
        }
    }
}
