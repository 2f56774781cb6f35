//! What a report says of each recorded fault, and of what only looks like one: the rules against real traces.
//!
//! `cargo xtask scenarios --bless` records them anew. What each must lead to is in
//! `tests/traces/diagnose/expected.json`, which the scenarios read too.

use std::process::Command;

use scenarios::faults::{expectations, folder, judge};

#[test]
fn every_recorded_fault_is_found_and_what_is_none_stays_unsaid() {
    let expected = expectations().unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        let trace = folder().join(format!("{name}.sendtrace"));
        let output = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
            .args(["report", "--format", "json"])
            .arg(&trace)
            .output()
            .unwrap();
        let verdict = judge(&String::from_utf8_lossy(&output.stdout), expected);
        let said = String::from_utf8_lossy(&output.stderr);
        if !verdict.wrong.is_empty() || !said.is_empty() {
            wrong.push(format!("{name}: {} {said}", verdict.wrong.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_trace_has_an_expectation() {
    let expected = expectations().unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "sendtrace") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(
                expected.contains_key(name),
                "{name} is not in expected.json"
            );
        }
    }
}
