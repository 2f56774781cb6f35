//! The begin of a wait is of no use without its end.

use super::*;

#[test]
fn a_refused_half_of_a_pair_takes_the_other_along_and_nothing_else() {
    for pair in WAITS.chunks(2) {
        let any = format!("{}_any", pair[0]);
        for refused in [&[pair[0], &any][..], &pair[1..], &[pair[0], &any, pair[1]]] {
            let facts = refusing(host(), refused);
            let (gone, new, losses) = difference(&facts);
            assert_eq!((gone, new), (pair.to_vec(), vec![]), "{refused:?}");
            assert_eq!(losses.len(), 1, "{losses:?}");
            assert!(losses[0].quiet && losses[0].lost.starts_with("for how long"));
        }
    }
}

#[test]
fn a_verifier_that_refuses_the_time_out_costs_no_wait() {
    let facts = refusing(host(), &["memory_wait", "connect_wait"]);
    let (gone, new, losses) = difference(&facts);
    assert_eq!(gone, ["memory_wait", "connect_wait"]);
    assert_eq!(new, ["memory_wait_any", "connect_wait_any"]);
    assert_eq!(losses, []);
}

#[test]
fn blocked_sends_are_seen_where_any_wait_is_and_never_promised() {
    let sees = |refused: &[&str]| {
        let plan = plan(&refusing(host(), refused), EVERYTHING).unwrap();
        plan.sees(event_kind::BLOCKED)
    };
    assert!(sees(&[]) && sees(&["memory_waited", "connect_waited"]));
    assert!(!sees(&["memory_waited", "connect_waited", "peer_wait"]));
    assert!(!is_promised(event_kind::BLOCKED));
}
