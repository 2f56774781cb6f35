//! Arguments that may be null on kernels that do not say so.

use super::*;
use crate::kernel::facts::{NULLABLE, NullTest};

const TRUSTED: NullTest = NullTest {
    typed: Some(false),
    untyped: Some(true),
};
const NO_TEST_HOLDS: NullTest = NullTest {
    typed: Some(false),
    untyped: Some(false),
};

fn with_tests(test: NullTest) -> Facts {
    Facts {
        null_tests: Some([test; NULLABLE.len()]),
        ..host()
    }
}

/// The programs of a plan that look at an argument which may be null.
fn looking(plan: &Plan) -> Vec<&'static str> {
    let looks = |hook: &&Hook| {
        let arguments = GROUPS
            .iter()
            .flat_map(|group| group.variants)
            .find(|variant| variant.program == hook.program)
            .map_or(0, |variant| variant.args);
        NULLABLE
            .iter()
            .any(|nullable| nullable.tracepoint == hook.attach && nullable.argument < arguments)
    };
    plan.hooks()
        .filter(looks)
        .map(|hook| hook.program)
        .collect()
}

#[test]
fn an_untyped_test_that_is_kept_lets_every_program_run_and_is_remarked_upon() {
    let trusted = plan(&with_tests(TRUSTED), EVERYTHING).unwrap();
    assert_eq!(looking(&trusted), ["drop_rx_sk", "reset_sent_reason"]);
    assert_eq!(trusted.losses, []);
    assert_eq!(
        trusted.remarks,
        [
            (
                "kfree_skb",
                "rx_sk may be null and this kernel does not say so (CVE-2025-21852); the programs test it on an \
                 untyped value, which this verifier keeps"
                    .to_owned()
            ),
            (
                "tcp_send_reset",
                "sk and skb may be null and this kernel does not say so (CVE-2025-21852); the programs test it on \
                 an untyped value, which this verifier keeps"
                    .to_owned()
            )
        ]
    );
    assert_eq!(plan(&host(), EVERYTHING).unwrap().remarks, []);
}

#[test]
fn where_no_test_holds_no_program_looks_at_such_an_argument() {
    for facts in [
        with_tests(NO_TEST_HOLDS),
        refusing(with_tests(NO_TEST_HOLDS), &["drop_reason"]),
    ] {
        let plan = plan(&facts, EVERYTHING).unwrap();
        assert_eq!(looking(&plan), [""; 0]);
        assert!(
            plan.sees(event_kind::DROP),
            "it has forms that do not look at it"
        );
        assert!(plan.sees(event_kind::RESET), "those received are seen");
        let of_reset = plan
            .losses
            .iter()
            .find(|loss| loss.lost == "RSTs that this host sends");
        assert_eq!(
            of_reset.unwrap().why,
            "sk may be null, and this kernel's verifier deletes every test for that (CVE-2025-21852)"
        );
    }
}

#[test]
fn what_the_verifier_could_not_be_asked_is_not_risked() {
    let plan = plan(&with_tests(NullTest::default()), EVERYTHING).unwrap();
    assert_eq!(looking(&plan), [""; 0]);
    assert!(plan.loads("drop_reason"));
    let why = "could not be found out";
    assert_eq!(
        plan.losses
            .iter()
            .filter(|loss| loss.why.contains(why))
            .count(),
        2
    );
}

#[test]
fn a_record_that_nobody_asked_the_verifier_for_is_planned_as_if_tests_are_kept() {
    let facts = Facts {
        null_tests: None,
        ..host()
    };
    let unasked = plan(&facts, EVERYTHING).unwrap();
    assert_eq!(unasked, plan(&host(), EVERYTHING).unwrap());
}

#[test]
fn an_argument_that_this_kernel_does_not_have_is_no_obstacle() {
    let mut facts = with_tests(TRUSTED);
    let tests = facts.null_tests.as_mut().unwrap();
    let rx_sk = NULLABLE
        .iter()
        .position(|nullable| nullable.name == "rx_sk")
        .unwrap();
    tests[rx_sk] = NullTest::default();
    facts
        .btf
        .as_mut()
        .unwrap()
        .tracepoints
        .insert("kfree_skb", 3);
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert!(plan.loads("drop_reason"));
    assert!(plan.remarks.iter().all(|(place, _)| *place != "kfree_skb"));
}
