//! Kernels without the tracepoint of sends.

use super::*;

/// Everything but the tracepoint.
fn older() -> Facts {
    with_btf(|btf| {
        btf.tracepoints.remove(SENDS_AT);
    })
}

const STAND_INS: [&str; 11] = [
    "inet_send",
    "inet6_send",
    "inet_page",
    "unix_send",
    "unix_page",
    "unix_dgram",
    "unix_seq",
    "packet_send",
    "packet_old",
    "netlink_send",
    "other_send",
];

#[test]
fn the_functions_of_the_protocols_are_hooked_only_where_the_tracepoint_is_not_there() {
    let best = programs(&plan(&host(), EVERYTHING).unwrap());
    assert!(best.iter().all(|program| !STAND_INS.contains(program)));
    let (gone, new, losses) = difference(&older());
    assert_eq!((gone, new), (vec!["send_length"], STAND_INS.to_vec()));
    assert_eq!(losses, []);
}

#[test]
fn why_the_tracepoint_was_not_taken_stays_visible() {
    let plan = plan(&older(), EVERYTHING).unwrap();
    let first = plan
        .choices
        .iter()
        .find(|choice| choice.hook.is_some_and(|hook| hook.program == "inet_send"))
        .unwrap();
    assert_eq!(first.passed_over[0].program, "send_length");
    assert!(first.passed_over[0].why.contains("has no tracepoint"));
}

#[test]
fn a_kernel_that_has_sendpage_no_more_loses_nothing() {
    let mut facts = older();
    let btf = facts.btf.as_mut().unwrap();
    btf.functions.remove("inet_sendpage");
    btf.functions.remove("unix_stream_sendpage");
    let field = FIELDS
        .iter()
        .position(|field| field.name == "proto_sendpage");
    btf.offsets[field.unwrap()] = UNRESOLVED;
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert!(!plan.loads("inet_page") && !plan.loads("unix_page") && plan.loads("inet_send"));
    assert_eq!((plan.losses, plan.fields), (vec![], vec![]));
}

#[test]
fn a_family_whose_function_is_gone_costs_that_family_only() {
    let mut facts = older();
    facts
        .btf
        .as_mut()
        .unwrap()
        .functions
        .remove("packet_sendmsg");
    let plan = plan(&facts, EVERYTHING).unwrap();
    let lost: Vec<_> = plan.losses.iter().map(|loss| loss.lost.as_str()).collect();
    assert_eq!(lost, ["sends on packet sockets"]);
}

#[test]
fn other_families_are_seen_at_the_innermost_function_that_is_there() {
    let at = |facts: &Facts| {
        let plan = plan(facts, EVERYTHING).unwrap();
        let hooks: Vec<_> = plan
            .hooks()
            .filter(|hook| hook.program == "other_send")
            .map(|hook| hook.attach)
            .collect();
        (hooks, plan.losses.len())
    };
    let mut facts = older();
    assert_eq!(at(&facts), (vec!["__sock_sendmsg"], 0));
    facts
        .btf
        .as_mut()
        .unwrap()
        .functions
        .remove("__sock_sendmsg");
    assert_eq!(at(&facts), (vec!["sock_sendmsg"], 0));
    facts.btf.as_mut().unwrap().functions.remove("sock_sendmsg");
    assert_eq!(at(&facts), (vec![], 1));
}

#[test]
fn only_owners_need_the_ip_functions_alone() {
    let wanted = Wanted {
        event_kinds: 1 << event_kind::RESET,
        follow: false,
        connect_errors: false,
    };
    let plan = plan(&older(), wanted).unwrap();
    let sends: Vec<_> = programs(&plan)
        .into_iter()
        .filter(|program| STAND_INS.contains(program))
        .collect();
    assert_eq!(sends, ["inet_send", "inet6_send", "inet_page"]);
}

#[test]
fn without_any_of_the_functions_it_is_the_tracepoint_that_is_missed() {
    let mut facts = older();
    facts.btf.as_mut().unwrap().features.remove(&Feature::Fexit);
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert!(!plan.sees(event_kind::SEND_ERROR) && !plan.sees(event_kind::SEND));
    assert!(
        plan.losses
            .iter()
            .any(|loss| loss.why == "this kernel has no tracepoint sock_send_length")
    );
}

#[test]
fn a_policy_that_refuses_all_of_them_is_one_loss_and_neither_event_kind_is_seen() {
    let all = plan(&refusing(older(), &STAND_INS), EVERYTHING).unwrap();
    assert_eq!(all.losses.len(), 1);
    assert_eq!(
        all.losses[0].why,
        "this kernel has no tracepoint sock_send_length, and the kernel refuses fexit programs: Operation \
         not permitted"
    );
    assert!(!all.sees(event_kind::SEND_ERROR) && !all.sees(event_kind::SEND));
    // One of them alone is its own loss.
    let one = plan(&refusing(older(), &STAND_INS[1..2]), EVERYTHING).unwrap();
    assert_eq!(one.losses.len(), 1);
    assert!(one.losses[0].lost.starts_with("sends on IPv6 sockets"));
    assert!(one.sees(event_kind::SEND));
}

#[test]
fn the_functions_stand_in_for_a_tracepoint_whose_program_is_refused_and_nothing_is_lost() {
    let plan = plan(&refusing(host(), &["send_length"]), EVERYTHING).unwrap();
    let sends: Vec<_> = plan.hooks().map(|hook| hook.program).collect();
    assert!(!sends.contains(&"send_length"));
    assert!(STAND_INS.iter().all(|program| sends.contains(program)));
    assert_eq!(plan.losses, []);
    // It stays visible, and why.
    let choice = plan
        .choices
        .iter()
        .find(|choice| choice.group.attach == SENDS_AT);
    let refused = choice.unwrap().refused().unwrap();
    assert_eq!(
        refused.why,
        "the kernel refuses tp_btf/sock_send_length: Operation not permitted"
    );
}

#[test]
fn a_tracepoint_that_is_refused_like_all_functions_is_one_loss_that_says_both() {
    let mut facts = refusing(host(), &STAND_INS);
    facts.verdicts.withhold(&["send_length".to_owned()]);
    let plan = plan(&facts, EVERYTHING).unwrap();
    assert_eq!(plan.losses.len(), 1);
    assert_eq!(
        plan.losses[0].why,
        "send_length is taken away by --without-program, and the kernel refuses fexit programs: Operation not \
         permitted"
    );
    assert!(plan.losses[0].remedy.contains("allows fexit"));
}

#[test]
fn a_refused_tracepoint_on_a_kernel_without_fexit_says_that_too() {
    let facts = with_btf(|btf| {
        btf.features.remove(&Feature::Fexit);
    });
    let plan = plan(&refusing(facts, &["send_length"]), EVERYTHING).unwrap();
    let mut why = plan.losses.iter().map(|loss| loss.why.as_str());
    assert!(why.any(|why| why
        == "the kernel refuses tp_btf/sock_send_length: Operation not permitted, and this kernel lacks function \
            exit programs (fexit)"));
}
