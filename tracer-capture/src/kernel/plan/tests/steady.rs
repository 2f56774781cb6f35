//! Kernels whose tracepoints let programs be preempted.

use super::*;
use crate::kernel::facts::SteadySends;

/// The perfect host, with programs that can be preempted.
fn preemptible() -> Facts {
    with_btf(|btf| {
        btf.preemptible_tracepoints = true;
        btf.steady_sends = Some(SteadySends {
            cast: 1,
            sock: 2,
            tcp_sock: 3,
        });
    })
}

fn verdicts(steady: ProgramVerdict) -> Vec<(String, ProgramVerdict)> {
    vec![("send_steady".to_owned(), steady)]
}

fn refusal() -> ProgramVerdict {
    ProgramVerdict::Refused {
        errno: None,
        text: "tracefs not found".to_owned(),
    }
}

#[test]
fn sends_are_seen_at_the_perf_tracepoint_and_owners_beside_it() {
    let (gone, new, losses) = difference(&preemptible());
    assert_eq!(gone, [""; 0]);
    assert_eq!(new, ["send_owner", "send_steady"]);
    assert_eq!(losses, []);
    let plan = plan(&preemptible(), EVERYTHING).unwrap();
    assert_eq!(plan.steady_sends.map(|ids| ids.sock), Some(2));
    // The typed form comes last: it is tried when the other was refused.
    let sends = plan.hooks().filter(|hook| hook.attach == SENDS_AT);
    assert_eq!(sends.last().unwrap().program, "send_length");
}

#[test]
fn every_send_is_counted_by_one_program_only() {
    let plan = plan(&preemptible(), EVERYTHING).unwrap();
    let counting = |verdicts: &[(String, ProgramVerdict)]| -> Vec<_> {
        plan.choices_after(verdicts)
            .filter_map(|choice| choice.hook)
            .filter(|hook| hook.attach == SENDS_AT)
            .filter(|hook| hook.serves.contains(&Serves::Signal(signal::SEND)))
            .filter(|hook| !verdicts.contains(&(hook.program.to_owned(), refusal())))
            .map(|hook| hook.program)
            .collect()
    };
    assert_eq!(
        counting(&verdicts(ProgramVerdict::Allowed)),
        ["send_steady"]
    );
    assert_eq!(counting(&verdicts(refusal())), ["send_length"]);
}

#[test]
fn a_refused_perf_tracepoint_costs_what_is_skipped_not_the_sends() {
    let plan = plan(&preemptible(), EVERYTHING).unwrap();
    let verdicts = verdicts(refusal());
    assert!(plan.sees(signal::SEND_ERROR, &verdicts) && plan.sees(signal::SEND, &verdicts));
    let losses = plan.losses_after(&verdicts);
    assert_eq!(losses.len(), 1);
    assert!(
        losses[0].lost.contains("preempted") && losses[0].why.contains("tracefs"),
        "{losses:?}"
    );
}

#[test]
fn a_kernel_without_the_means_says_what_it_skips() {
    let mut facts = preemptible();
    facts.btf.as_mut().unwrap().steady_sends = None;
    let (gone, new, losses) = difference(&facts);
    assert_eq!((gone, new), (vec![], vec![]));
    assert_eq!(losses.len(), 1);
    assert!(losses[0].lost.contains("preempted"), "{losses:?}");
}

#[test]
fn a_kernel_that_preempts_no_program_needs_none_of_this() {
    let mut facts = preemptible();
    facts.btf.as_mut().unwrap().preemptible_tracepoints = false;
    let (gone, new, losses) = difference(&facts);
    assert_eq!((gone, new, losses), (vec![], vec![], vec![]));
    assert_eq!(plan(&facts, EVERYTHING).unwrap().steady_sends, None);
}

#[test]
fn owners_alone_are_left_to_the_typed_program() {
    let wanted = Wanted {
        signals: 1 << signal::RESET,
        follow: false,
    };
    let programs = programs(&plan(&preemptible(), wanted).unwrap());
    assert!(programs.contains(&"send_length") && !programs.contains(&"send_steady"));
}
