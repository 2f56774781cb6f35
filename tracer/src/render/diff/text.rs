//! A comparison for people: the verdict, what it rests on, and what makes it doubtful.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::value;
use crate::render::report::{clock, part, safe, since_1970};
use crate::render::sample;
use crate::render::text::pad;
use tracer_diagnose::diff::{
    DELTA, Diff, Measure, Measured, NONE, P, RATIO, Side, Times, VALUES, Verdict, pairs,
};
use tracer_model::escape::shorten;

/// Width of the name of a measure.
const NAME: usize = 36;
/// Width of its unit.
const UNIT: usize = 14;
/// Width of a value.
const VALUE: usize = 19;

pub fn diff(diff: &Diff, colour: bool) -> String {
    let mut text = String::new();
    side(&diff.before, "before", &mut text);
    side(&diff.after, "after", &mut text);
    let mark = style(colour, colour_of(diff.overall.verdict).bold());
    let word = word(diff.overall.verdict).to_uppercase();
    _ = writeln!(text, "\n{mark}{word}{mark:#}");
    part(&mut text, "because", &safe(&diff.overall.reason));
    for warning in &diff.setup.warnings {
        part(&mut text, "warning", &safe(warning));
    }
    for note in &diff.notes {
        part(&mut text, "note", &safe(note));
    }
    changes(diff, &mut text);
    measures(diff, colour, &mut text);
    findings(diff, &mut text);
    text
}

fn side(side: &Side, name: &str, text: &mut String) {
    let clock = clock(&side.observed, 0);
    let (name, path) = (format!("{name:<7}"), safe(&side.name));
    let Some((first, _)) = side.observed.span else {
        _ = writeln!(text, "{name}{path}: no events");
        return;
    };
    let from = since_1970(first).and_then(|ns| clock.rfc3339(ns));
    let from = from.unwrap_or_else(|| "unknown time".to_owned());
    let host = side.host().map_or(String::new(), safe);
    let traffic = &side.collector.traffic;
    let packets = if traffic.sampled_ns > 0 {
        format!(", {} packets", traffic.packets())
    } else {
        String::new()
    };
    let seconds = seconds(side.seconds());
    _ = writeln!(text, "{name}{path}: {host} from {from}, {seconds}{packets}");
}

fn changes(diff: &Diff, text: &mut String) {
    let setup = &diff.setup;
    if setup.changes() == 0 {
        return;
    }
    _ = writeln!(text, "\nWhat else changed");
    let absent = || "not there".to_owned();
    for one in &setup.settings {
        let show = |value: &Option<String>| value.as_deref().map_or_else(absent, safe);
        let (what, before, after) = (safe(&one.what), show(&one.before), show(&one.after));
        _ = writeln!(text, "  {what}: {before} → {after}");
    }
    for ((name, side), changes) in [("before", &diff.before), ("after", &diff.after)]
        .into_iter()
        .zip(&setup.during)
    {
        let clock = clock(&side.observed, 0);
        for change in changes {
            let time = since_1970(change.wall_ns).and_then(|ns| clock.time_of_day(ns));
            let time = time.unwrap_or_default();
            let words = safe(&sample::change_words(&change.change));
            _ = writeln!(text, "  during {name}, {time}: {words}");
        }
    }
    if setup.unnamed > 0 {
        _ = writeln!(text, "  and {} more changes", setup.unnamed);
    }
}

fn measures(diff: &Diff, colour: bool, text: &mut String) {
    _ = writeln!(
        text,
        "\n{:<NAME$} {:<UNIT$} {:>VALUE$} {:>VALUE$}  VERDICT",
        "MEASURE", "UNIT", "BEFORE", "AFTER"
    );
    let (nothing, something): (Vec<_>, Vec<_>) =
        diff.measures.iter().partition(|one| is_empty(one));
    for one in something {
        measure(one, colour, text);
    }
    let names: Vec<_> = nothing
        .iter()
        .filter(|one| one.counts)
        .map(|one| match &one.note {
            Some(note) if note != NONE => format!("{} ({note})", one.title),
            _ => one.title.clone(),
        })
        .collect();
    text.push('\n');
    if !names.is_empty() {
        part(text, "none at all", &safe(&names.join(", ")));
    }
    let legend = format!(
        "Of events: how many, and how many per unit; a conditional binomial test, after division by their dispersion \
         where they come in bursts; a difference is p < {P} and {RATIO} times. Of times: how many, median, 90th \
         percentile; a Mann-Whitney U test; a difference is p < {P} and Cliff's delta {DELTA}, from {VALUES} values \
         on. What stands in brackets is shown beside a better measure of the same, and does not count."
    );
    part(text, "statistics", &legend);
}

/// Did nothing of it happen on either side?
fn is_empty(one: &Measure) -> bool {
    match &one.values {
        Measured::Rate { counts, .. } => counts.before == 0.0 && counts.after == 0.0,
        Measured::Times { before, after, .. } => before.count == 0 && after.count == 0,
    }
}

fn measure(one: &Measure, colour: bool, text: &mut String) {
    let mut more = Vec::new();
    let (unit, before, after) = match &one.values {
        Measured::Rate {
            unit,
            per,
            counts,
            dispersion,
        } => {
            let side = |count: f64, exposure: f64| match value(count, exposure, *per) {
                Some(rate) => format!("{count:.0}  {}", short(rate)),
                None => format!("{count:.0}  -"),
            };
            if *dispersion > 1.5 {
                more.push(format!("dispersion {}", short(*dispersion)));
            }
            (
                *unit,
                side(counts.before, counts.exposure_before),
                side(counts.after, counts.exposure_after),
            )
        }
        Measured::Times {
            before,
            after,
            delta,
        } => {
            let side = |times: &Times| match (times.median, times.p90) {
                (Some(median), Some(p90)) => {
                    format!("{}  {} {}", times.count, time(median), time(p90))
                }
                _ => times.count.to_string(),
            };
            more.extend(delta.map(|delta| format!("delta {delta:+.2}")));
            ("", side(before), side(after))
        }
    };
    let name = if one.counts {
        safe(&one.title)
    } else {
        format!("({})", safe(&one.title))
    };
    let name = pad(&shorten(&name, NAME), NAME);
    let mark = style(colour, colour_of(one.verdict));
    let verdict = word(one.verdict);
    _ = writeln!(
        text,
        "{name} {unit:<UNIT$} {before:>VALUE$} {after:>VALUE$}  {mark}{verdict}{mark:#}"
    );
    if let Some(p) = one.p {
        more.insert(0, format!("p {}", chance(p)));
    }
    more.extend(one.note.as_ref().map(|note| safe(note)));
    if !more.is_empty() {
        let more = more.join(", ");
        _ = writeln!(text, "{more:>width$}", width = NAME + UNIT + 2 * VALUE + 3);
    }
}

fn findings(diff: &Diff, text: &mut String) {
    let pairs = pairs(&diff.before.findings, &diff.after.findings);
    if pairs.is_empty() {
        return;
    }
    _ = writeln!(text, "\nFindings");
    for pair in pairs {
        let confidence = match (pair.before, pair.after) {
            (Some(one), Some(other)) if one.confidence != other.confidence => {
                format!("{} → {}", one.confidence.name(), other.confidence.name())
            }
            (_, Some(one)) | (Some(one), None) => one.confidence.name().to_owned(),
            (None, None) => continue,
        };
        let Some(shown) = pair.after.or(pair.before) else {
            continue;
        };
        let layer = shown
            .rule
            .layer
            .map_or("layer unknown", |layer| layer.name());
        _ = writeln!(
            text,
            "  {:<9}  {} · {layer} · {}, confidence {confidence}",
            pair.became.name(),
            shown.symptom.name(),
            safe(&shown.id)
        );
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::TooLittleData => "too little data",
        other => other.name(),
    }
}

/// Three digits that mean something.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.2}"),
        v => format!("{v:.2e}"),
    }
}

fn chance(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}

/// Microseconds, in the unit that suits.
fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0}us"),
        us if us < 1e6 => format!("{}ms", short(us / 1e3)),
        us => format!("{}s", short(us / 1e6)),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn style(colour: bool, style: Style) -> Style {
    if colour { style } else { Style::new() }
}

fn colour_of(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Better => AnsiColor::Green.on_default(),
        Verdict::Worse => AnsiColor::Red.on_default(),
        Verdict::Unchanged => Style::new(),
        Verdict::TooLittleData => AnsiColor::Yellow.on_default(),
    }
}
