//! A refused program costs only what it alone sees, and what can take its place does.

use super::*;

#[test]
fn the_next_form_that_fits_runs_where_the_best_is_refused() {
    for (refused, instead, lost) in [
        (
            &["drop_rx_sk"][..],
            "drop_reason",
            "many packets dropped by the socket that received them",
        ),
        (
            &["drop_rx_sk", "drop_reason"],
            "drop_location",
            "drop.reason is null",
        ),
        (&["retransmit_err"], "retransmit", "failed inside this host"),
        (&["reset_sent_reason"], "reset_sent", "RSTs to closed ports"),
    ] {
        let facts = refusing(host(), refused);
        let (gone, new, losses) = difference(&facts);
        assert_eq!((gone, new), (vec![refused[0]], vec![instead]));
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert!(losses[0].lost.contains(lost), "{}", losses[0].lost);
        assert!(losses[0].why.starts_with("the kernel refuses tp_btf/"));
        let plan = plan(&facts, EVERYTHING).unwrap();
        let choice = plan.choices.iter();
        let mut choice =
            choice.filter(|choice| choice.hook.is_some_and(|hook| hook.program == instead));
        let passed_over = &choice.next().unwrap().passed_over;
        assert!(passed_over.iter().all(|other| other.refusal.is_some()));
    }
}

#[test]
fn what_is_lost_is_told_with_the_kernels_own_words() {
    let all = ["drop_rx_sk", "drop_reason", "drop_location"];
    let plan = plan(&refusing(host(), &all), EVERYTHING).unwrap();
    assert_eq!(plan.losses.len(), 1);
    assert_eq!(plan.losses[0].lost, "dropped packets");
    assert_eq!(
        plan.losses[0].why,
        "the kernel refuses tp_btf/kfree_skb: Operation not permitted"
    );
    assert!(!plan.losses[0].quiet);
    assert!(!plan.sees(event_kind::DROP) && plan.sees(event_kind::SEND_ERROR));
}

#[test]
fn the_result_of_a_function_has_another_place_in_another_prototype() {
    let (gone, new, losses) = difference(&refusing(host(), &["accept2"]));
    assert_eq!((gone, new), (vec!["accept2"], vec![]));
    assert!(losses[0].quiet, "a policy that refuses fexit is no warning");
}

#[test]
fn a_refusal_counts_for_more_than_a_form_that_does_not_fit() {
    let mut facts = refusing(host(), &["drop_reason"]);
    facts
        .btf
        .as_mut()
        .unwrap()
        .tracepoints
        .insert("kfree_skb", 3);
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert!(plan.loads("drop_location"));
    assert!(plan.losses[0].why.starts_with("the kernel refuses"));
}

#[test]
fn a_program_that_is_taken_away_is_refused_in_other_words() {
    let mut facts = host();
    facts.verdicts.withhold(&["drop_rx_sk".to_owned()]);
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert!(plan.loads("drop_reason"));
    assert_eq!(
        plan.losses[0].why,
        "drop_rx_sk is taken away by --without-program"
    );
}

#[test]
fn a_kernel_that_refuses_every_program_is_told_by_losses() {
    let all: Vec<_> = super::super::programs().collect();
    let plan = plan(&refusing(host(), &all), EVERYTHING).unwrap();
    assert_eq!(plan.hooks().count(), 0);
    assert!(plan.losses.iter().filter(|loss| !loss.quiet).count() > 5);
}
