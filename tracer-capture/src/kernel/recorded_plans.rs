//! The plan for kernels that are not at hand, from their recorded facts: `tests/kernels/KERNEL.json` goes in,
//! `tests/kernels/KERNEL.plan` must come out.
//!
//! `cargo xtask vm --record tests/kernels` records; with `SENDTRACE_BLESS=1` in the environment this test
//! writes the plans anew, and the difference is read before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::facts::recorded::from_json;
use super::plan::{Plan, Wanted, plan};

fn records() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let mut records: Vec<_> = fs::read_dir(folder)
        .expect("tests/kernels")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    records.sort();
    records
}

/// One line per purpose, then one per loss.
fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    for choice in &plan.choices {
        let name = choice.group.name;
        let _ = match &choice.hook {
            Some(hook) => writeln!(
                text,
                "{name}: {} on {}/{}",
                hook.program,
                hook.kind.name(),
                hook.attach
            ),
            None => writeln!(
                text,
                "{name}: nothing, {}",
                choice.why_missing().unwrap_or("")
            ),
        };
    }
    for loss in &plan.losses {
        let _ = writeln!(
            text,
            "lost: {}: {} ({})",
            loss.serves.name(),
            loss.lost,
            loss.why
        );
    }
    for field in &plan.fields {
        let _ = writeln!(text, "field: {field:?}");
    }
    text
}

#[test]
fn the_plan_for_each_recorded_kernel_is_the_one_that_was_seen_to_work_there() {
    let records = records();
    assert!(
        records.len() >= 5,
        "only {} kernels are recorded",
        records.len()
    );
    for record in records {
        let kernel = record.display();
        let bytes = fs::read(&record).expect("a readable record");
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{kernel}: {e}"));
        let facts = from_json(&json).unwrap_or_else(|why| {
            panic!("{kernel}: {why}; record again: cargo xtask vm --record tests/kernels")
        });
        let everything = Wanted {
            follow: true,
            ..Wanted::ALL
        };
        let here = match plan(&facts, everything) {
            Ok(plan) => describe(&plan),
            Err(error) => format!("refused: {error}\n"),
        };
        let expected = record.with_extension("plan");
        if std::env::var_os("SENDTRACE_BLESS").is_some() {
            fs::write(&expected, here).expect("a writable folder");
            continue;
        }
        let seen = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(
            seen, here,
            "{kernel}: the plan has changed (left: as recorded)"
        );
    }
}
