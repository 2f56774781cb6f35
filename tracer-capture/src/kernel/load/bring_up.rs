//! One program after the other; a refused one is planned around.

use anyhow::Result;

use crate::kernel::facts::{Facts, ProgramVerdict};
use crate::kernel::plan::{Hook, Plan, Wanted, plan};

/// What runs, and the plan that it is.
pub(super) struct Up<O, L> {
    pub plan: Plan,
    pub object: O,
    pub running: Vec<(Hook, L)>,
}

/// Starts every program of the plan. What the kernel says to it is noted in the facts, and after a refusal the plan
/// is made again from those. What runs stays, unless the new plan has no use for it, or tells the programs
/// something else: then all of them are started anew, in a new object.
///
/// Ends, because each new plan has one more program that it does not try.
pub(super) fn bring_up<O, L>(
    facts: &mut Facts,
    wanted: Wanted,
    mut make: impl FnMut(&Plan) -> Result<O>,
    mut start: impl FnMut(&mut O, &Hook) -> Result<L, ProgramVerdict>,
) -> Result<Up<O, L>> {
    let mut up = empty(plan(facts, wanted)?, &mut make)?;
    while let Some(hook) = next(&up) {
        match start(&mut up.object, &hook) {
            Ok(link) => {
                facts.verdicts.note(hook.program, ProgramVerdict::Allowed);
                up.running.push((hook, link));
                continue;
            }
            Err(refusal) => facts.verdicts.note(hook.program, refusal),
        }
        let around = plan(facts, wanted)?;
        if around.is_told_as(&up.plan) {
            up.running
                .retain(|(hook, _)| around.hooks().any(|other| other == hook));
            up.plan = around;
        } else {
            // First detached: beside the new ones they would see everything twice.
            drop(up);
            up = empty(around, &mut make)?;
        }
        facts.verdicts.keep_running(|program| {
            let mut running = up.running.iter();
            running.any(|(hook, _)| hook.program == program)
        });
    }
    Ok(up)
}

fn empty<O, L>(plan: Plan, make: &mut impl FnMut(&Plan) -> Result<O>) -> Result<Up<O, L>> {
    Ok(Up {
        object: make(&plan)?,
        plan,
        running: Vec::new(),
    })
}

/// The first program of the plan that does not run yet.
fn next<O, L>(up: &Up<O, L>) -> Option<Hook> {
    let runs = |hook: &Hook| up.running.iter().any(|(other, _)| other == hook);
    up.plan.hooks().find(|hook| !runs(hook)).copied()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tracer_common::event_kind;

    use super::*;
    use crate::kernel::facts::fixture::{host, with_btf};
    use crate::kernel::plan::Purpose;

    /// A program that runs until it is dropped.
    struct Running(Rc<Cell<usize>>);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    fn refusal() -> ProgramVerdict {
        ProgramVerdict::Refused {
            errno: Some(13),
            text: "Permission denied (os error 13): invalid read from stack".to_owned(),
        }
    }

    /// What runs on a kernel that refuses exactly these programs, and how many objects it took.
    fn up_without(mut facts: Facts, refused: &[&str]) -> (Vec<&'static str>, usize) {
        let (alive, objects) = (Rc::new(Cell::new(0)), Cell::new(0));
        let up = bring_up(
            &mut facts,
            Wanted::ALL,
            |plan| {
                assert_eq!(alive.get(), 0, "a program of the last object still runs");
                objects.set(objects.get() + 1);
                Ok(plan.sees_other_sends())
            },
            |told, hook| {
                if refused.contains(&hook.program) {
                    return Err(refusal());
                }
                if hook.program == "lsm_refusal" {
                    assert!(!*told || !refused.contains(&"other_send"));
                }
                alive.set(alive.get() + 1);
                Ok(Running(Rc::clone(&alive)))
            },
        )
        .unwrap();
        assert_eq!(up.object, up.plan.sees_other_sends());
        let running: Vec<_> = up.running.iter().map(|(hook, _)| hook.program).collect();
        assert_eq!(alive.get(), running.len());
        // The plan is what runs, and the facts say the same.
        let mut planned: Vec<_> = up.plan.hooks().map(|hook| hook.program).collect();
        for program in &running {
            assert!(facts.verdicts.is_allowed(program), "{program}");
        }
        let mut sorted = running.clone();
        sorted.sort_unstable();
        planned.sort_unstable();
        assert_eq!(sorted, planned);
        let listing = |hook: &Hook| hook.serves.contains(&Purpose::Event(event_kind::SEND));
        let seen_twice = running.contains(&"send_length")
            && up.running.iter().filter(|(hook, _)| listing(hook)).count() > 1;
        assert!(!seen_twice, "{running:?}");
        (running, objects.get())
    }

    #[test]
    fn where_nothing_is_refused_one_object_runs_what_was_planned() {
        let (running, objects) = up_without(host(), &[]);
        assert!(running.contains(&"send_length") && running.contains(&"drop_rx_sk"));
        assert_eq!(objects, 1);
    }

    #[test]
    fn the_next_form_takes_the_place_of_a_refused_one_in_the_same_object() {
        let (running, objects) = up_without(host(), &["drop_rx_sk", "drop_reason"]);
        assert!(running.contains(&"drop_location"));
        assert_eq!(objects, 1);
    }

    #[test]
    fn the_functions_of_the_protocols_take_the_place_of_a_refused_tracepoint() {
        let (running, objects) = up_without(host(), &["send_length"]);
        assert!(running.contains(&"inet_send") && running.contains(&"other_send"));
        // The programs are told that the sends of other families are seen where refusals are among them.
        assert_eq!(objects, 2);
    }

    #[test]
    fn a_refused_function_costs_its_own_sends_and_what_the_others_are_told_is_right() {
        let (running, objects) = up_without(host(), &["send_length", "other_send"]);
        assert!(running.contains(&"inet_send") && running.contains(&"lsm_refusal"));
        assert_eq!(objects, 3);
    }

    #[test]
    fn what_was_started_for_a_refused_one_is_stopped_again() {
        let facts = with_btf(|btf| {
            btf.preemptible_tracepoints = true;
            btf.perf_tracepoint_sends = Some(crate::kernel::facts::PerfTracepointSends {
                cast: 1,
                sock: 2,
                tcp_sock: 3,
            });
        });
        let (running, _) = up_without(facts.clone(), &["send_perf"]);
        assert!(running.contains(&"send_length") && !running.contains(&"send_owner"));
        let (running, _) = up_without(facts, &["send_perf", "send_length"]);
        assert!(running.contains(&"inet_send") && !running.contains(&"send_owner"));
    }

    #[test]
    fn a_kernel_that_refuses_everything_runs_nothing() {
        let all: Vec<_> = crate::kernel::plan::programs().collect();
        assert_eq!(up_without(host(), &all), (vec![], 3));
    }
}
