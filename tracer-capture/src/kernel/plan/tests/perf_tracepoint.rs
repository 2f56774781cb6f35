//! Kernels whose tracepoints let programs be preempted.

use super::*;
use crate::kernel::facts::PerfTracepointSends;

/// The perfect host, with programs that can be preempted.
fn preemptible() -> Facts {
    with_btf(|btf| {
        btf.preemptible_tracepoints = true;
        btf.perf_tracepoint_sends = Some(PerfTracepointSends {
            cast: 1,
            sock: 2,
            tcp_sock: 3,
        });
    })
}

#[test]
fn sends_are_seen_at_the_perf_tracepoint_and_owners_beside_it() {
    let (gone, new, losses) = difference(&preemptible());
    assert_eq!(gone, ["send_length"]);
    assert_eq!(new, ["send_owner", "send_perf"]);
    assert_eq!(losses, []);
    let plan = plan(&preemptible(), EVERYTHING).unwrap();
    assert_eq!(plan.perf_tracepoint_sends.map(|ids| ids.sock), Some(2));
}

/// Programs that see the sends, when these are refused.
fn counting(refused: &[&str]) -> Vec<&'static str> {
    let plan = plan(&refusing(preemptible(), refused), EVERYTHING).unwrap();
    let hooks = plan
        .hooks()
        .filter(|hook| hook.serves.contains(&Purpose::Event(event_kind::SEND)));
    hooks.map(|hook| hook.program).collect()
}

#[test]
fn every_send_is_counted_by_one_program_only() {
    assert_eq!(counting(&[]), ["send_perf"]);
    assert_eq!(counting(&["send_owner"]), ["send_perf"]);
    assert_eq!(counting(&["send_perf"]), ["send_length"]);
    let functions = counting(&["send_perf", "send_length"]);
    assert!(functions.contains(&"inet_send") && !functions.contains(&"send_length"));
}

#[test]
fn a_refused_perf_tracepoint_costs_what_is_skipped_not_the_sends() {
    let facts = preemptible();
    for refused in [&["send_perf"][..], &["send_perf", "send_length"]] {
        let plan = plan(&refusing(facts.clone(), refused), EVERYTHING).unwrap();
        assert!(plan.sees(event_kind::SEND_ERROR) && plan.sees(event_kind::SEND));
        assert_eq!(plan.losses.len(), 1);
        let loss = &plan.losses[0];
        assert!(loss.lost.contains("preempted"), "{loss:?}");
        assert_eq!(
            loss.why,
            "the kernel refuses tracepoint/sock_send_length: Operation not permitted"
        );
        assert!(!plan.loads("send_owner"), "the others keep owners too");
    }
}

#[test]
fn a_refused_owner_of_sends_costs_owners_only() {
    let plan = plan(&refusing(preemptible(), &["send_owner"]), EVERYTHING).unwrap();
    assert_eq!(plan.losses.len(), 1);
    assert!(
        plan.losses[0]
            .lost
            .starts_with("owners learnt when they send")
    );
    assert!(plan.loads("send_perf") && !plan.loads("send_length"));
}

#[test]
fn a_kernel_without_the_means_says_what_it_skips() {
    let mut facts = preemptible();
    facts.btf.as_mut().unwrap().perf_tracepoint_sends = None;
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
    assert_eq!(
        plan(&facts, EVERYTHING).unwrap().perf_tracepoint_sends,
        None
    );
}

#[test]
fn owners_alone_are_left_to_the_typed_program() {
    let wanted = Wanted {
        event_kinds: 1 << event_kind::RESET,
        follow: false,
        connect_errors: false,
    };
    let programs = programs(&plan(&preemptible(), wanted).unwrap());
    assert!(programs.contains(&"send_length") && !programs.contains(&"send_perf"));
}
