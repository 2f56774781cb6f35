//! `docs/diagnosis.md`: how often the diagnosis was right about scenarios that it had never seen.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nix::sys::utsname::uname;

use crate::round::Line;
use crate::table::{CONFIDENCES, Sums, calibration, judged, percent, rows, sums};

const INTRODUCTION: &str = "\
# How often the diagnosis is right

`sendtrace record` with default options (and `--netns`, so that nothing else of the machine is in it) recorded real
faults, and hosts on which nothing is wrong; `sendtrace report` was asked what it sees. Every scenario was generated from
its seed: the kind of fault, rates, sizes, round-trip times, IPv4, IPv6 or IPv4 in IPv6 sockets, ports, names, container or
host, when the fault begins, NAT and bridges on the way, and what goes on beside it (links of others that come and go,
downloads, requests, a port that is closed once).

A finding is **right** when symptom, layer, cause, process, destination and time are what was made; where people would
call one fault by two names, both are right. It is **wrong** when any of them is not, also beside one that is right. A
finding that says itself that the cause is unknown, about the right process, counts as neither. A fault of which nothing
is said, or only of its consequences, is **silent**. On a healthy host any finding at all is an alarm.

`cargo xtask scenarios --seed --count 800 --jobs 10 --json FILE --docs` measures with new seeds and writes this page. Rules may be tuned on seeds below 1000; those here are above.
";

const BOUNDS: &str = "\
## What the tables do not show

- Where the kernel lets functions be hooked, connects that fail before their SYN are seen by default. On this machine it does
  not: they would take `--connect-errors`, and their faults (a loopback source, an IPv6-only socket, a source device that is
  down) are silent below.
- The faults were made on one machine and one kernel, between network namespaces, in recordings of 8 to 15 seconds. Hardware
  was not at hand: devices that refuse packets are virtual ones.
- Whoever made the faults also said what is right to call them. Where two names fit, the kind lists both.
- Faults that take something from the whole machine (the memory of TCP, the neighbour table) are not among them.
";

/// The whole page.
pub fn page(lines: &[Line]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let times: Vec<i64> = judged(lines).map(|(line, _)| line.time).collect();
    let seeds: Vec<u64> = judged(lines).map(|(line, _)| line.seed).collect();
    let commits: BTreeSet<&str> = judged(lines)
        .map(|(line, _)| line.commit.as_str())
        .collect();
    let _ = write!(
        page,
        "\nsendtrace of {}; kernel {}; {} recordings, {}, seeds {} to {} ({} below 1000); {} more could not be played.\n",
        commits.into_iter().collect::<Vec<_>>().join(", "),
        release.unwrap_or_else(|_| "unknown".to_owned()),
        times.len(),
        days(&times),
        seeds.iter().min().unwrap_or(&0),
        seeds.iter().max().unwrap_or(&0),
        seeds
            .iter()
            .filter(|seed| **seed < scenarios::generated::MEASURED)
            .count(),
        lines.len() - times.len(),
    );
    page.push_str(
        "\n## Confidence\n\n| confidence | findings | right | wrong | right of all | cause unknown |\n|---|---|---|---|---|---|\n",
    );
    for (confidence, count) in CONFIDENCES.iter().zip(calibration(lines)) {
        let all = count.right + count.wrong;
        let _ = writeln!(
            page,
            "| {confidence} | {all} | {} | {} | {} | {} |",
            count.right,
            count.wrong,
            percent(count.right, all),
            count.open
        );
    }
    let Sums {
        faults,
        named,
        silent,
        twins,
        alarms,
    } = sums(lines);
    let _ = write!(
        page,
        "\nOf {faults} faults {named} were named ({}) and {silent} were silent ({}). Of {twins} healthy hosts {alarms} led to a \
         finding ({}).\n",
        percent(named, faults),
        percent(silent, faults),
        percent(alarms, twins),
    );
    page.push_str(
        "\n## Kinds\n\nHow many recordings of each kind were named rightly, with which confidence at best; where several words \
         stand in a place, each is right.\n\n\
         | kind | right is | played | high | medium | low | unknown | silent | well | wrong |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (kind, row) in rows(lines) {
        let wrong: Vec<_> = row
            .wrong
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let _ = writeln!(
            page,
            "| `{kind}` | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.wanted.replace('|', " or "),
            row.played,
            row.high,
            row.medium,
            row.low,
            row.open,
            row.silent,
            row.well,
            wrong.join("; ")
        );
    }
    page.push_str("\n## Wrong findings of high confidence\n\n");
    for (line, verdict) in judged(lines) {
        for wrong in verdict
            .wrong
            .iter()
            .filter(|wrong| wrong.confidence == "high")
        {
            let _ = writeln!(
                page,
                "- seed {}, `{}` ({}): {} ({})",
                line.seed, line.kind, line.told, wrong.told, wrong.why
            );
        }
    }
    page.push('\n');
    page.push_str(BOUNDS);
    page
}

/// On which days it was measured.
fn days(times: &[i64]) -> String {
    let day = |time: &i64| {
        let time = jiff::Timestamp::from_second(*time);
        time.map_or_else(
            |_| "?".to_owned(),
            |time| time.strftime("%Y-%m-%d").to_string(),
        )
    };
    let days: BTreeSet<String> = times.iter().map(day).collect();
    days.into_iter().collect::<Vec<_>>().join(", ")
}
