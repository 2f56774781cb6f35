//! A replay is what was printed, byte for byte; and what somebody else saw at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use scenarios::recording::{Recorder, Said, events, lines, replay};
use scenarios::{SOON, Tracer, World, requires, sendtrace, sendtrace_path, skip};
use serde_json::{Value, json};

use crate::traffic;

/// Two processes measure these for themselves: clocks, and what has passed since something; and whether the
/// owner was still there depends on when each of them looked.
const OWN: [&str; 8] = [
    "/boot_ns",
    "/owner/grade",
    "/time",
    "/owner/started",
    "/tcp/last_send_us_ago",
    "/tcp/last_ack_us_ago",
    "/tcp/rto_us",
    "/send_error/blocked_us",
];

#[test]
#[ignore = "needs root"]
fn root_a_replay_is_byte_for_byte_what_was_printed_and_what_live_saw() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let netns = ["--netns", &world.a.name];
    let record = |format: &str| {
        let (trace, printed) = (path(&format!("{format}.trace")), path(format));
        let arguments = ["-w", &trace, "--print", "--format", format];
        Recorder::start(Path::new(&printed), &[&arguments[..], &netns].concat())
    };
    let (json, text) = (record("json"), record("text"));
    let live = Tracer::start(&netns);

    traffic::faults(&world);
    json.wait_printed("last fault", traffic::is_last);
    live.wait_for("the last fault", SOON, traffic::is_last);
    scenarios::recording::wait_until("the last fault as text", || {
        fs::read_to_string(path("text")).is_ok_and(|text| text.contains("the-last"))
    });
    let live = live.stop();
    for (recorder, format) in [(json, "json"), (text, "text")] {
        let printed = recorder.stop();
        assert!(printed.status.success(), "{}", printed.stderr);
        let trace = path(&format!("{format}.trace"));
        let played = replay(&[trace.as_str(), "--format", format]);
        assert!(played.status.success(), "{}", played.stderr);
        assert_eq!(played.stderr, "");
        assert_same(&printed, &played);
        if format == "json" {
            live.assert_complete();
            played.run("replay").assert_complete();
            assert_kinds(&events(&played.stdout));
            assert_same_events(&live.events, &events(&played.stdout));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn root_a_live_report_and_the_report_of_a_recording_find_the_same() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (trace, printed, reported) = (path("n.trace"), path("printed"), path("live"));
    let of_host = ["--netns", &world.a.name, "--format", "json"];
    let record = [&["-w", &trace, "--print"][..], &of_host].concat();
    let recorder = Recorder::start(Path::new(&printed), &record);
    let live = [&["--report"][..], &of_host].concat();
    let live = Recorder::live(Path::new(&reported), &live);
    traffic::faults(&world);
    recorder.wait_printed("last fault", traffic::is_last);
    live.wait_printed("last fault", traffic::is_last);
    let (live, recorder) = (live.stop(), recorder.stop());
    assert!(live.status.success(), "{}", live.stderr);
    assert!(recorder.status.success(), "{}", recorder.stderr);

    let report = sendtrace()
        .args(["report", &trace, "--format", "json"])
        .output();
    let report = report.expect("the program starts").stdout;
    let report = String::from_utf8(report).expect("UTF-8");
    // Each looked for owners at its own moments, and who they are decides which sockets belong together.
    let found = |text: &str| -> BTreeSet<String> {
        let findings = lines(text, "finding").into_iter();
        let what = findings.map(|one| json!([one["symptom"], one["layer"], one["cause"]]));
        what.map(|what| what.to_string()).collect()
    };
    assert!(found(&report).len() > 1, "{report}");
    assert_eq!(found(&live.stdout), found(&report), "{report}");
    for kind in ["report", "totals"] {
        assert_eq!(lines(&live.stdout, kind).len(), 1, "{}", live.stdout);
    }
    for text in [&live.stdout, &report] {
        let samples = lines(text, "report")[0]["samples"].as_u64();
        assert!(samples >= Some(1), "the last look counts: {text}");
    }
}

/// Compares line by line first, for the sake of the message.
#[track_caller]
fn assert_same(printed: &Said, played: &Said) {
    for (number, (one, other)) in printed
        .stdout
        .lines()
        .zip(played.stdout.lines())
        .enumerate()
    {
        assert_eq!(one, other, "line {}", number + 1);
    }
    assert_eq!(printed.stdout, played.stdout);
}

/// The traffic was what the comparison is about.
#[track_caller]
fn assert_kinds(events: &[Value]) {
    let event_kinds: BTreeSet<_> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    for event_kind in ["connection", "send_error", "drop", "retransmit"] {
        assert!(
            event_kinds.contains(event_kind),
            "no {event_kind} among {event_kinds:?}"
        );
    }
    let names: BTreeSet<_> = events
        .iter()
        .filter_map(|e| e["send_error"]["name"].as_str())
        .collect();
    for name in ["EPIPE", "ECONNREFUSED", "EPERM", "ENOENT", "EMSGSIZE"] {
        assert!(names.contains(name), "no {name} among {names:?}");
    }
}

/// Each process reads the rings at its own moments and puts what it finds in order only within one look: so
/// neither the order nor the clocks are compared, but all else of every event. Who held a socket is asked at that
/// moment too, and a process may have ended by then for one of them: owners are compared where both found one.
#[track_caller]
fn assert_same_events(one: &[Value], other: &[Value]) {
    let (one, other) = (by_kind(one), by_kind(other));
    let kinds: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    assert!(!kinds.is_empty(), "nothing is compared");
    for kind in kinds {
        let owners = |of: &BTreeMap<String, Vec<Value>>| of.get(kind).cloned().unwrap_or_default();
        let (one, other) = (owners(&one), owners(&other));
        assert_eq!(one.len(), other.len(), "{kind}");
        let known = |owners: &[Value]| owners.iter().all(|owner| !owner["pid"].is_null());
        if known(&one) && known(&other) {
            assert_eq!(one, other, "{kind}");
        }
    }
}

/// Owners, in order, of all events that are alike but for those.
fn by_kind(events: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut kinds = BTreeMap::<_, Vec<Value>>::new();
    for event in events {
        let mut event = without_own(event);
        let owner = event["owner"].take();
        kinds.entry(event.to_string()).or_default().push(owner);
    }
    let order = |owners: &mut Vec<Value>| owners.sort_by_key(Value::to_string);
    kinds.values_mut().for_each(order);
    kinds
}

fn without_own(event: &Value) -> Value {
    let mut event = event.clone();
    for path in OWN {
        if let Some(value) = event.pointer_mut(path) {
            *value = Value::Null;
        }
    }
    event
}

/// The traces that tests without root replay: `SENDTRACE_BLESS=1` records them anew. The recorder sits in a
/// host of its own name and with the network of host `a`, so that they say nothing of the host of the tests.
#[test]
#[ignore = "needs root"]
fn root_golden_traces_are_recorded_when_asked_for() {
    if std::env::var_os("SENDTRACE_BLESS").is_none() {
        skip("records the golden traces only with SENDTRACE_BLESS=1");
        return;
    }
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let dir = tempfile::tempdir().expect("a folder");
    let trace = dir.path().join("faults.trace");
    // What the trace says of its command line is the same wherever the program was built.
    symlink(sendtrace_path(), dir.path().join("sendtrace")).expect("a link");
    let enter = r#"hostname golden && cd "$0" && exec nsenter --net="$@""#;
    let mut command = Command::new("unshare");
    command
        .args(["--uts", "sh", "-c", enter])
        .args([dir.path(), &world.a.path()])
        .args(["./sendtrace", "record", "-w", "faults.trace"])
        .args(["--samples", "2s", "--print", "--format", "json"])
        .args(["--netns", &world.a.name])
        .env("TZ", "Asia/Kathmandu");
    let recorder = Recorder::spawn(&dir.path().join("printed"), command);
    traffic::faults(&world);
    recorder.wait_printed("last fault", traffic::is_last);
    let said = recorder.stop();
    assert!(said.status.success(), "{}", said.stderr);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    fs::create_dir_all(&golden).expect("a folder");
    fs::copy(&trace, golden.join("faults.trace")).expect("room");
}
