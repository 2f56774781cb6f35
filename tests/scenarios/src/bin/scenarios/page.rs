//! `docs/diagnosis.md`: how often the diagnosis was right, as it was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nix::sys::utsname::uname;

use crate::judged::{Outcome, Row, confidences};

const INTRODUCTION: &str = "\
# How often the diagnosis is right

`sendtrace report` was given recordings of real faults, and of states that only look like one: processes, sockets and
packets of network namespaces, with the fault made between them. Each scenario was played anew in every round, so
its times, ports and counts differ each time; the rules were not changed in between, and did not know these recordings.
What is expected stands in `tests/traces/diagnose/expected.json`: symptom, layer, cause, owner and destination.
A finding is right when all five are. **Every other finding counts as wrong**, even where it may be true of the same
fault too.

`cargo xtask scenarios --rounds N --docs` measures it anew and writes this page. The tests judge one recording of each
scenario without root: `cargo test --package tracer --test diagnose`.
";

const BOUNDS: &str = "\
## What the table does not show

- The faults were made on one machine, most of them between namespaces with paths of some 10 ms and rates of some
  MB/s. Hardware was not at hand: devices that refuse packets are virtual ones.
- `tcp_memory` takes memory away from the whole host, so it is played in virtual machines, on other kernels.
- What the tool cannot see is not in the table either: a connection without trouble leaves no event, so what was well
  is known only from the counters of the host.
- Loss of about 1 % of the segments is not called a fault, because chance and TCP's search for its rate look the same.
- With hooks missing (an older kernel, a filter, a reduced set of event kinds) every finding says so and is one step less
  sure; that is tested apart from this page.
";

/// The whole page.
pub fn page(rows: &[Row]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let rounds = rows.iter().map(|row| row.outcomes.len()).max().unwrap_or(0);
    let judged: usize = rows.iter().map(|row| row.verdicts().count()).sum();
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_else(|_| "unknown".to_owned());
    let _ = write!(
        page,
        "\n## Confidence\n\nKernel {release}; {} scenarios, {rounds} rounds, {judged} recordings.\n\n\
         | confidence | findings | right | wrong | right of 100 |\n|---|---|---|---|---|\n",
        rows.len()
    );
    let counts = confidences(rows);
    for confidence in ["high", "medium", "low"] {
        let Some(count) = counts.get(confidence) else {
            continue;
        };
        let all = count.right + count.wrong;
        let part = match all {
            0 => "–".to_owned(),
            all => format!("{:.1}", count.right as f64 * 100.0 / all as f64),
        };
        let _ = writeln!(
            page,
            "| {confidence} | {all} | {} | {} | {part} |",
            count.right, count.wrong
        );
    }
    let silent = rows.iter().filter(|row| row.expected.is_empty());
    let silent: Vec<_> = silent.flat_map(Row::verdicts).collect();
    let kept = silent.iter().filter(|verdict| verdict.wrong.is_empty());
    let _ = write!(
        page,
        "\nOf {} recordings in which nothing is wrong, {} led to no finding of any confidence.\n",
        silent.len(),
        kept.count()
    );
    page.push_str(
        "\n## Scenarios\n\nSymptom, layer, cause, owner and destination as expected; what was found in how many \
         rounds.\n\n| scenario | expected | found | beside it, or wrong |\n|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.wanted(),
            found(row),
            beside(row)
        );
    }
    page.push('\n');
    page.push_str(BOUNDS);
    page
}

/// How often it was found, by confidence.
fn found(row: &Row) -> String {
    let judged = row.verdicts().count();
    if judged == 0 {
        return "not played here".to_owned();
    }
    if row.expected.is_empty() {
        let silent = row.verdicts().filter(|verdict| verdict.wrong.is_empty());
        return format!("silence in {} of {judged}", silent.count());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let all = row.verdicts().flat_map(|verdict| &verdict.right);
    for confidence in all {
        *counts.entry(confidence).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(confidence, count)| format!("{confidence} {count}"))
        .collect();
    let wanted = judged * row.expected.len();
    format!("{} of {wanted}", counts.join(", "))
}

fn beside(row: &Row) -> String {
    let mut said: BTreeSet<String> = BTreeSet::new();
    for outcome in &row.outcomes {
        match outcome {
            Outcome::Judged(verdict) => {
                said.extend(verdict.others.iter().map(|other| other.told.clone()));
                let missed = verdict.wrong.iter();
                said.extend(missed.filter(|why| why.starts_with("does not")).cloned());
            }
            Outcome::Skipped(why) => _ = said.insert(why.clone()),
            Outcome::NotPlayed(why) => {
                let line = why.lines().next().unwrap_or_default();
                said.insert(format!("not played: {line}"));
            }
        }
    }
    let said: Vec<_> = said
        .into_iter()
        .map(|one| one.replace('|', "\\|"))
        .collect();
    said.join("; ")
}
