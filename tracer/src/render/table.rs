//! The end of a run, for people: what was counted, and the totals.

use std::fmt::Write as _;

use super::text::{COLUMNS, WHO, ends, owner, pad};
use tracer_model::escape::{shorten, width};
use tracer_model::event::{Counted, CountedKind, EventKind, EventTotals, Totals};

/// The most that a code may take.
const CODE: usize = 30;

/// What was counted instead of listed, as a table; empty when nothing was.
pub fn counted(counts: &[Counted]) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let codes: Vec<String> = counts.iter().map(code).collect();
    let numbers = counts
        .iter()
        .map(|c| c.count.to_string().len())
        .max()
        .unwrap_or(0)
        .max("COUNT".len());
    let code_width = codes
        .iter()
        .map(|code| width(code))
        .max()
        .unwrap_or(0)
        .max("CODE".len());
    let whose = counts.iter().any(|c| c.owner.is_some() || c.flow.is_some());
    let mut text = String::from("counted, not listed:\n");
    let mut row = |count: &str, event_kind: &str, kind: &str, code: &str, rest: &str| {
        let line = format!(
            "{count:>numbers$}  {event_kind:<10}  {kind:<15}  {}  {rest}",
            pad(code, code_width)
        );
        _ = writeln!(text, "{}", line.trim_end());
    };
    row(
        "COUNT",
        "EVENT",
        "KIND",
        "CODE",
        if whose {
            "    PID   COMM        LOCAL → REMOTE"
        } else {
            ""
        },
    );
    for (c, code) in counts.iter().zip(&codes) {
        let mut rest = pad(&c.owner.as_ref().map(owner).unwrap_or_default(), WHO);
        if let Some(flow) = &c.flow {
            let used = numbers + 2 + 10 + 2 + 15 + 2 + code_width + 2 + width(&rest) + 2;
            _ = write!(rest, "  {}", ends(flow, COLUMNS.saturating_sub(used)));
        }
        row(
            &c.count.to_string(),
            c.event_kind.name(),
            c.kind.name(),
            code,
            &rest,
        );
    }
    text
}

fn code(counted: &Counted) -> String {
    let code = match (counted.kind, counted.bytes) {
        (CountedKind::PartialSend, Some(bytes)) => format!("{bytes} B not taken"),
        _ => counted.code.clone().unwrap_or_else(|| "-".to_owned()),
    };
    shorten(&tracer_model::escape::name(code.as_bytes()), CODE).into_owned()
}

/// The totals as a table, whether the equations hold, and what to do about what was lost.
pub fn totals(totals: &Totals) -> String {
    let heads = [
        "SEEN",
        "FILTERED",
        "EMITTED",
        "AGGREGATED",
        "DELIVERED",
        "LOST",
        "MISSED",
    ];
    let cells = |t: &EventTotals| -> [String; 7] {
        let [seen, filtered, emitted, aggregated, delivered, lost] = [
            t.seen,
            t.filtered,
            t.emitted,
            t.aggregated,
            t.delivered,
            t.lost,
        ]
        .map(|n| n.to_string());
        let missed = t.missed.map_or("-".to_owned(), |n| n.to_string());
        [seen, filtered, emitted, aggregated, delivered, lost, missed]
    };
    let rows: Vec<_> = totals
        .events
        .iter()
        .map(|(event_kind, t)| (event_kind.name(), cells(t)))
        .collect();
    let mut text = format!("{:<10}", "EVENT");
    let widths: Vec<usize> = (0..heads.len())
        .map(|i| {
            rows.iter()
                .map(|(_, cells)| cells[i].len())
                .max()
                .unwrap_or(0)
                .max(heads[i].len())
        })
        .collect();
    for (head, width) in heads.iter().zip(&widths) {
        _ = write!(text, "  {head:>width$}");
    }
    text.push('\n');
    for (event_kind, cells) in &rows {
        _ = write!(text, "{event_kind:<10}");
        for (cell, width) in cells.iter().zip(&widths) {
            _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    equation(
        &mut text,
        "seen = filtered + emitted + aggregated",
        totals,
        EventTotals::seen_holds,
    );
    equation(
        &mut text,
        "emitted = delivered + lost",
        totals,
        EventTotals::emitted_holds,
    );
    for (event_kind, t) in &totals.events {
        advice(&mut text, *event_kind, t);
    }
    text
}

fn equation(text: &mut String, name: &str, totals: &Totals, holds: fn(&EventTotals) -> bool) {
    let broken: Vec<_> = totals
        .events
        .iter()
        .filter(|(_, t)| !holds(t))
        .map(|(event_kind, _)| event_kind.name())
        .collect();
    _ = match broken.as_slice() {
        [] => writeln!(text, "{name}: ok"),
        event_kinds => writeln!(text, "{name}: does not hold for {}", event_kinds.join(", ")),
    };
}

fn advice(text: &mut String, event_kind: EventKind, t: &EventTotals) {
    if t.saturated {
        _ = writeln!(
            text,
            "A number of {event_kind} does not fit, or counted backwards: the nearest that fits is shown."
        );
    }
    if t.lost > 0 {
        _ = writeln!(
            text,
            "{} of {} {event_kind} events were lost because the ring was full: use a larger --ring, or a filter.",
            t.lost, t.emitted
        );
    }
    if let Some(missed @ 1..) = t.missed {
        _ = writeln!(
            text,
            "{missed} runs of the {event_kind} hooks were skipped by the kernel: their events were not seen."
        );
    }
}
