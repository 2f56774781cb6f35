//! The begin of a wait is of no use without its end.

use super::*;

#[test]
fn a_refused_half_of_a_pair_takes_the_other_along_and_nothing_else() {
    for pair in WAITS.chunks(2) {
        for refused in pair {
            let facts = refusing(host(), &[refused]);
            let (gone, new, losses) = difference(&facts);
            assert_eq!((gone, new), (pair.to_vec(), vec![]), "{refused}");
            assert_eq!(losses.len(), 1, "{losses:?}");
            assert!(losses[0].quiet && losses[0].lost.starts_with("for how long"));
        }
    }
}

#[test]
fn blocked_sends_are_seen_where_any_wait_is_and_never_promised() {
    let sees = |refused: &[&str]| {
        let plan = plan(&refusing(host(), refused), EVERYTHING).unwrap();
        plan.sees(event_kind::BLOCKED)
    };
    assert!(sees(&[]) && sees(&["memory_wait", "connect_wait"]));
    assert!(!sees(&["memory_wait", "connect_waited", "peer_wait"]));
    assert!(!is_promised(event_kind::BLOCKED));
}
