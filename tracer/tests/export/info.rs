//! `sendtrace info`.

use std::fs;

use serde_json::{Value, json};
use tracer_format::layout::flag;
use tracer_format::note::{Gap, Note};
use tracer_format::{Builder, Seal};

use crate::scene::{Scene, later, path, retransmit, run, stderr};

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
        ("/event_kinds/send_error", json!({"events": 2, "count": 2})),
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

#[test]
fn info_says_what_the_disk_did_not_take() {
    let scene = Scene::new();
    let gap = Gap {
        first_boot_ns: 2_000_000_000,
        last_boot_ns: 4_000_000_000,
        blocks: 3,
        events: vec![("retransmit".to_owned(), 1)],
        why: "No space left on device".to_owned(),
    };
    let blocks = Scene::blocks();
    let bytes = [
        blocks[0].clone(),
        blocks[1].clone(),
        later(5, &Note::Gap(gap)),
    ];
    fs::write(&scene.trace, bytes.concat()).expect("room");
    let output = run(&["info", path(&scene.trace), "--format", "json", "--strict"]);
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&info["gaps"], &info["damaged"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(
        info["gap"][0]["last"],
        json!("2026-11-18T20:06:44.000000000+09:00")
    );
    assert_eq!(info["totals"]["retransmit"]["lost"], json!(1));
    let text = run(&["info", path(&scene.trace)]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    let gap = "1 event in 3 blocks could not be written: No space left on device";
    assert!(text.contains(gap), "{text}");
}
