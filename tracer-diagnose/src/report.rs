//! A report: findings first, then what they rest on.

use super::{Finding, Hours, Judgement, LeftOut, Observed, Tables, judge};

/// No shorter observation says that nothing is wrong, nanoseconds.
const ENOUGH_NS: i64 = 1_000_000_000;

/// More findings than this nobody reads at once.
const TOP: usize = 10;

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are findings.
    Findings,
    /// Nothing that any rule knows, and nothing that calls for an explanation.
    NothingWrong,
    /// Nothing was seen, in too short a time or with too little recorded, or a part of the recording is missing.
    TooLittleData,
    /// There are filters, and nothing in the recording is what they ask for.
    NothingMatched,
}

impl Verdict {
    /// As JSON says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::NothingWrong => "nothing_wrong",
            Self::TooLittleData => "too_little_data",
            Self::NothingMatched => "nothing_matched",
        }
    }
}

/// What a renderer is given.
pub struct Report {
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    /// What no finding is about, on purpose.
    pub left_out: Vec<LeftOut>,
    /// So many findings are for people to read at first; `None`: all.
    pub top: Option<usize>,
    pub tables: Tables,
    pub observed: Observed,
}

impl Report {
    /// Judges what was observed; `filtered`: only some of the events were asked for.
    pub fn new(observed: Observed, hours: Hours, filtered: bool) -> Self {
        let Judgement {
            findings, left_out, ..
        } = judge(&observed);
        let coverage = &observed.coverage;
        let partial =
            !coverage.damage.is_empty() || coverage.lost.count > 0 || coverage.sockets_left_out > 0;
        let verdict = if !findings.is_empty() {
            Verdict::Findings
        } else if filtered && observed.sockets.is_empty() && observed.counted.is_empty() {
            Verdict::NothingMatched
        } else if observed.span_ns() < ENOUGH_NS || coverage.kinds_missing() || partial {
            Verdict::TooLittleData
        } else {
            Verdict::NothingWrong
        };
        Self {
            verdict,
            findings,
            left_out,
            top: Some(TOP),
            tables: Tables::new(&observed, hours),
            observed,
        }
    }
}
