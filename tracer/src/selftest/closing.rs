//! Checks on the whole run, once it has ended: nothing unexpected, nothing lost, and every number adds up. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Check, Outcome, Verdict};
use super::expect::short;
use super::tracer_process::Finished;

/// Those of them that no event can spoil that a host withheld: one too many, a wrong sum, and the end of the run.
pub const SURE: [&str; 3] = ["nothing else", "totals", "end of the run"];
/// The check that says whether the kernel skipped runs.
const SKIPPED: &str = "skipped runs";

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
        verdict(SURE[0], nothing_else(&finished.lines, checks)),
        verdict(SURE[1], totals(&finished.lines)),
        verdict(SURE[2], end(finished)),
        skipped(&finished.lines),
    ]
}

/// Whether the kernel skipped runs of a program: it does not let a program interrupt itself on the same CPU
/// (`bpf_prog_inc_misses_counter` of `__bpf_trace_run` and of `__bpf_prog_enter_recur`), which a packet that arrives in
/// the midst of a run is enough for. An event may be missing because of it, and nobody has failed then.
fn skipped(lines: &[Value]) -> Verdict {
    let totals = lines.last().and_then(|last| last["events"].as_object());
    let skipped: Vec<_> = totals
        .into_iter()
        .flatten()
        .filter_map(|(event_kind, totals)| Some((event_kind, totals["missed"].as_u64()?)))
        .filter(|&(_, missed)| missed > 0)
        .map(|(event_kind, missed)| format!("{event_kind}: {missed}"))
        .collect();
    Verdict {
        name: SKIPPED.to_owned(),
        outcome: match skipped.is_empty() {
            true => Outcome::Pass("none that the kernel counted".to_owned()),
            false => Outcome::Withheld(format!(
                "the kernel skipped runs of programs, and counted them as missed: {}",
                skipped.join(", ")
            )),
        },
    }
}

fn events(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["type"] == "event")
}

/// As many segments as the kernel counts for this network namespace.
fn segments(lines: &[Value], counted: u64) -> Result<String, String> {
    let sent = events(lines)
        .filter(|line| line["event"] == "retransmit" && line["retransmit"]["outcome"] == "sent");
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
    // The kernel itself speaks in a new namespace (neighbour discovery), and not everything of it arrives. Sends
    // that succeed are how the faults are made: they are compared where they are what a check is about.
    let surprises: Vec<_> = events(lines)
        .filter(|line| line["owner"]["grade"] != "kernel" && line["event"] != "send")
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
    let Some(event_kinds) = last["events"].as_object() else {
        return Err(format!("totals without events: {last}"));
    };
    let mut seen = 0;
    for (event_kind, totals) in event_kinds {
        let number = |name: &str| {
            totals[name]
                .as_u64()
                .ok_or_else(|| format!("{event_kind}.{name} is not a number"))
        };
        seen += number("seen")?;
        if number("seen")? != number("filtered")? + number("emitted")? + number("aggregated")? {
            return Err(format!(
                "{event_kind}: seen is not filtered + emitted + aggregated: {totals}"
            ));
        }
        if number("emitted")? != number("delivered")? + number("lost")? {
            return Err(format!(
                "{event_kind}: emitted is not delivered + lost: {totals}"
            ));
        }
        if number("lost")? > 0 {
            return Err(format!("{event_kind}: events were lost: {totals}"));
        }
    }
    let names: BTreeSet<_> = event_kinds.keys().collect();
    Ok(format!(
        "{seen} events on this host went through {} event kinds, none was lost",
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use serde_json::json;

    use super::*;
    use crate::selftest::check::Watch;
    use crate::selftest::expect::{Expectation, Flow};

    fn line(local: &str, grade: &str) -> Value {
        json!({
            "type": "event", "event": "retransmit", "count": 1, "owner": {"pid": 1, "grade": grade},
            "flow": {"proto": "tcp", "local": local, "remote": "b:2", "netns": 7},
            "retransmit": {"outcome": "sent", "segments": 2},
        })
    }

    fn finished(lines: Vec<Value>) -> Finished {
        Finished {
            lines,
            garbled: Vec::new(),
            stderr: String::new(),
            status: ExitStatus::from_raw(0),
        }
    }

    fn last(seen: u64, lost: u64) -> Value {
        json!({"type": "totals", "events": {"retransmit": {
            "seen": seen, "filtered": 1, "emitted": 2, "aggregated": 3, "delivered": 2 - lost, "lost": lost,
            "missed": 0,
        }}})
    }

    fn claim() -> Check {
        let flow = Flow {
            proto: "tcp",
            local: Some("a:1".to_owned()),
            remote: Some("b:2".to_owned()),
            netns: 7,
        };
        Check {
            name: "one".to_owned(),
            watch: Some(Watch::new(
                "",
                vec![Expectation::events("retransmit", &flow, Vec::new())],
            )),
            outcome: None,
        }
    }

    fn failed(finished: &Finished, retransmitted: u64) -> Vec<String> {
        verdicts(finished, &[claim()], Ok(retransmitted))
            .into_iter()
            .filter(|verdict| matches!(verdict.outcome, Outcome::Fail(_)))
            .map(|verdict| verdict.name)
            .collect()
    }

    #[test]
    fn a_run_that_adds_up_has_nothing_to_complain_of() {
        let said = vec![line("a:1", "at_send"), line("x:9", "kernel"), last(6, 0)];
        assert!(failed(&finished(said), 4).is_empty());
    }

    #[test]
    fn an_event_that_nobody_provoked_is_found() {
        let said = vec![line("a:9", "at_send"), last(6, 0)];
        assert_eq!(failed(&finished(said), 2), ["nothing else"]);
    }

    #[test]
    fn segments_that_the_kernel_counts_and_nobody_reports_are_found() {
        let said = vec![line("a:1", "at_send"), last(6, 0)];
        assert_eq!(failed(&finished(said), 3), ["retransmitted segments"]);
    }

    #[test]
    fn totals_that_do_not_add_up_are_found() {
        for totals in [last(7, 0), last(6, 1), json!({"type": "event"})] {
            assert_eq!(failed(&finished(vec![totals]), 0).last().unwrap(), "totals");
        }
    }

    #[test]
    fn runs_that_the_kernel_skipped_are_withheld_and_no_failure() {
        let skipped = |missed: u64| {
            let mut totals = last(6, 0);
            totals["events"]["retransmit"]["missed"] = json!(missed);
            let finished = finished(vec![line("a:1", "at_send"), totals]);
            assert!(failed(&finished, 2).is_empty());
            let verdicts = verdicts(&finished, &[claim()], Ok(2));
            verdicts.into_iter().find(|verdict| verdict.name == SKIPPED)
        };
        let outcome = |missed| skipped(missed).unwrap().outcome;
        assert!(matches!(outcome(0), Outcome::Pass(_)));
        assert!(matches!(outcome(1), Outcome::Withheld(why) if why.contains("retransmit: 1")));
    }

    #[test]
    fn a_bad_end_is_found() {
        let garbled = Finished {
            garbled: vec!["oops".to_owned()],
            ..finished(vec![last(6, 0)])
        };
        assert_eq!(failed(&garbled, 0), ["end of the run"]);
        let crashed = Finished {
            status: ExitStatus::from_raw(11),
            ..finished(vec![last(6, 0)])
        };
        assert_eq!(failed(&crashed, 0), ["end of the run"]);
    }
}
