//! Pairs of real traces, before and after one change: what `sendtrace diff` makes of them, byte for byte, and how it
//! ends.
//!
//! The traces are recorded by `tests/scenarios/src/bin/pairs.rs`; `SENDTRACE_BLESS=1` writes what is expected anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Name of the pair, its arguments, exit status, and what the first line of JSON says.
const PAIRS: &[(&str, &[&str], i32, &str)] = &[
    ("better", &["loss_10.trace", "loss_1.trace"], 0, "better"),
    ("worse", &["loss_1.trace", "loss_10.trace"], 3, "worse"),
    (
        "two_settings",
        &["loss_1.trace", "loss_1_two_settings.trace"],
        0,
        "unchanged",
    ),
    (
        "bought",
        &["syn_retries_1.trace", "syn_retries_6.trace"],
        3,
        "worse",
    ),
    (
        "too_short",
        &["loss_10_short.trace", "loss_10_short.trace"],
        4,
        "too_little_data",
    ),
    (
        "part",
        &[
            "loss_10.trace",
            "loss_10.trace",
            "--before-until",
            "+6s",
            "--after-since",
            "+6s",
        ],
        0,
        "unchanged",
    ),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests")
        .join(name)
}

fn diff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .arg("diff")
        .args(arguments)
        .current_dir(folder("traces/diff"))
        .env_clear()
        .env("TZ", "America/Caracas")
        .output()
        .expect("the program starts")
}

#[test]
fn every_pair_is_judged_as_it_should_be_and_says_what_it_always_said() {
    let bless = std::env::var_os("SENDTRACE_BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, arguments, status, verdict) in PAIRS {
        for format in ["text", "json"] {
            let output = diff(&[*arguments, &["--format", format]].concat());
            assert_eq!(output.status.code(), Some(*status), "{name}: {output:?}");
            let said = String::from_utf8(output.stdout).expect("UTF-8");
            if format == "json" {
                let first = said.lines().next().unwrap_or_default();
                let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
                assert_eq!(first["verdict"], *verdict, "{name}: {first}");
                assert_eq!(first["bought_with_stalls"], *name == "bought", "{first}");
            }
            let said = without_findings(&said);
            let path = folder("expected").join(format!("diff.{name}.{format}.txt"));
            if bless {
                fs::write(&path, said).expect("room");
            } else if fs::read_to_string(&path).unwrap_or_default() != said {
                wrong.push(format!("{}:\n{said}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not as expected; if that is right, write it anew with SENDTRACE_BLESS=1:\n{}",
        wrong.join("\n")
    );
}

/// Findings are those of the rules, which have tests of their own.
fn without_findings(said: &str) -> String {
    let said = said.split("\nFindings\n").next().unwrap_or_default();
    let lines = said
        .lines()
        .filter(|line| !line.starts_with("{\"type\":\"finding\""));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn a_black_hole_for_syns_is_found_on_both_sides() {
    let output = diff(&[
        "syn_retries_1.trace",
        "syn_retries_6.trace",
        "--format",
        "json",
    ]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let findings = text.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        (line["type"] == "finding").then_some(line)
    });
    let findings: Vec<_> = findings.collect();
    let found = findings
        .iter()
        .find(|finding| finding["cause"] == "syn_blackhole");
    assert_eq!(
        found.map(|finding| &finding["became"]),
        Some(&"remaining".into()),
        "{findings:?}"
    );
}

#[test]
fn what_is_typed_wrongly_is_told_from_what_fails() {
    let cases: [(&[&str], i32); 4] = [
        (&["loss_10.trace"], 2),
        (&["-", "-"], 2),
        (&["loss_10.trace", "nowhere.trace"], 1),
        (&["loss_10.trace", "../../../Cargo.toml"], 1),
    ];
    for (arguments, status) in cases {
        let output = diff(arguments);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {output:?}"
        );
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
