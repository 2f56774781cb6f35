//! A comparison as JSON.

use serde_json::{Value, json};

use super::{statistic, value};
use crate::render::json::line;
use crate::render::report::{clock, since_1970};
use crate::render::sample;
use tracer_diagnose::Finding;
use tracer_diagnose::diff::{Diff, FindingChange, Measure, Measured, Side, Times, pairs};

pub fn diff(diff: &Diff) -> String {
    let mut text = head(diff);
    for one in &diff.measures {
        text.push_str(&measure(one));
    }
    for pair in pairs(&diff.before.findings, &diff.after.findings) {
        text.push_str(&finding(pair.became, pair.before, pair.after));
    }
    for one in &diff.setup.settings {
        text.push_str(&line(&[
            ("type", "setting".into()),
            ("what", one.what.as_str().into()),
            ("before", one.before.clone().into()),
            ("after", one.after.clone().into()),
        ]));
    }
    let sides = [("before", &diff.before), ("after", &diff.after)];
    for ((name, side), changes) in sides.into_iter().zip(&diff.setup.during) {
        for change in changes {
            text.push_str(&line(&[
                ("type", "change".into()),
                ("during", name.into()),
                ("time", time(side, Some(change.wall_ns))),
                ("what", sample::change_words(&change.change).into()),
            ]));
        }
    }
    for warning in &diff.setup.warnings {
        text.push_str(&line(&[
            ("type", "warning".into()),
            ("what", warning.as_str().into()),
        ]));
    }
    for note in &diff.notes {
        text.push_str(&line(&[
            ("type", "note".into()),
            ("what", note.as_str().into()),
        ]));
    }
    text
}

fn time(side: &Side, wall_ns: Option<i64>) -> Value {
    let clock = clock(&side.observed, 0);
    let time = wall_ns
        .and_then(since_1970)
        .and_then(|ns| clock.rfc3339(ns));
    time.into()
}

fn head(diff: &Diff) -> String {
    let side = |side: &Side| {
        let (first, last) = side.observed.span.unzip();
        let traffic = &side.collector.traffic;
        let sampled = traffic.sampled_ns > 0;
        json!({
            "path": side.name, "host": side.host(),
            "first": time(side, first), "last": time(side, last),
            "duration_ns": side.observed.span.map(|_| side.observed.span_ns()),
            "segments": sampled.then_some(traffic.segments),
            "datagrams": sampled.then_some(traffic.datagrams),
            "lost": side.observed.coverage.lost.count,
        })
    };
    line(&[
        ("type", "diff".into()),
        ("verdict", diff.overall.verdict.name().into()),
        ("reason", diff.overall.reason.as_str().into()),
        ("bought_with_stalls", diff.overall.bought.into()),
        ("changes", diff.setup.changes().into()),
        ("before", side(&diff.before)),
        ("after", side(&diff.after)),
    ])
}

fn measure(measure: &Measure) -> String {
    let (unit, before, after, effect) = match &measure.values {
        Measured::Rate {
            unit,
            per,
            counts,
            dispersion,
        } => {
            let side = |count: f64, exposure: f64| json!({"count": whole(count), "value": value(count, exposure, *per)});
            let before = side(counts.before, counts.exposure_before);
            let after = side(counts.after, counts.exposure_after);
            let rates = value(counts.before, counts.exposure_before, 1.0).zip(value(
                counts.after,
                counts.exposure_after,
                1.0,
            ));
            let ratio = rates.filter(|(one, _)| *one > 0.0);
            let ratio = ratio.map(|(one, other)| other / one);
            let effect = json!({"ratio": ratio, "dispersion": dispersion});
            (*unit, before, after, effect)
        }
        Measured::Times {
            before,
            after,
            delta,
        } => {
            let side = |times: &Times| {
                json!({
                    "count": times.count, "median": times.median, "p90": times.p90, "max": times.max,
                })
            };
            (
                "us",
                side(before),
                side(after),
                json!({"cliffs_delta": delta}),
            )
        }
    };
    line(&[
        ("type", "measure".into()),
        ("measure", measure.id.as_str().into()),
        ("verdict", measure.verdict.name().into()),
        ("in_overall", measure.counts.into()),
        ("unit", unit.into()),
        ("before", before),
        ("after", after),
        ("effect", effect),
        ("statistic", statistic(measure).into()),
        ("p", measure.p.into()),
        ("note", measure.note.clone().into()),
    ])
}

/// Counts are whole; JSON shall show them so.
fn whole(count: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Value::from(count as u64)
}

fn finding(became: FindingChange, before: Option<&Finding>, after: Option<&Finding>) -> String {
    let Some(shown) = after.or(before) else {
        return String::new();
    };
    let confidence = |finding: Option<&Finding>| finding.map(|one| one.confidence.name());
    let explains = |finding: Option<&Finding>| finding.map(|one| one.explains);
    line(&[
        ("type", "finding".into()),
        ("became", became.name().into()),
        ("id", shown.id.as_str().into()),
        ("symptom", shown.symptom.name().into()),
        ("layer", shown.layer.map(|layer| layer.name()).into()),
        ("cause", shown.rule.cause.into()),
        ("confidence_before", confidence(before).into()),
        ("confidence_after", confidence(after).into()),
        ("explains_before", explains(before).into()),
        ("explains_after", explains(after).into()),
    ])
}
