//! What is known of a recording, for people and as JSON.

mod trace_info;

pub use trace_info::*;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::Renderer;
use tracer_model::escape;
use tracer_model::event::EventKind;

/// Some lines for people, or one JSON object.
pub fn info(found: &TraceInfo, is_json: bool) -> String {
    if is_json { json(found) } else { text(found) }
}

/// Some lines for people.
fn text(found: &TraceInfo) -> String {
    let mut text = format!("{}\n", escape::name(found.name.as_bytes()));
    let mut line = |what: &str, value: &str| _ = writeln!(text, "  {what:<10} {value}");
    let known = |key: &str| {
        let value = found.fact(key).unwrap_or("unknown");
        escape::name(value.as_bytes())
    };
    line(
        "host",
        &format!("{}, Linux {}", known("host"), known("kernel_release")),
    );
    let arguments = found.facts("arguments").join(" ");
    line(
        "recorder",
        &format!(
            "sendtrace {}: {}",
            known("tool_version"),
            escape::name(arguments.as_bytes())
        ),
    );
    line("time", &span(found));
    let per_event = found
        .bytes_per_event()
        .map(|bytes| format!(", {bytes:.1} bytes each"));
    line(
        "holds",
        &format!(
            "{}{}; {}, {}, {}",
            many(found.events(), "event"),
            per_event.unwrap_or_default(),
            many(found.samples, "sample"),
            many(found.changes, "change"),
            many(found.triggers, "trigger")
        ),
    );
    line(
        "size",
        &format!(
            "{} bytes in {}, {}",
            found.bytes,
            many(found.blocks, "block"),
            many(found.segments, "segment")
        ),
    );
    line(
        "end",
        match found.ended {
            Ended::Cleanly => "clean: the totals are final",
            Ended::CutOff => "cut off: the recorder was killed, or the end is missing",
            Ended::Window => "whole: a window of the flight recorder",
            Ended::NotYet => "still being written",
        },
    );
    if found.clock_steps > 0 {
        let times = many(found.clock_steps.into(), "time");
        let steps = format!("the wall clock was set {times}");
        line("clock", &steps);
    }
    line("events", &counts(found));
    for (gap, first, last) in &found.gaps.first {
        let counts = gap.events.iter().map(|(_, count)| *count);
        let events = counts.fold(0, u64::saturating_add);
        line(
            "gap",
            &format!(
                "{} – {}: {} in {} could not be written: {}",
                found.time(*first).unwrap_or_default(),
                found.time(*last).unwrap_or_default(),
                many(events, "event"),
                many(gap.blocks, "block"),
                escape::name(gap.why.as_bytes())
            ),
        );
    }
    more(&mut line, "gap", found.gaps.all, found.gaps.first.len());
    for damage in &found.damage.first {
        line("damage", damage);
    }
    more(
        &mut line,
        "damage",
        found.damage.all,
        found.damage.first.len(),
    );
    if found.malformed > 0 {
        let blocks = many(found.malformed, "block");
        line("damage", &format!("not what the format says: {blocks}"));
    }
    if found.torn_bytes > 0 {
        let bytes = format!("{} bytes behind the last whole block", found.torn_bytes);
        line("torn", &bytes);
    }
    for loss in found.facts("not_seen") {
        line("not seen", &escape::name(loss.as_bytes()));
    }
    text + &Renderer::Text { colour: false }.totals(&found.totals)
}

/// `1 block`, `2 blocks`.
fn many(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

fn more(line: &mut impl FnMut(&str, &str), what: &str, all: u64, listed: usize) {
    let left = all.saturating_sub(listed as u64);
    if left > 0 {
        line(what, &format!("and {left} more"));
    }
}

fn span(found: &TraceInfo) -> String {
    let time = |at: Option<(u64, i128)>| at.and_then(|(_, wall_ns)| found.time(wall_ns));
    let (Some(first), Some(last)) = (time(found.first), time(found.last)) else {
        return "unknown".to_owned();
    };
    let seconds = found.duration_ns().unwrap_or_default() / 1_000_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{first} – {last} ({hours}:{minutes:02}:{seconds:02})")
}

/// `retransmit 12, drop 3 (of 700)`.
fn counts(found: &TraceInfo) -> String {
    let counts = EventKind::ALL.iter().zip(&found.counts);
    let some = counts.filter(|(_, count)| count.events > 0);
    let texts: Vec<_> = some
        .map(|(event_kind, count)| match count.count == count.events {
            true => format!("{event_kind} {}", count.events),
            false => format!("{event_kind} {} (stand for {})", count.events, count.count),
        })
        .collect();
    match texts.as_slice() {
        [] => "none".to_owned(),
        texts => texts.join(", "),
    }
}

/// A line of JSON.
fn json(found: &TraceInfo) -> String {
    let time = |at: Option<(u64, i128)>| at.and_then(|(_, wall_ns)| found.time(wall_ns));
    let boot = |at: Option<(u64, i128)>| at.map(|(boot_ns, _)| boot_ns);
    let counts = EventKind::ALL.iter().zip(&found.counts);
    let events: Map<_, _> = counts
        .filter(|(_, count)| count.events > 0)
        .map(|(event_kind, count)| {
            let value = json!({ "events": count.events, "count": count.count });
            (event_kind.name().to_owned(), value)
        })
        .collect();
    let gaps: Value = found
        .gaps
        .first
        .iter()
        .map(|(gap, first, last)| {
            let events: Map<_, _> = gap
                .events
                .iter()
                .map(|(event_kind, count)| (event_kind.clone(), json!(count)))
                .collect();
            json!({
                "first": found.time(*first), "last": found.time(*last), "blocks": gap.blocks,
                "events": events, "why": gap.why,
            })
        })
        .collect();
    let totals = Renderer::Json.totals(&found.totals);
    let totals: Value = serde_json::from_str(&totals).unwrap_or_default();
    let id = found
        .trace_id
        .map(|id| format!("{:032x}", u128::from_be_bytes(id)));
    let line = json!({
        "type": "trace",
        "path": found.name,
        "trace_id": id,
        "host": found.fact("host"),
        "kernel_release": found.fact("kernel_release"),
        "boot_id": found.fact("boot_id"),
        "tool_version": found.fact("tool_version"),
        "arguments": found.facts.get("arguments"),
        "not_seen": found.facts.get("not_seen"),
        "zone": found.facts.get("zone").and_then(|zone| zone.get("name")),
        "first": time(found.first),
        "last": time(found.last),
        "first_boot_ns": boot(found.first),
        "last_boot_ns": boot(found.last),
        "duration_ns": found.duration_ns(),
        "ended": found.ended.name(),
        "segments": found.segments,
        "blocks": found.blocks,
        "bytes": found.bytes,
        "events": found.events(),
        "bytes_per_event": found.bytes_per_event(),
        "event_kinds": events,
        "totals": totals.get("events"),
        "samples": found.samples,
        "changes": found.changes,
        "triggers": found.triggers,
        "counted": found.counted,
        "clock_steps": found.clock_steps,
        "gaps": found.gaps.all,
        "gap": gaps,
        "damaged": found.is_damaged(),
        "damage": found.damage.first,
        "damages": found.damage.all,
        "damaged_bytes": found.damaged_bytes,
        "missing_blocks": found.missing_blocks,
        "malformed_blocks": found.malformed,
        "torn_bytes": found.torn_bytes,
    });
    escape::json(format!("{line}\n"))
}
