//! A report for people: findings first, then what they rest on.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{hours, since_1970};
use crate::render::text::columns;
use crate::render::{Clock, sample};
use tracer_diagnose::rule::Confidence;
use tracer_diagnose::{Evidence, Finding, Report, TimelineEvent, Verdict};
use tracer_model::errno;
use tracer_model::escape;
use tracer_model::event::{Direction, Owner};

/// A time of day is ambiguous beyond this.
const DAY_NS: i64 = 20 * 3600 * 1_000_000_000;
/// Width of the words in front of the parts of a finding.
const LABEL: usize = 13;

pub fn report(report: &Report, colour: bool) -> String {
    let mut text = String::new();
    head(report, &mut text);
    let shown = report.top.unwrap_or(usize::MAX);
    for (number, one) in report.findings.iter().take(shown).enumerate() {
        finding(report, number + 1, one, colour, &mut text);
    }
    let rest = report.findings.iter().skip(shown);
    if rest.len() > 0 {
        let count = rest.len();
        let part: f64 = rest.map(|finding| finding.share).sum();
        _ = writeln!(
            text,
            "\n{count} more, with {:.0} % of the harm: --all shows them.",
            part * 100.0
        );
    }
    tables(report, &mut text);
    text
}

fn head(report: &Report, text: &mut String) {
    let observed = &report.observed;
    let clock = times(report, 0);
    let names = observed.hosts.iter().map(|host| safe(&host.name));
    let names = names.collect::<Vec<_>>().join(", ");
    match observed.span {
        Some((first, last)) => {
            let seconds = observed.span_ns() as f64 / 1e9;
            _ = writeln!(
                text,
                "{names}: {} to {}, {}",
                date(&clock, first),
                date(&clock, last),
                duration(seconds)
            );
        }
        None => _ = writeln!(text, "{names}: no events"),
    }
    let said = match report.verdict {
        Verdict::Findings => match report.findings.len() {
            1 => "One finding.".to_owned(),
            many => format!("{many} findings, the one with most harm first, guesses last."),
        },
        Verdict::NothingWrong => {
            match report.left_out.is_empty() {
                true => "Nothing wrong: nothing in what was recorded calls for an explanation.".to_owned(),
                false => "Nothing wrong: all that was recorded is accounted for, and is no trouble.".to_owned(),
            }
        }
        Verdict::NothingMatched => {
            "Nothing matched: no event in the recording is what the filters ask for.".to_owned()
        }
        Verdict::TooLittleData => {
            "Too little data: record longer, all event kinds, and without gaps, before concluding that nothing is wrong."
                .to_owned()
        }
    };
    _ = writeln!(text, "{said}");
    for one in &report.left_out {
        part(text, "left out", &format!("{} × {}", one.count, one.what));
    }
    let coverage = &observed.coverage;
    for not_seen in &coverage.not_seen {
        _ = writeln!(text, "Not seen on this host: {}", safe(not_seen));
    }
    for damage in &coverage.damage {
        _ = writeln!(text, "Not in the trace: {}", safe(damage));
    }
    if coverage.lost.count > 0 {
        _ = writeln!(
            text,
            "{} events were lost while recording.",
            coverage.lost.count
        );
    }
    if coverage.sockets_left_out > 0 {
        _ = writeln!(
            text,
            "{} events are of sockets beyond the number that is kept apart.",
            coverage.sockets_left_out
        );
    }
}

fn finding(report: &Report, number: usize, finding: &Finding, colour: bool, text: &mut String) {
    let clock = times(report, finding.subject.host);
    let rule = finding.rule;
    let strong = style(colour, Style::new().bold());
    let sure = style(
        colour,
        match finding.confidence {
            Confidence::High => AnsiColor::Red.on_default(),
            Confidence::Medium => AnsiColor::Yellow.on_default(),
            Confidence::Low => Style::new().dimmed(),
        },
    );
    let layer = finding.layer.map_or("layer unknown", |layer| layer.name());
    _ = writeln!(
        text,
        "\n{number}. {strong}{} · {layer} · {}{strong:#} · {sure}confidence {}{sure:#}{}",
        finding.symptom.name(),
        rule.cause,
        finding.confidence.name(),
        match finding.share {
            0.0 => String::new(),
            share => format!(" · {:.0} % of the harm", share * 100.0),
        }
    );
    part(text, "what", rule.title);
    part(text, "who", &who(report, finding));
    part(
        text,
        "when",
        &format!(
            "{} to {}",
            moment(&clock, finding.first_ns),
            moment(&clock, finding.last_ns)
        ),
    );
    for one in &finding.evidence {
        part(text, "evidence", &evidence(one, &clock));
    }
    for one in &finding.against {
        part(text, "against", &safe(one));
    }
    if !finding.excluded.is_empty() {
        part(text, "excluded", &safe(&finding.excluded.join("; ")));
    }
    for one in &finding.not_observed {
        part(text, "not observed", &safe(one));
    }
    part(text, "why", rule.reason);
    part(text, "next step", rule.next_step);
    part(text, "do not", rule.do_not);
}

fn who(report: &Report, finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut who = match &subject.owner {
        Some(owner) => owner_words(owner),
        None => "this host".to_owned(),
    };
    match subject.processes {
        0 | 1 => {}
        2 => who.push_str(" and another process"),
        many => _ = write!(who, " and {} other processes", many - 1),
    }
    if let Some(about) = &subject.about {
        _ = write!(who, ", {}", safe(about));
    }
    let proto = subject.flow.as_ref().map_or("", |flow| flow.proto.as_ref());
    match &subject.peer {
        Some(peer) => _ = write!(who, " → {proto} {}", safe(&peer.to_string())),
        None if subject.conversations > 1 => {
            _ = write!(who, " → {proto} {} destinations", subject.conversations);
        }
        None => {}
    }
    if subject.sockets > 1 {
        _ = write!(who, ", {} sockets", subject.sockets);
    }
    if subject.hosts.len() > 1 {
        let names = subject
            .hosts
            .iter()
            .filter_map(|host| report.observed.hosts.get(*host));
        let names: Vec<_> = names.map(|host| safe(&host.name)).collect();
        _ = write!(who, ", on {}", names.join(", "));
    }
    who
}

fn owner_words(owner: &Owner) -> String {
    let comm = owner.comm.as_ref();
    let comm = comm.map_or("unknown".to_owned(), |comm| escape::name(comm.as_bytes()));
    match owner.pid {
        Some(pid) => {
            let place = owner.place_name();
            let place = place.map_or(String::new(), |place| {
                format!("{}, ", escape::name(place.as_bytes()))
            });
            format!("{comm} (pid {pid}, {place}owner {})", owner.grade.name())
        }
        None => format!("{comm} (owner {})", owner.grade.name()),
    }
}

fn evidence(one: &Evidence, clock: &Times) -> String {
    let what = safe(&one.what);
    let counted = one
        .count
        .map_or(what.clone(), |count| format!("{count} × {what}"));
    match one.when {
        Some((first, last)) if first == last => format!("{counted}, {}", moment(clock, first)),
        Some((first, last)) => {
            format!(
                "{counted}, {} to {}",
                moment(clock, first),
                moment(clock, last)
            )
        }
        None => counted,
    }
}

/// A row of a table, no wider than a line.
macro_rules! row {
    ($text:expr, $($words:tt)*) => {{
        let line = format!($($words)*);
        _ = writeln!($text, "{}", escape::shorten(&line, columns()));
    }};
}

/// Who, where there is little room; with the host where there are several.
fn short(report: &Report, host: usize, owner: &Owner) -> String {
    let comm = owner.comm.as_ref();
    let comm = comm.map_or("unknown".to_owned(), |comm| escape::name(comm.as_bytes()));
    let who = owner
        .pid
        .map_or(comm.clone(), |pid| format!("{comm}/{pid}"));
    match report.observed.hosts.get(host) {
        Some(host) if report.observed.hosts.len() > 1 => format!("{who}@{}", safe(&host.name)),
        _ => who,
    }
}

fn tables(report: &Report, text: &mut String) {
    let clock = times(report, 0);
    let tables = &report.tables;
    if !tables.talkers.is_empty() {
        _ = writeln!(text, "\nWho sends again most");
        for one in &tables.talkers {
            let rate = one.segments_per_s;
            let rate = rate.map_or(String::new(), |rate| format!(" ({rate:.1}/s)"));
            row!(
                text,
                "  {:>7} segments{rate}, {} time-outs  {} → {} {}",
                one.resent.segments,
                one.timeouts,
                short(report, one.host, &one.owner),
                one.proto,
                safe(&one.peer.to_string())
            );
        }
    }
    if !tables.errors.is_empty() {
        _ = writeln!(text, "\nErrors of sends");
        for one in &tables.errors {
            row!(
                text,
                "  {:>7} {:<13} {} → {} {}  {} to {}",
                one.sum.count,
                errno::display(one.errno),
                short(report, one.host, &one.owner),
                one.proto,
                safe(&one.peer.to_string()),
                moment(&clock, one.sum.first_ns),
                moment(&clock, one.sum.last_ns)
            );
        }
    }
    if !tables.drops.is_empty() {
        _ = writeln!(text, "\nPackets dropped on this host");
        for one in &tables.drops {
            let direction = one
                .direction
                .map_or(String::new(), |direction| match direction {
                    Direction::Sent => ", on the way out".to_owned(),
                    Direction::Received => ", on the way in".to_owned(),
                });
            row!(
                text,
                "  {:>7} {}{direction} {}",
                one.sum.count,
                safe(one.reason.as_deref().unwrap_or("no reason given")),
                safe(&one.locations.join(", "))
            );
        }
    }
    if !tables.timeline.is_empty() {
        _ = writeln!(text, "\nWhat came first");
        for one in &tables.timeline {
            let clock = times(report, one.host);
            let what = match &one.what {
                TimelineEvent::First(what) => what.clone(),
                TimelineEvent::Log(words) => {
                    part(
                        text,
                        &moment(&clock, one.wall_ns),
                        &safe(&format!("log: {words}")),
                    );
                    continue;
                }
                TimelineEvent::Change(change) => sample::change_words(change),
            };
            let whose = match (&one.owner, &one.peer) {
                (Some(owner), Some(peer)) => {
                    format!(
                        "  {} → {}",
                        short(report, one.host, owner),
                        safe(&peer.to_string())
                    )
                }
                _ => String::new(),
            };
            let of = if one.count > 1 {
                format!(" of {}", one.count)
            } else {
                String::new()
            };
            row!(
                text,
                "  {} {}{of}{whose}",
                moment(&clock, one.wall_ns),
                safe(&what)
            );
        }
    }
    histogram(report, text);
}

/// The hours of the day, where there were more than one.
fn histogram(report: &Report, text: &mut String) {
    let rows = hours(report);
    let all = |row: &tracer_diagnose::HourCounts| row.errors + row.timeouts + row.disconnects;
    let most = rows.iter().map(|(_, row)| all(row)).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    _ = writeln!(text, "\nHours of the day");
    for (hour, row) in rows.iter().filter(|(_, row)| all(row) > 0) {
        let bar = (all(row) * 40).div_ceil(most);
        _ = writeln!(
            text,
            "  {hour:02}:00 {:<40} {} errors, {} time-outs, {} disconnects",
            "#".repeat(usize::try_from(bar).unwrap_or(40)),
            row.errors,
            row.timeouts,
            row.disconnects
        );
    }
}

/// A labelled part of a finding, wrapped.
pub fn part(text: &mut String, label: &str, words: &str) {
    let mut line = format!("   {label:<LABEL$}");
    let mut used = escape::width(&line);
    let start = used;
    for word in words.split_whitespace() {
        let width = escape::width(word);
        if used > start && used + 1 + width > columns() {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(start);
            used = start;
        }
        if used > start {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += width;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

pub fn safe(text: &str) -> String {
    escape::name(text.as_bytes())
}

fn style(colour: bool, style: Style) -> Style {
    if colour { style } else { Style::new() }
}

/// Times of a host, as this report shows them.
struct Times {
    clock: Clock,
    /// With the day: what was observed is longer than one.
    dated: bool,
}

fn times(report: &Report, host: usize) -> Times {
    Times {
        clock: super::clock(&report.observed, host),
        dated: report.observed.span_ns() > DAY_NS,
    }
}

fn date(times: &Times, wall_ns: i64) -> String {
    let full = since_1970(wall_ns).and_then(|ns| times.clock.rfc3339(ns));
    full.unwrap_or_else(|| "unknown time".to_owned())
}

fn moment(times: &Times, wall_ns: i64) -> String {
    let time = since_1970(wall_ns).and_then(|ns| times.clock.time_of_day(ns));
    let time = time.unwrap_or_else(|| "--:--:--.---".to_owned());
    match date(times, wall_ns).get(..10) {
        Some(day) if times.dated => format!("{day} {time}"),
        _ => time,
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
