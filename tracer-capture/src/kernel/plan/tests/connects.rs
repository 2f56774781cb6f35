//! `--connect-errors`: the end of connect(2), only where it is asked for and nothing else tells.

use super::*;
use crate::kernel::facts::PerfTracepointSends;

const ASKED: Wanted = Wanted {
    connect_errors: true,
    ..EVERYTHING
};
const CALL: &str = "connect_call";

/// A host that refuses all programs at functions.
fn without_fexit() -> Facts {
    with_btf(|btf| {
        btf.features.remove(&Feature::Fexit);
        btf.perf_tracepoint_sends = Some(PerfTracepointSends {
            cast: 1,
            sock: 2,
            tcp_sock: 3,
        });
    })
}

#[test]
fn every_system_call_pays_for_connects_only_where_it_is_asked_to() {
    assert!(!plan(&without_fexit(), EVERYTHING).unwrap().loads(CALL));
    let asked = plan(&without_fexit(), ASKED).unwrap();
    assert!(asked.loads(CALL));
    assert_eq!(asked.perf_tracepoint_sends.map(|ids| ids.sock), Some(2));
    let only_sends = Wanted {
        event_kinds: 1 << event_kind::SEND_ERROR,
        ..ASKED
    };
    assert!(!plan(&without_fexit(), only_sends).unwrap().loads(CALL));
}

#[test]
fn programs_read_sockets_without_a_type_only_where_one_of_them_has_to() {
    let mut facts = without_fexit();
    let told = |facts: &Facts| plan(facts, ASKED).unwrap().perf_tracepoint_sends;
    assert!(told(&facts).is_some());
    assert_eq!(told(&refusing(facts.clone(), &[CALL])), None);
    facts.btf.as_mut().unwrap().features.insert(Feature::Fexit);
    assert_eq!(told(&facts), None);
}

#[test]
fn a_failure_that_a_function_tells_is_not_told_by_the_call_too() {
    assert!(!plan(&host(), ASKED).unwrap().loads(CALL));
    for kept in CONNECTS {
        let others: Vec<_> = CONNECTS
            .into_iter()
            .filter(|other| *other != kept)
            .collect();
        let mut facts = refusing(host(), &others);
        facts.btf.as_mut().unwrap().perf_tracepoint_sends =
            without_fexit().btf.unwrap().perf_tracepoint_sends;
        assert!(!plan(&facts, ASKED).unwrap().loads(CALL), "{kept}");
        assert!(plan(&refusing(facts, &[kept]), ASKED).unwrap().loads(CALL));
    }
}

#[test]
fn what_was_asked_for_and_cannot_be_had_is_a_loss_that_is_told() {
    let of = |facts: &Facts| {
        let plan = plan(facts, ASKED).unwrap();
        assert!(!plan.loads(CALL));
        let mut told = plan.losses.into_iter().filter(|loss| !loss.quiet);
        told.find(|loss| loss.lost.contains("--connect-errors"))
            .expect("a loss")
            .why
    };
    let refused = refusing(without_fexit(), &[CALL]);
    assert_eq!(
        of(&refused),
        "the kernel refuses tracepoint/sys_exit_connect: Operation not permitted"
    );
    let mut old = without_fexit();
    old.btf.as_mut().unwrap().perf_tracepoint_sends = None;
    assert_eq!(of(&old), "this kernel lacks bpf_rdonly_cast");
}
