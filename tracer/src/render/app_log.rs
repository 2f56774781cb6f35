//! The lines of an application's log with their evidence, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::json::{self as lines, line};
use super::report::{part, safe, since_1970};
use super::{Clock, Renderer};
use tracer_diagnose::applog::{AppLog, Found, IN_TIMELINE, Matched, SocketFacts};
use tracer_model::errno;
use tracer_model::event::{Flow, Owner};

/// The log; in text its lines stand in the timeline of the report. `clock` is that of the wall in the zone of the trace.
pub fn app_log(log: &AppLog, renderer: &Renderer, clock: &Clock) -> String {
    match renderer {
        Renderer::Text { .. } => text(log),
        Renderer::Json => json(log, clock),
    }
}

fn text(log: &AppLog) -> String {
    let [matched, ambiguous, nothing] = log.found();
    let counts = &log.counts;
    let mut text = format!(
        "\nApplication log {}: {} lines, {} of them speak of a failure\n",
        safe(&log.name),
        counts.lines,
        log.matched.len() as u64 + counts.outside + counts.left_out
    );
    part(&mut text, "clock", &log.clock_words());
    let found = format!(
        "{matched} have evidence, {ambiguous} fit several sockets, {nothing} have none; {} are from outside of the \
         recording",
        counts.outside
    );
    part(&mut text, "found", &found);
    for said in remarks(log) {
        part(&mut text, "not used", &said);
    }
    if log.matched.len() > IN_TIMELINE {
        let more = log.matched.len() - IN_TIMELINE;
        _ = writeln!(
            text,
            "   {more} more lines than the timeline shows: --format json lists them all"
        );
    }
    text.push('\n');
    text
}

/// What of the log was not used, and why.
fn remarks(log: &AppLog) -> Vec<String> {
    let counts = &log.counts;
    let mut said = Vec::new();
    if let Some((number, why)) = counts.first_bad {
        said.push(format!(
            "{} bad lines; the first is line {number}, which {why}",
            counts.bad
        ));
    }
    if counts.local_times > 0 {
        said.push(format!(
            "no zone in {} times: they were taken in that of the trace",
            counts.local_times
        ));
    }
    if counts.left_out > 0 {
        said.push(format!(
            "{} lines beyond the number that is kept",
            counts.left_out
        ));
    }
    if log.socket_index.left_out > 0 {
        said.push(format!(
            "{} events beyond the number that is kept: a line without evidence may have some",
            log.socket_index.left_out
        ));
    }
    said
}

fn json(log: &AppLog, clock: &Clock) -> String {
    let [matched, ambiguous, nothing] = log.found();
    let counts = &log.counts;
    let mut text = line(&[
        ("type", "app_log".into()),
        ("path", log.name.as_str().into()),
        ("lines", counts.lines.into()),
        ("matched", matched.into()),
        ("ambiguous", ambiguous.into()),
        ("unmatched", nothing.into()),
        ("outside", counts.outside.into()),
        ("without_failure", counts.without_failure.into()),
        ("bad", counts.bad.into()),
        (
            "first_bad_line",
            counts.first_bad.map(|(number, _)| number).into(),
        ),
        ("first_bad_why", counts.first_bad.map(|(_, why)| why).into()),
        ("local_times", counts.local_times.into()),
        ("left_out", counts.left_out.into()),
        ("events_left_out", log.socket_index.left_out.into()),
        ("clock", log.offset.name().into()),
        ("offset_ns", log.offset.ns().into()),
        ("clock_words", log.clock_words().into()),
    ]);
    for one in &log.matched {
        text.push_str(&app(log, one, clock));
    }
    text
}

fn app(log: &AppLog, one: &Matched, clock: &Clock) -> String {
    let entry = &one.entry;
    let (found, events, socket, candidates) = match &one.found {
        Found::Socket {
            index,
            events,
            exact,
        } => {
            let found = if *exact { "errno" } else { "socket" };
            (
                found,
                events.clone(),
                log.socket_index.sockets.get(*index),
                Vec::new(),
            )
        }
        Found::Ambiguous { sockets, .. } => {
            let sockets = sockets
                .iter()
                .filter_map(|index| log.socket_index.sockets.get(*index));
            ("ambiguous", Vec::new(), None, sockets.map(flow).collect())
        }
        Found::Nothing => ("none", Vec::new(), None, Vec::new()),
    };
    let owner = socket.map(|socket| {
        let mut owner = lines::owner(
            &Owner {
                started_boot_ns: None,
                ..socket.owner.clone()
            },
            clock,
        );
        if let Some(map) = owner.as_object_mut() {
            map.remove("holders");
        }
        owner
    });
    let time = since_1970(one.wall_ns).and_then(|ns| clock.rfc3339(ns));
    line(&[
        ("type", "app".into()),
        ("time", time.into()),
        ("id", entry.id.as_ref().map(|(_, id)| id.clone()).into()),
        ("line", entry.line.into()),
        ("what", one.words.as_str().into()),
        ("matched_by", found.into()),
        ("boot_ns", events.into()),
        ("errno", entry.errno.into()),
        ("name", entry.errno.and_then(errno::name).into()),
        (
            "peer",
            entry.peer.as_ref().map(|peer| peer.text.clone()).into(),
        ),
        ("pid", entry.pid.into()),
        ("retry", entry.retry.map(|(number, _)| number).into()),
        ("retries", entry.retry.and_then(|(_, most)| most).into()),
        ("bytes", entry.bytes.into()),
        ("owner", owner.unwrap_or(Value::Null)),
        ("flow", socket.map_or(Value::Null, flow)),
        ("candidates", json!(candidates)),
    ])
}

fn flow(socket: &SocketFacts) -> Value {
    lines::flow(Some(&Flow {
        proto: socket.proto.clone().into(),
        local: socket.local.clone(),
        remote: socket.remote.clone(),
        netns: None,
        socket: socket.cookie,
    }))
}
