//! What a report says of each recorded fault, and of what only looks like one: the rules against real traces.
//!
//! `cargo xtask scenarios --bless` records them anew. What each must lead to is in
//! `tests/traces/diagnose/expected.json`, which the scenarios read too. A trace that a rule was once wrong about stays
//! beside them, as `SCENARIO.WHY.sendtrace`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use scenarios::faults::{expectations, folder, judge};

/// The traces, each with the name of its scenario.
fn traces() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(stem) = name.strip_suffix(".sendtrace") {
            let scenario = stem.split('.').next().unwrap_or(stem).to_owned();
            found.push((scenario, path));
        }
    }
    found.sort();
    found
}

#[test]
fn every_recorded_fault_is_found_and_what_is_none_stays_unsaid() {
    let expected = expectations().unwrap();
    let mut wrong = Vec::new();
    for (scenario, trace) in traces() {
        let Some(expected) = expected.get(&scenario) else {
            wrong.push(format!("{scenario} is not in expected.json"));
            continue;
        };
        let output = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
            .args(["report", "--format", "json"])
            .arg(&trace)
            .output()
            .unwrap();
        let verdict = judge(&String::from_utf8_lossy(&output.stdout), expected);
        let said = String::from_utf8_lossy(&output.stderr);
        if !verdict.wrong.is_empty() || !said.is_empty() {
            let wrongs = verdict.wrong.join("; ");
            wrong.push(format!("{}: {wrongs} {said}", trace.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_expectation_has_a_trace() {
    let recorded: BTreeSet<_> = traces().into_iter().map(|(scenario, _)| scenario).collect();
    for scenario in expectations().unwrap().into_keys() {
        assert!(recorded.contains(&scenario), "{scenario}");
    }
}
