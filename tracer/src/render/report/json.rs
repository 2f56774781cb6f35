//! A report as JSON.

use serde_json::{Value, json};

use super::{clock, hours, since_1970};
use crate::render::json::{self as lines, line};
use crate::render::{Clock, sample};
use tracer_diagnose::{Evidence, Finding, Report, TimelineEvent};
use tracer_model::errno;
use tracer_model::event::{Direction, Owner};

pub fn report(report: &Report) -> String {
    let mut text = head(report);
    for finding in &report.findings {
        text.push_str(&one(report, finding));
    }
    tables(report, &mut text);
    text.push_str(&lines::totals(&report.observed.coverage.totals));
    text
}

fn time(clock: &Clock, wall_ns: i64) -> Value {
    since_1970(wall_ns).and_then(|ns| clock.rfc3339(ns)).into()
}

fn head(report: &Report) -> String {
    let observed = &report.observed;
    let clock = clock(observed, 0);
    let coverage = &observed.coverage;
    let (first, last) = observed.span.unzip();
    let at = |ns: Option<i64>| ns.map_or(Value::Null, |ns| time(&clock, ns));
    line(&[
        ("type", "report".into()),
        ("first", at(first)),
        ("last", at(last)),
        (
            "duration_ns",
            observed.span.map(|_| observed.span_ns()).into(),
        ),
        ("verdict", report.verdict.name().into()),
        ("findings", report.findings.len().into()),
        (
            "left_out",
            report
                .left_out
                .iter()
                .map(|one| json!({ "what": one.what, "count": one.count }))
                .collect(),
        ),
        (
            "hosts",
            observed
                .hosts
                .iter()
                .map(|host| host.name.clone())
                .collect(),
        ),
        (
            "events",
            coverage
                .event_kinds
                .as_ref()
                .map_or(Value::Null, |event_kinds| {
                    event_kinds.iter().cloned().collect()
                }),
        ),
        ("not_seen", coverage.not_seen.iter().cloned().collect()),
        ("damage", coverage.damage.iter().cloned().collect()),
        ("samples", coverage.samples.into()),
        ("lost", coverage.lost.count.into()),
        ("conversations", observed.conversations.len().into()),
        ("sockets", observed.sockets.len().into()),
    ])
}

/// A finding. `boot_ns` in its evidence names events of the trace.
fn one(report: &Report, finding: &Finding) -> String {
    let clock = clock(&report.observed, finding.subject.host);
    let subject = &finding.subject;
    let evidence = |one: &Evidence| {
        json!({
            "what": one.what, "count": one.count,
            "first": one.when.map(|(first, _)| time(&clock, first)),
            "last": one.when.map(|(_, last)| time(&clock, last)),
            "boot_ns": one.events,
        })
    };
    line(&[
        ("type", "finding".into()),
        ("id", finding.id.as_str().into()),
        ("symptom", finding.symptom.name().into()),
        ("layer", finding.layer.map(|layer| layer.name()).into()),
        ("cause", finding.rule.cause.into()),
        ("confidence", finding.confidence.name().into()),
        ("owner", owner(report, subject.host, subject.owner.as_ref())),
        ("flow", lines::flow(subject.flow.as_ref())),
        ("first", time(&clock, finding.first_ns)),
        ("last", time(&clock, finding.last_ns)),
        ("evidence", finding.evidence.iter().map(evidence).collect()),
        ("against", finding.against.iter().cloned().collect()),
        ("excluded", finding.excluded.iter().cloned().collect()),
        (
            "not_observed",
            finding.not_observed.iter().cloned().collect(),
        ),
        ("next_step", finding.rule.next_step.into()),
        ("do_not", finding.rule.do_not.into()),
        ("title", finding.rule.title.into()),
        ("explains", finding.explains.into()),
        ("share", ((finding.share * 1000.0).round() / 1000.0).into()),
        (
            "peer",
            subject.peer.as_ref().map(ToString::to_string).into(),
        ),
        ("about", subject.about.clone().into()),
        ("conversations", subject.conversations.into()),
        ("processes", subject.processes.into()),
        ("sockets", subject.sockets.into()),
        (
            "hosts",
            subject
                .hosts
                .iter()
                .filter_map(|host| report.observed.hosts.get(*host))
                .map(|host| host.name.clone())
                .collect(),
        ),
        ("host", host_name(report, subject.host)),
    ])
}

fn host_name(report: &Report, host: usize) -> Value {
    let host = report.observed.hosts.get(host);
    host.map(|host| host.name.clone()).into()
}

/// Times of owners are of CLOCK_BOOTTIME, which each host has for itself.
fn owner(report: &Report, host: usize, owner: Option<&Owner>) -> Value {
    let Some(owner) = owner else {
        return Value::Null;
    };
    let offset = report
        .observed
        .hosts
        .get(host)
        .and_then(|host| host.wall_minus_boot_ns);
    let clock = Clock {
        wall_minus_boot_ns: offset.unwrap_or(0).into(),
        ..clock(&report.observed, host)
    };
    let owner = Owner {
        started_boot_ns: offset.and(owner.started_boot_ns),
        ..owner.clone()
    };
    let mut value = lines::owner(&owner, &clock);
    if let Some(map) = value.as_object_mut() {
        map.remove("holders");
    }
    value
}

fn tables(report: &Report, text: &mut String) {
    let observed = &report.observed;
    let clock = clock(observed, 0);
    for talker in &report.tables.talkers {
        text.push_str(&line(&[
            ("type", "talker".into()),
            ("host", host_name(report, talker.host)),
            ("owner", owner(report, talker.host, Some(&talker.owner))),
            ("proto", talker.proto.as_str().into()),
            ("peer", talker.peer.to_string().into()),
            ("retransmits", talker.resent.count.into()),
            ("segments", talker.resent.segments.into()),
            ("bytes", talker.resent.bytes.into()),
            ("timeouts", talker.timeouts.into()),
            ("segments_per_s", talker.segments_per_s.into()),
            ("first", time(&clock, talker.resent.first_ns)),
            ("last", time(&clock, talker.resent.last_ns)),
        ]));
    }
    for row in &report.tables.errors {
        text.push_str(&line(&[
            ("type", "errors".into()),
            ("errno", row.errno.into()),
            ("name", errno::name(row.errno).into()),
            ("host", host_name(report, row.host)),
            ("owner", owner(report, row.host, Some(&row.owner))),
            ("proto", row.proto.as_str().into()),
            ("peer", row.peer.to_string().into()),
            ("count", row.sum.count.into()),
            ("first", time(&clock, row.sum.first_ns)),
            ("last", time(&clock, row.sum.last_ns)),
        ]));
    }
    for row in &report.tables.drops {
        text.push_str(&line(&[
            ("type", "drops".into()),
            ("reason", row.reason.clone().into()),
            ("direction", row.direction.map(Direction::name).into()),
            ("locations", row.locations.iter().cloned().collect()),
            ("count", row.sum.count.into()),
            ("of_sockets", row.of_sockets.into()),
            ("first", time(&clock, row.sum.first_ns)),
            ("last", time(&clock, row.sum.last_ns)),
        ]));
    }
    for one in &report.tables.timeline {
        let clock = super::clock(observed, one.host);
        let what = match &one.what {
            TimelineEvent::First(what) => what.clone(),
            // It has a line of its own, with more in it.
            TimelineEvent::Log(_) => continue,
            TimelineEvent::Change(change) => sample::change_words(change),
        };
        text.push_str(&line(&[
            ("type", "milestone".into()),
            ("time", time(&clock, one.wall_ns)),
            ("what", what.into()),
            ("host", host_name(report, one.host)),
            ("owner", owner(report, one.host, one.owner.as_ref())),
            ("peer", one.peer.as_ref().map(ToString::to_string).into()),
            ("count", one.count.into()),
        ]));
    }
    for (hour, counts) in hours(report) {
        text.push_str(&line(&[
            ("type", "hour".into()),
            ("hour", hour.into()),
            ("errors", counts.errors.into()),
            ("timeouts", counts.timeouts.into()),
            ("disconnects", counts.disconnects.into()),
        ]));
    }
}
