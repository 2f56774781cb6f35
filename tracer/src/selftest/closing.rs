//! Checks on the whole run, once it has ended: nothing unexpected, nothing lost, and every number adds up. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Check, Outcome, Verdict};
use super::expect::short;
use super::subject::Finished;

/// All of them. `retransmitted` is what the kernel counted (`TcpRetransSegs`), or why that is not compared.
pub fn verdicts(
    finished: &Finished,
    checks: &[Check],
    retransmitted: Result<u64, String>,
) -> Vec<Verdict> {
    let verdict = |name: &str, result: Result<String, String>| Verdict {
        name: name.to_owned(),
        outcome: match result {
            Ok(detail) => Outcome::Pass(detail),
            Err(detail) => Outcome::Fail(detail),
        },
    };
    let segments = match retransmitted {
        Ok(counted) => verdict("retransmitted segments", segments(&finished.lines, counted)),
        Err(why) => Verdict {
            name: "retransmitted segments".to_owned(),
            outcome: Outcome::Unsupported(why),
        },
    };
    vec![
        segments,
        verdict("nothing else", nothing_else(&finished.lines, checks)),
        verdict("totals", totals(&finished.lines)),
        verdict("end of the run", end(finished)),
    ]
}

fn events(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["type"] == "event")
}

/// As many segments as the kernel counts for this network namespace.
fn segments(lines: &[Value], counted: u64) -> Result<String, String> {
    let sent = events(lines)
        .filter(|line| line["signal"] == "retransmit" && line["retransmit"]["outcome"] == "sent");
    let seen: u64 = sent
        .filter_map(|line| line["retransmit"]["segments"].as_u64())
        .sum();
    if seen == counted {
        Ok(format!("{seen}, as the kernel counts (TcpRetransSegs)"))
    } else {
        Err(format!(
            "{seen} were reported, the kernel counts {counted} (TcpRetransSegs)"
        ))
    }
}

/// No event that nobody provoked, and none twice under another name.
fn nothing_else(lines: &[Value], checks: &[Check]) -> Result<String, String> {
    // The kernel itself speaks in a new namespace (neighbour discovery), and not everything of it arrives.
    let surprises: Vec<_> = events(lines)
        .filter(|line| line["owner"]["grade"] != "kernel")
        .filter(|line| !checks.iter().any(|check| check.claims(line)))
        .collect();
    match surprises.first() {
        None => Ok(format!(
            "{} lines, each of them provoked, or of the kernel itself",
            events(lines).count()
        )),
        Some(first) => Err(format!(
            "{} that nobody provoked; the first: {}",
            surprises.len(),
            short(first)
        )),
    }
}

/// The equations of the last line, and that nothing was lost.
fn totals(lines: &[Value]) -> Result<String, String> {
    let Some(last) = lines.last().filter(|line| line["type"] == "totals") else {
        return Err("the last line is not the totals".to_owned());
    };
    let Some(signals) = last["signals"].as_object() else {
        return Err(format!("totals without signals: {last}"));
    };
    let mut seen = 0;
    for (signal, totals) in signals {
        let number = |name: &str| {
            totals[name]
                .as_u64()
                .ok_or_else(|| format!("{signal}.{name} is not a number"))
        };
        seen += number("seen")?;
        if number("seen")? != number("filtered")? + number("emitted")? + number("aggregated")? {
            return Err(format!(
                "{signal}: seen is not filtered + emitted + aggregated: {totals}"
            ));
        }
        if number("emitted")? != number("delivered")? + number("lost")? {
            return Err(format!(
                "{signal}: emitted is not delivered + lost: {totals}"
            ));
        }
        if number("lost")? > 0 {
            return Err(format!("{signal}: events were lost: {totals}"));
        }
        if totals["missed"].as_u64().unwrap_or(0) > 0 {
            return Err(format!(
                "{signal}: the kernel skipped runs of the program: {totals}"
            ));
        }
    }
    let names: BTreeSet<_> = signals.keys().collect();
    Ok(format!(
        "{seen} events on this host went through {} signals, none was lost",
        names.len()
    ))
}

fn end(finished: &Finished) -> Result<String, String> {
    if let Some(line) = finished.garbled.first() {
        return Err(format!("a line is not JSON: {line}"));
    }
    if !finished.status.success() {
        return Err(format!(
            "the tracer ended with {}; it said: {}",
            finished.status,
            finished.stderr.trim()
        ));
    }
    Ok("SIGINT ends it with status 0 and the totals".to_owned())
}
