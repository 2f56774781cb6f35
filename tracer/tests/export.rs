//! `sendtrace export` and `sendtrace info`, on a trace that is made here: what users and other tools get.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tracer::event::{
    Cause, Detail, Endpoint, Event, Flow, Grade, Outcome, Owner, Retransmit, SendError, Signal,
    SignalTotals, Totals, Trigger,
};
use tracer::trace::layout::flag;
use tracer::trace::note::{Counters, Fired, Note};
use tracer::trace::{Builder, Seal};

/// 2026-11-18 11:06:40 UTC, nanoseconds.
const WALL_NS: i64 = 1_795_000_000_000_000_000;

/// A folder with a trace of two retransmits and two sends that failed.
struct Scene {
    folder: TempDir,
    trace: PathBuf,
}

fn event(boot_ns: u64, detail: Detail) -> Event {
    let end = |text: &str| {
        let address: SocketAddr = text.parse().expect("an address");
        Some(Endpoint::Inet(address))
    };
    Event {
        boot_ns,
        count: 1,
        owner: Owner {
            grade: Grade::AtSend,
            pid: Some(4242),
            comm: Some("evil,\"\r\n".into()),
            ..Owner::default()
        },
        flow: Some(Flow {
            proto: "tcp".into(),
            local: end("10.0.0.1:43210"),
            remote: end("10.0.0.12:443"),
            netns: Some(4_026_531_840),
            socket: Some(31),
        }),
        detail,
        tcp: None,
    }
}

fn retransmit(boot_ns: u64) -> Event {
    event(
        boot_ns,
        Detail::Retransmit(Retransmit {
            cause: Cause::Rto,
            outcome: Outcome::Sent,
            attempt: Some(3),
            segments: Some(1),
            bytes: Some(1448),
            trigger: Trigger::Timer,
        }),
    )
}

fn send_error(boot_ns: u64) -> Event {
    let detail = SendError {
        errno: 70,
        requested_bytes: Some(100),
        sent_bytes: Some(0),
        blocked_us: None,
    };
    let mut event = event(boot_ns, Detail::SendError(detail));
    event.flow = Some(Flow {
        proto: "unix_dgram".into(),
        local: None,
        remote: Some(Endpoint::Unix("/run/log".into())),
        netns: None,
        socket: None,
    });
    event
}

fn counters(boot_ns: u64, each: u64) -> Counters {
    let totals = SignalTotals {
        seen: each,
        emitted: each,
        delivered: each,
        ..SignalTotals::default()
    };
    let signals = [Signal::Retransmit, Signal::SendError];
    let signals = signals.into_iter().map(|signal| (signal, totals)).collect();
    Counters::new(boot_ns, &Totals { signals })
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let trace = folder.path().join("night.trace");
        fs::write(&trace, Self::blocks().concat()).expect("room");
        Self { folder, trace }
    }

    /// The beginning, a block of events, and the end.
    fn blocks() -> [Vec<u8>; 3] {
        let mut builder = Builder::new().expect("memory");
        let mut block = |flags, seq, fill: &dyn Fn(&mut Builder)| {
            fill(&mut builder);
            let seal = Seal {
                flags,
                trace_id: [7; 16],
                seq,
                sealed_boot_ns: 1_000_000_000 * (seq + 1),
                wall_minus_boot_ns: WALL_NS,
                clock_steps: 0,
            };
            builder.seal(&seal).bytes
        };
        let facts = json!({
            "host": "db1", "kernel_release": "6.18.44", "architecture": "x86_64", "tool_version": "0.1.0",
            "arguments": ["sendtrace", "record"], "not_seen": ["refusals by a security module"],
            "zone": {"utc_offset_s": 32400},
        });
        let facts: Map<String, Value> = facts.as_object().cloned().unwrap_or_default();
        [
            block(flag::START, 0, &|builder| {
                builder.note(&Note::Header(facts.clone()));
                builder.note(&Note::Counters(counters(1, 0)));
            }),
            block(0, 1, &|builder| {
                builder.event(&retransmit(1_000_000_123));
                builder.event(&send_error(1_100_000_000));
                builder.note(&Note::Trigger(Fired {
                    boot_ns: 1_100_000_000,
                    expression: "errno=ECOMM".to_owned(),
                }));
                builder.event(&retransmit(1_200_000_000));
                builder.event(&send_error(1_300_000_000));
                builder.note(&Note::Counters(counters(1_300_000_000, 2)));
            }),
            block(flag::END, 2, &|builder| {
                builder.note(&Note::Totals(counters(1_300_000_000, 2)));
            }),
        ]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, to: &str, out: &Path) -> Output {
        run(&["export", path(&self.trace), "--to", to, "-o", path(out)])
    }

    fn exported(&self, to: &str) -> Vec<u8> {
        let output = self.export(to, Path::new("-"));
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(arguments)
        .output()
        .expect("sendtrace starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn parquet_is_read_back_as_it_was_recorded() {
    let scene = Scene::new();
    let out = scene.path("night.parquet");
    let output = scene.export("parquet", &out);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stderr(&output), "", "silent where there is no terminal");
    let reader = SerializedFileReader::new(File::open(&out).expect("made")).expect("parquet");
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .expect("rows")
        .map(|row| row.expect("a row"))
        .collect();
    let schema = reader.metadata().file_metadata().schema_descr();
    let column = |name: &str| {
        let mut names = schema.columns().iter().map(|column| column.name());
        names.position(|known| known == name).expect("a column")
    };
    let signals: Vec<_> = rows
        .iter()
        .map(|row| row.get_string(column("signal")).expect("text"))
        .collect();
    assert_eq!(
        signals,
        ["retransmit", "send_error", "retransmit", "send_error"]
    );
    let first = &rows[0];
    assert_eq!(
        first.get_timestamp_micros(column("time")).expect("time"),
        WALL_NS / 1000 + 1_000_000
    );
    assert_eq!(
        first.get_long(column("time_ns")).expect("number"),
        WALL_NS + 1_000_000_123
    );
    assert_eq!(first.get_string(column("host")).expect("text"), "db1");
    assert_eq!(
        first.get_string(column("owner_comm")).expect("text"),
        "evil,\"\r\n"
    );
    assert_eq!(first.get_long(column("remote_port")).expect("number"), 443);
    assert_eq!(
        first.get_long(column("retransmit_bytes")).expect("number"),
        1448
    );
    assert!(
        first.get_long(column("send_error_errno")).is_err(),
        "missing, not 0"
    );
    let second = &rows[1];
    assert_eq!(
        second.get_string(column("send_error_name")).expect("text"),
        "ECOMM"
    );
    assert_eq!(
        second.get_string(column("remote_address")).expect("text"),
        "/run/log"
    );
    assert!(
        second.get_long(column("remote_port")).is_err(),
        "a path has no port"
    );
}

#[test]
fn json_lines_are_those_of_replay_with_samples() {
    let scene = Scene::new();
    let replay = [
        "replay",
        path(&scene.trace),
        "--samples",
        "--format",
        "json",
    ];
    let lines = scene.exported("jsonl");
    assert_eq!(lines, run(&replay).stdout);
    let lines = String::from_utf8(lines).expect("UTF-8");
    let types: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["type"].clone())
        .collect();
    assert_eq!(
        types,
        ["event", "event", "trigger", "event", "event", "totals"]
    );
}

#[test]
fn csv_and_packets_go_to_standard_output_too() {
    let scene = Scene::new();
    let csv = String::from_utf8(scene.exported("csv")).expect("UTF-8");
    assert!(csv.starts_with("time,time_ns,"), "{csv}");
    assert!(csv.contains(",\"evil,\"\"\r\n\","), "{csv}");
    let output = scene.export("pcapng", Path::new("-"));
    assert_eq!(output.stdout[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let warning = stderr(&output);
    assert!(
        warning.contains("2 of 4 events are not in the export"),
        "{warning}"
    );
}

#[test]
fn filters_and_times_choose_what_is_exported() {
    let scene = Scene::new();
    let count = |more: &[&str]| {
        let mut arguments = vec!["export", path(&scene.trace), "--to", "csv", "-o", "-"];
        arguments.extend(more);
        let output = run(&arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout)
            .matches(",db1,")
            .count()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--errno", "ECOMM"]), 2);
    assert_eq!(
        count(&["--signal", "retransmit", "--since", "20:06:41.15"]),
        1
    );
}

#[test]
fn a_file_that_is_there_is_refused_and_one_that_fails_is_removed() {
    let scene = Scene::new();
    let there = scene.path("there.csv");
    fs::write(&there, "precious").expect("room");
    let output = scene.export("csv", &there);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("exists already: remove it"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&there).expect("there"), "precious");
    // No device is ever as full as this one.
    let output = scene.export("parquet", Path::new("/dev/full"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/dev/full: "), "{output:?}");
    // A trace that is none.
    let out = scene.path("none.parquet");
    let output = run(&["export", path(&there), "--to", "parquet", "-o", path(&out)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!out.exists(), "{output:?}");
}

#[test]
fn info_says_what_is_in_a_trace() {
    let scene = Scene::new();
    let output = run(&["info", path(&scene.trace), "--format", "json", "--strict"]);
    assert!(output.status.success(), "{output:?}");
    let info: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let bytes = fs::metadata(&scene.trace).expect("there").len();
    let expected = [
        ("/type", json!("trace")),
        ("/host", json!("db1")),
        ("/first", json!("2026-11-18T20:06:41.000000000+09:00")),
        ("/last", json!("2026-11-18T20:06:43.000000000+09:00")),
        ("/ended", json!("cleanly")),
        ("/segments", json!(1)),
        ("/blocks", json!(3)),
        ("/bytes", json!(bytes)),
        ("/events", json!(4)),
        ("/signals/send_error", json!({"events": 2, "count": 2})),
        ("/totals/retransmit/delivered", json!(2)),
        ("/triggers", json!(1)),
        ("/damaged", json!(false)),
        ("/not_seen", json!(["refusals by a security module"])),
    ];
    for (pointer, value) in expected {
        assert_eq!(info.pointer(pointer), Some(&value), "{pointer}");
    }
    let text = run(&["info", path(&scene.trace)]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    for part in [
        "db1, Linux 6.18.44",
        "retransmit 2, send_error 2",
        "end        clean",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn info_counts_damage_and_strict_fails_at_it() {
    let scene = Scene::new();
    let mut blocks = Scene::blocks();
    blocks[1][200] ^= 1;
    let damaged = scene.path("damaged.trace");
    fs::write(&damaged, blocks.concat()).expect("room");
    let arguments = ["info", path(&damaged), "--format", "json"];
    let output = run(&arguments);
    assert!(output.status.success(), "{output:?}");
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(info["damaged"], json!(true));
    assert_eq!(info["damaged_bytes"], json!(blocks[1].len()));
    assert_eq!(info["events"], json!(0));
    let output = run(&["info", path(&damaged), "--strict"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("(--strict)"), "{output:?}");
}

#[test]
fn info_tells_a_recording_that_was_cut_off_from_one_that_ended() {
    let scene = Scene::new();
    let blocks = Scene::blocks();
    let cut = scene.path("cut.trace");
    let mut bytes = blocks[..2].concat();
    bytes.extend(&blocks[2][..50]);
    fs::write(&cut, bytes).expect("room");
    let output = run(&["info", path(&cut), "--format", "json"]);
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&info["ended"], &info["torn_bytes"]),
        (&json!("cut_off"), &json!(50))
    );
    assert_eq!(
        (&info["damaged"], &info["events"]),
        (&json!(false), &json!(4))
    );
}

#[test]
fn info_tells_recordings_in_one_folder_apart() {
    let scene = Scene::new();
    let other = scene.path("other.trace");
    let mut builder = Builder::new().expect("memory");
    builder.event(&retransmit(5));
    let sealed = builder.seal(&Seal {
        flags: flag::START,
        trace_id: [8; 16],
        sealed_boot_ns: 9,
        ..Seal::default()
    });
    fs::write(other, sealed.bytes).expect("room");
    let output = run(&["info", path(scene.folder.path()), "--format", "json"]);
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let events: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["events"].clone())
        .collect();
    assert_eq!(events, [json!(4), json!(1)]);
}
