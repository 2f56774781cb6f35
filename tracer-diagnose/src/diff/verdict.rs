//! What it comes to: better only where nothing was paid for it.

use super::{Measure, Measured, Setup, Side, Verdict};

/// No shorter recording is compared, seconds.
const SHORTEST: f64 = 1.0;

/// All measures together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overall {
    pub verdict: Verdict,
    /// For people: why.
    pub reason: String,
    /// Fewer errors, and longer stalls.
    pub bought: bool,
}

/// Judges the whole.
pub fn overall(before: &Side, after: &Side, measures: &[Measure]) -> Overall {
    let is = |verdict: Verdict| {
        let measures = measures.iter();
        measures
            .filter(move |measure| measure.counts && measure.verdict == verdict)
            .collect::<Vec<_>>()
    };
    let (worse, better, unchanged) = (
        is(Verdict::Worse),
        is(Verdict::Better),
        is(Verdict::Unchanged),
    );
    let titles = |measures: &[&Measure]| {
        let titles: Vec<_> = measures.iter().map(|one| one.title.as_str()).collect();
        titles.join(", ")
    };
    let fewer: Vec<_> = better
        .iter()
        .copied()
        .filter(|one| is_failure(one))
        .collect();
    let longer: Vec<_> = worse.iter().copied().filter(|one| is_time(one)).collect();
    let say = |verdict, reason| Overall {
        verdict,
        reason,
        bought: false,
    };
    if before.seconds() < SHORTEST || after.seconds() < SHORTEST {
        return say(
            Verdict::TooLittleData,
            format!("a recording is shorter than {SHORTEST} s"),
        );
    }
    if !fewer.is_empty() && !longer.is_empty() {
        let reason = format!(
            "fewer failures ({}) were bought with longer stalls ({}): whoever sends waits longer for the same end",
            titles(&fewer),
            titles(&longer)
        );
        return Overall {
            verdict: Verdict::Worse,
            reason,
            bought: true,
        };
    }
    if !worse.is_empty() {
        return say(Verdict::Worse, titles(&worse));
    }
    if let (false, Some(unsure)) = (fewer.is_empty(), measures.iter().find_map(may_be_longer)) {
        let reason = format!(
            "{} went down, but whether that was bought with longer stalls cannot be told: {unsure}",
            titles(&fewer)
        );
        return say(Verdict::TooLittleData, reason);
    }
    if !better.is_empty() {
        return say(Verdict::Better, titles(&better));
    }
    if !unchanged.is_empty() {
        let reason = format!("{}; of the rest there is too little", titles(&unchanged));
        return say(Verdict::Unchanged, reason);
    }
    let reason = "no measure has enough events on both sides: record longer, or under more load";
    say(Verdict::TooLittleData, reason.to_owned())
}

fn is_failure(measure: &Measure) -> bool {
    ["send_errors", "disconnects", "timeouts"]
        .iter()
        .any(|kind| measure.id.starts_with(kind))
}

fn is_time(measure: &Measure) -> bool {
    matches!(measure.values, Measured::Times { .. })
}

/// Too few stalls for a test, but what there is does not look shorter.
fn may_be_longer(measure: &Measure) -> Option<String> {
    let Measured::Times { before, after, .. } = &measure.values else {
        return None;
    };
    if measure.verdict != Verdict::TooLittleData || after.count == 0 {
        return None;
    }
    let grew = |one: Option<f64>, other: Option<f64>, factor: f64| match (one, other) {
        (Some(one), Some(other)) => other >= one * factor,
        (None, other) => other.is_some(),
        _ => false,
    };
    let longer = grew(before.median, after.median, 1.25) || grew(before.max, after.max, 2.0);
    longer.then(|| {
        let seconds =
            |us: Option<f64>| us.map_or("none".to_owned(), |us| format!("{:.1} s", us / 1e6));
        format!(
            "{}: {} before and {} after, the longest {} and {}",
            measure.title,
            before.count,
            after.count,
            seconds(before.max),
            seconds(after.max)
        )
    })
}

/// What else has to be said: a verdict says nothing about what no measure covers.
pub fn notes(overall: &Overall, new_and_sure: usize, setup: &Setup) -> Vec<String> {
    let mut notes = Vec::new();
    if new_and_sure > 0 && overall.verdict != Verdict::Worse {
        notes.push(format!(
            "{new_and_sure} findings are new and sure: look at them before calling it a success"
        ));
    }
    if setup.changes() == 0 {
        let routes = match setup.knows_routes {
            true => "",
            false => "routes are not listed in both recordings; ",
        };
        notes.push(format!(
            "no setting that is recorded changed in between ({routes}nothing is recorded of the application, of peers \
             and of the network)"
        ));
    }
    notes
}
