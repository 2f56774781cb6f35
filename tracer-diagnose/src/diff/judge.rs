//! From numbers to a verdict: what is called a difference, what unchanged, and what is too little to tell.

use super::Verdict;
use super::statistics::{self, Counts};

/// No smaller chance is called a difference.
pub const P: f64 = 0.01;
/// No smaller change of a rate is called one.
pub const RATIO: f64 = 1.25;
/// No smaller effect is called one: below it lies what Cliff's delta calls negligible (Romano et al., 2006).
pub const DELTA: f64 = 0.147;
/// What a distribution must at least be able to show before it is called unchanged: a large effect.
const LARGE_DELTA: f64 = 0.474;
/// Values that a distribution needs at least, on each side.
pub const VALUES: usize = 8;
/// Said of a measure of which nothing happened on either side.
pub const NONE: &str = "none before, none after";

/// Fewer is better.
pub fn judge_rate(counts: Counts, dispersion: f64) -> (Verdict, Option<f64>, Option<String>) {
    let p = statistics::rates(counts, dispersion);
    let Some(chance) = p else {
        let none = counts.before == 0.0 && counts.after == 0.0;
        let why = if none { NONE } else { "nothing to divide by" };
        return (Verdict::TooLittleData, None, Some(why.to_owned()));
    };
    let before = counts.before / counts.exposure_before;
    let after = counts.after / counts.exposure_after;
    let (verdict, note) = if chance < P && after >= before * RATIO {
        (Verdict::Worse, None)
    } else if chance < P && before >= after * RATIO {
        (Verdict::Better, None)
    } else if doubling_shows(counts, dispersion) {
        (Verdict::Unchanged, None)
    } else {
        let note = if dispersion > 3.0 {
            "too few, since they came in bursts"
        } else {
            "too few to show a doubling"
        };
        (Verdict::TooLittleData, Some(note.to_owned()))
    };
    (verdict, p, note)
}

/// Would twice the rate, on either side, have been seen?
fn doubling_shows(counts: Counts, dispersion: f64) -> bool {
    let all = counts.before + counts.after;
    let exposure = counts.exposure_before + counts.exposure_after;
    let expected = |part: f64| all * part / exposure;
    let (one, other) = (
        expected(counts.exposure_before),
        expected(counts.exposure_after),
    );
    let root = std::f64::consts::SQRT_2;
    let shows = |before: f64, after: f64| {
        let doubled = Counts {
            before,
            after,
            ..counts
        };
        statistics::rates(doubled, dispersion).is_some_and(|p| p < P)
    };
    shows(one / root, other * root) && shows(one * root, other / root)
}

/// Shorter is better. Both are sorted.
pub fn judge_times(
    before: &[f64],
    after: &[f64],
) -> (Verdict, Option<statistics::Ranks>, Option<String>) {
    if before.len() < VALUES || after.len() < VALUES {
        let note = format!("fewer than {VALUES} on a side");
        let note = if before.is_empty() && after.is_empty() {
            NONE.to_owned()
        } else {
            note
        };
        return (Verdict::TooLittleData, None, Some(note));
    }
    let Some(ranks) = statistics::ranks(before, after) else {
        return (
            Verdict::Unchanged,
            None,
            Some("all are the same".to_owned()),
        );
    };
    let deviation = statistics::delta_deviation(before.len(), after.len());
    let verdict = if ranks.p < P && ranks.delta.abs() >= DELTA {
        if ranks.delta > 0.0 {
            Verdict::Worse
        } else {
            Verdict::Better
        }
    } else if statistics::two_sided(LARGE_DELTA / deviation) < P {
        Verdict::Unchanged
    } else {
        let note = "too few to show even a large difference".to_owned();
        return (Verdict::TooLittleData, Some(ranks), Some(note));
    };
    (verdict, Some(ranks), None)
}
