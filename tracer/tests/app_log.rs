//! An application's log beside the trace of what happened to it: both were recorded at once, by
//! `tests/scenarios/src/bin/pairs.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/applog")
}

fn report(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["report", "retries.trace"])
        .args(arguments)
        .current_dir(folder())
        .env_clear()
        .env("TZ", "America/Caracas")
        .output()
        .expect("the program starts")
}

/// What a report says of this log: its head, and its lines.
fn said(log: &str, arguments: &[&str]) -> (Value, Vec<Value>) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("app.log");
    fs::write(&path, log).expect("room");
    let path = path.to_str().expect("UTF-8");
    let output = report(&[&["--format", "json", "--app-log", path], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        lines.last().map(|line| &line["type"]),
        Some(&"totals".into())
    );
    let of = |kind: &str| {
        lines
            .iter()
            .filter(|line| line["type"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    (of("app_log").remove(0), of("app"))
}

fn real() -> String {
    fs::read_to_string(folder().join("retries.log")).expect("the log")
}

fn words(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["what"].as_str().expect("words"))
        .collect()
}

const EVIDENCE: [&str; 3] = [
    "req_id=8f3 lost its connection (ETIMEDOUT) 3.4 s after the fourth RTO in a row on this socket",
    "req_id=8f3 could not connect (ETIMEDOUT) 1 s after the second SYN time-out in a row on this socket; retry 1/3 \
     went out on a new connection",
    "req_id=8f3 could not connect (ECONNREFUSED) less than 1 ms after a RST was received on this socket; retry 2/3 \
     went out on a new connection",
];

#[test]
fn each_failure_of_a_real_log_gets_its_evidence() {
    let (head, lines) = said(&real(), &[]);
    assert_eq!(words(&lines), EVIDENCE);
    assert_eq!(
        (&head["clock"], &head["matched"]),
        (&"same".into(), &3.into())
    );
    assert_eq!(head["without_failure"], 1);
    // The events are in the trace, under these names.
    let replay = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["replay", "retries.trace", "--format", "json"])
        .current_dir(folder())
        .output()
        .expect("the program starts");
    let events = String::from_utf8(replay.stdout).expect("UTF-8");
    for line in &lines {
        let named = line["boot_ns"].as_array().expect("events");
        assert!(!named.is_empty(), "{line}");
        for boot_ns in named {
            let wanted = format!("\"boot_ns\":{boot_ns},");
            let event = events.lines().find(|event| event.contains(&wanted));
            let event: Value = serde_json::from_str(event.expect("in the trace")).expect("JSON");
            assert_eq!(event["flow"]["socket"], line["flow"]["socket"]);
        }
    }
}

#[test]
fn people_find_the_lines_in_the_timeline() {
    let output = report(&["--app-log", "retries.log"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let timeline = text.split("What came first").nth(1).expect("a timeline");
    let flat = timeline.split_whitespace().collect::<Vec<_>>().join(" ");
    for evidence in EVIDENCE {
        assert!(flat.contains(evidence), "{text}");
    }
    let end = flat.find("lost its connection").expect("the line");
    let first = flat.find("time-out (rto)").expect("the event");
    let refused = flat.find("RST received").expect("the event");
    assert!(first < end && end < refused, "{text}");
}

#[test]
fn a_clock_that_is_off_is_estimated_from_the_errors_and_said() {
    let shifted = real().replace("T09:", "T14:");
    let (head, lines) = said(&shifted, &[]);
    assert_eq!(head["clock"], "estimated", "{head}");
    let offset = head["offset_ns"].as_i64().expect("a number");
    assert!(
        (offset - 5 * 3_600_000_000_000).abs() < 50_000_000,
        "{head}"
    );
    assert_eq!(words(&lines), EVIDENCE);
    let (given, lines) = said(&shifted, &["--app-log-offset", "5h"]);
    assert_eq!(
        (&given["clock"], words(&lines).as_slice()),
        (&"given".into(), &EVIDENCE[..])
    );
    let (wrong, lines) = said(&shifted, &["--app-log-offset=-5h"]);
    assert_eq!((lines.len(), &wrong["outside"]), (0, &3.into()));
}

#[test]
fn other_names_of_fields_are_taken_when_they_are_told() {
    let renamed = real().replace("req_id", "job").replace("dest", "server");
    let (_, lines) = said(&renamed, &["--app-log-fields", "id=job,dest=server"]);
    let expected = EVIDENCE.map(|words| words.replace("req_id", "job"));
    assert_eq!(words(&lines), expected);
    assert_eq!(lines[2]["peer"], "10.99.2.2:81");
}

#[test]
fn what_cannot_be_read_is_counted_and_what_it_holds_is_escaped() {
    let hostile = format!(
        "{}\u{1b}[2J nothing\n{{\"ts\":\n\nts=2026-11-23T09:09:33.6Z req_id=\u{1b}]0;x dest=9.9.9.9 errno=32\n",
        real()
    );
    let (head, lines) = said(&hostile, &[]);
    assert_eq!(
        (&head["bad"], &head["first_bad_line"]),
        (&2.into(), &5.into())
    );
    let nothing = lines
        .iter()
        .find(|line| line["errno"] == 32)
        .expect("the line");
    assert_eq!(nothing["matched_by"], "none");
    assert!(
        nothing["what"]
            .as_str()
            .expect("words")
            .contains("no kernel evidence within 2 s")
    );
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("\u{1b}app.log");
    fs::write(&path, hostile).expect("room");
    for format in ["text", "json"] {
        let output = report(&[
            "--format",
            format,
            "--app-log",
            path.to_str().expect("UTF-8"),
        ]);
        assert!(!output.stdout.contains(&0x1b), "{format}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_wrong_usage() {
    for (arguments, status) in [
        (&["--app-log-fields", "id=a"][..], 2),
        (
            &["--app-log", "retries.log", "--app-log-fields", "colour=a"],
            2,
        ),
        (&["--app-log", "retries.log", "--app-log-offset", "soon"], 2),
        (&["--app-log", "nowhere.log"], 1),
    ] {
        let output = report(arguments);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}
