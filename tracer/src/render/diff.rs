//! A comparison, for people and for programs.

mod json;
mod text;

use tracer_diagnose::diff::{Diff, Measure, Measured};

/// One JSON object per line: `diff`, then each `measure`, `finding`, `setting`, `change` and `warning`.
pub fn json(diff: &Diff) -> String {
    json::diff(diff)
}

/// For people.
pub fn text(diff: &Diff, colour: bool) -> String {
    text::diff(diff, colour)
}

/// The test behind a measure.
fn statistic(measure: &Measure) -> &'static str {
    match measure.values {
        Measured::Rate { .. } => "conditional_binomial",
        Measured::Times { .. } => "mann_whitney_u",
    }
}

/// Events per unit, where there is something to divide by.
fn value(events: f64, exposure: f64, per: f64) -> Option<f64> {
    (exposure > 0.0).then(|| events / exposure * per)
}
