//! The plan for kernels that are not at hand, from their recorded facts: `tests/kernels/KERNEL.json` goes in,
//! `tests/kernels/KERNEL.plan` must come out.
//!
//! `cargo xtask vm --record tests/kernels` records; with `SENDTRACE_BLESS=1` in the environment this test
//! writes the plans anew, and the difference is read before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tracer_common::signal;

use super::facts::recorded::from_json;
use super::facts::{Facts, ProgramVerdict};
use super::plan::{Choice, Hook, Plan, Serves, Wanted, plan};

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

const EVERYTHING: Wanted = Wanted {
    follow: true,
    ..Wanted::ALL
};

fn facts_of(record: &Path) -> Facts {
    let kernel = record.display();
    let bytes = fs::read(record).expect("a readable record");
    let json = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{kernel}: {e}"));
    from_json(&json).unwrap_or_else(|why| {
        panic!("{kernel}: {why}; record again: cargo xtask vm --record tests/kernels")
    })
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
        let here = match plan(&facts_of(&record), EVERYTHING) {
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

/// The facts once the kernel has refused this program too.
fn refusing(facts: &Facts, program: &str) -> Facts {
    let mut facts = facts.clone();
    let text = "invalid read from stack".to_owned();
    let errno = Some(13);
    facts
        .verdicts
        .note(program, ProgramVerdict::Refused { errno, text });
    facts
}

fn sees_sends(hook: &Hook) -> bool {
    hook.serves.contains(&Serves::Signal(signal::SEND))
}

/// Every send is seen by one program: at the tracepoint in one of its two forms, or at the functions.
fn assert_that_no_send_is_seen_twice(plan: &Plan) {
    let hooks: Vec<_> = plan.hooks().filter(|hook| sees_sends(hook)).collect();
    let at_tracepoint = |hook: &&&Hook| hook.attach == "sock_send_length";
    let seen = hooks.iter().filter(at_tracepoint).count();
    assert!(seen == 0 || hooks.len() == 1, "{hooks:?}");
    for hook in &hooks {
        let same = hooks.iter().filter(|other| other.attach == hook.attach);
        assert_eq!(same.count(), 1, "{hooks:?}");
    }
}

fn choice_of<'a>(plan: &'a Plan, program: &str) -> &'a Choice {
    let mut choices = plan.choices.iter();
    let is_it = |choice: &&Choice| choice.hook.is_some_and(|hook| hook.program == program);
    choices.find(is_it).expect("a planned program")
}

#[test]
fn on_each_recorded_kernel_a_refused_program_costs_only_itself_and_what_can_takes_its_place() {
    for record in records() {
        let kernel = record.display();
        let facts = facts_of(&record);
        let whole = plan(&facts, EVERYTHING).expect("a plan");
        for hook in whole.hooks() {
            let left = plan(&refusing(&facts, hook.program), EVERYTHING).expect("a plan");
            let about = format!("{kernel} without {}", hook.program);
            assert!(!left.loads(hook.program), "{about}");
            assert_that_no_send_is_seen_twice(&left);

            // What serves something else still runs, but for the owner that goes with a way to see sends.
            let stays = |other: &&Hook| {
                *other != hook && !(sees_sends(hook) && other.program == "send_owner")
            };
            for other in whole.hooks().filter(stays) {
                assert!(
                    left.loads(other.program),
                    "{about}: {} is gone",
                    other.program
                );
            }

            let variants = choice_of(&whole, hook.program).group.variants.iter();
            let later = variants.skip_while(|variant| variant.program != hook.program);
            let is_tracepoint = hook.kind == super::plan::Kind::TpBtf;
            let has_next = is_tracepoint && later.count() > 1;
            let at_tracepoint = sees_sends(hook) && hook.attach == "sock_send_length";
            let new: Vec<_> = left
                .hooks()
                .filter(|hook| !whole.loads(hook.program))
                .collect();
            assert_eq!(
                !new.is_empty(),
                has_next || at_tracepoint,
                "{about}: instead of it {new:?}"
            );
            if has_next {
                assert!(
                    new.len() == 1 && new[0].attach == hook.attach,
                    "{about}: {new:?}"
                );
            }
            for signal in 0..signal::COUNT as u32 {
                let alone = whole.hooks().filter(|other| {
                    other.serves.contains(&Serves::Signal(signal))
                        && other.need == super::plan::Need::Required
                });
                let may_go = alone.count() == 1 && new.is_empty();
                assert!(left.sees(signal) || may_go, "{about}: signal {signal}");
            }

            // One loss more at most, its own, and in the kernel's words.
            let more: Vec<_> = left
                .losses
                .iter()
                .filter(|loss| !whole.losses.contains(loss))
                .collect();
            assert!(more.len() <= 1, "{about}: {more:?}");
            for loss in &more {
                assert_eq!(loss.serves, hook.serves[0], "{about}");
                assert!(
                    loss.why.contains("invalid read from stack"),
                    "{about}: {}",
                    loss.why
                );
            }
            assert!(
                new.is_empty() <= (more.len() == 1),
                "{about}: a silent loss"
            );
        }
    }
}

#[test]
fn on_each_recorded_kernel_refusals_come_to_an_end_and_are_all_told() {
    for record in records() {
        let mut facts = facts_of(&record);
        let whole = plan(&facts, EVERYTHING).expect("a plan");
        let mut tried = 0;
        while let Some(hook) = plan(&facts, EVERYTHING).expect("a plan").hooks().next() {
            facts = refusing(&facts, hook.program);
            assert_that_no_send_is_seen_twice(&plan(&facts, EVERYTHING).expect("a plan"));
            tried += 1;
        }
        let nothing = plan(&facts, EVERYTHING).expect("a plan");
        assert!(tried >= whole.hooks().count());
        for word in whole.hooks().map(|hook| hook.serves[0]) {
            let told = nothing.losses.iter().any(|loss| loss.serves == word);
            assert!(told, "{}: {word:?}", record.display());
        }
    }
}
