//! `sendtrace export` and `sendtrace info`, on a trace that is made here: what users and other tools get.

mod info;
mod scene;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::Value;

use scene::{Scene, WALL_NS, path, run, stderr};

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
    let event_kinds: Vec<_> = rows
        .iter()
        .map(|row| row.get_string(column("event")).expect("text"))
        .collect();
    assert_eq!(
        event_kinds,
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
        count(&["--event", "retransmit", "--since", "20:06:41.15"]),
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
fn an_interrupted_export_leaves_no_file() {
    let scene = Scene::new();
    let out = scene.path("half.parquet");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["export", "-", "--to", "parquet", "-o", path(&out)])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sendtrace starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&Scene::blocks()[0]).expect("it reads");
    let deadline = Instant::now() + Duration::from_secs(20);
    let part = scene.path(&format!("half.parquet.{}.part", child.id()));
    while !part.exists() {
        assert!(Instant::now() < deadline, "no file is made");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("it runs");
    // Nothing more is written: it must not wait for that.
    while child.try_wait().expect("our child").is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    let output = child.wait_with_output().expect("our child");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("interrupted"), "{output:?}");
    assert!(!out.exists() && !part.exists());
}
