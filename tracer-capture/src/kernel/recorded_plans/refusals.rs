//! Each program of each recorded kernel is refused in turn: only itself is lost, and what can takes its place.

use tracer_common::event_kind;

use super::{EVERYTHING, recorded, records};
use crate::kernel::facts::{Facts, ProgramVerdict};
use crate::kernel::plan::{Choice, Hook, Kind, Need, Plan, Purpose, plan};

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
    hook.serves.contains(&Purpose::Event(event_kind::SEND))
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
        let facts = recorded(&record);
        let whole = plan(&facts, EVERYTHING).expect("a plan");
        for hook in whole.hooks() {
            let left = plan(&refusing(&facts, hook.program), EVERYTHING).expect("a plan");
            let about = format!("{kernel} without {}", hook.program);
            assert!(!left.loads(hook.program), "{about}");
            assert_that_no_send_is_seen_twice(&left);

            // What serves something else still runs, but for the owner that goes with a way to see sends, and the other
            // half of a wait.
            let stays = |other: &&Hook| {
                let is_half = other.attach == hook.attach
                    && hook.serves[0] == Purpose::Event(event_kind::BLOCKED)
                    && !left.loads(other.program);
                *other != hook && !is_half && !(sees_sends(hook) && other.program == "send_owner")
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
            let has_forms = matches!(hook.kind, Kind::TpBtf | Kind::Fentry);
            let has_next = has_forms && later.count() > 1;
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
            for event_kind in (0..event_kind::COUNT as u32).filter(|kind| whole.sees(*kind)) {
                let alone = whole.hooks().filter(|other| {
                    other.serves.contains(&Purpose::Event(event_kind))
                        && other.need == Need::Required
                });
                let may_go = alone.count() == 1 && new.is_empty();
                assert!(
                    left.sees(event_kind) || may_go,
                    "{about}: event kind {event_kind}"
                );
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
        let mut facts = recorded(&record);
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
