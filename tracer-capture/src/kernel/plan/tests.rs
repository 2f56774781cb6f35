use tracer_common::{FIELDS, Field, UNRESOLVED};

mod older;

use super::*;
use crate::kernel::facts::Limit;
use crate::kernel::facts::fixture::{host, with_btf};

mod connects;
mod null;
mod perf_tracepoint;
mod refused;
mod sends;
mod waits;

/// The tracepoint of sends.
const SENDS_AT: &str = "sock_send_length";

const EVERYTHING: Wanted = Wanted {
    follow: true,
    ..Wanted::ALL
};

fn programs(plan: &Plan) -> Vec<&'static str> {
    plan.hooks().map(|hook| hook.program).collect()
}

/// Programs that a poorer host loses and gains against the perfect one, and its losses.
fn difference(facts: &Facts) -> (Vec<&'static str>, Vec<&'static str>, Vec<Loss>) {
    let best = programs(&plan(&host(), EVERYTHING).unwrap());
    let plan = plan(facts, EVERYTHING).unwrap();
    let here = programs(&plan);
    let gone = best
        .iter()
        .filter(|program| !here.contains(program))
        .copied()
        .collect();
    let new = here
        .iter()
        .filter(|program| !best.contains(program))
        .copied()
        .collect();
    (gone, new, plan.losses)
}

/// The tracepoints that a host with everything uses and that nothing stands in for.
fn tracepoints() -> impl Iterator<Item = &'static str> {
    let for_older = |group: &Group| group.serves == [Purpose::OwnerEnd];
    let alone = TRACEPOINTS.iter().copied().filter(|name| *name != SENDS_AT);
    alone.filter(move |tracepoint| {
        GROUPS
            .iter()
            .any(|group| group.attach == *tracepoint && !for_older(group))
    })
}

/// The host after the kernel has refused these programs.
fn refusing(mut facts: Facts, programs: &[&str]) -> Facts {
    for program in programs {
        let (errno, text) = (Some(1), "Operation not permitted".to_owned());
        facts
            .verdicts
            .note(program, ProgramVerdict::Refused { errno, text });
    }
    facts
}

fn without_field(name: &str) -> Facts {
    let index = FIELDS.iter().position(|field| field.name == name).unwrap();
    with_btf(|btf| btf.offsets[index] = UNRESOLVED)
}

/// No host has `sk_protocol` in both widths.
fn fields_of_the_perfect_host() -> impl Iterator<Item = &'static Field> {
    FIELDS
        .iter()
        .filter(|field| !["sk_protocol_byte", "tcp_usec_ts"].contains(&field.name))
}

#[test]
fn a_protocol_of_one_byte_is_no_loss() {
    let at = |name| FIELDS.iter().position(|field| field.name == name).unwrap();
    let facts = with_btf(|btf| {
        btf.offsets[at("sk_protocol_byte")] = btf.offsets[at("sk_protocol")];
        btf.offsets[at("sk_protocol")] = UNRESOLVED;
    });
    assert_eq!(plan(&facts, EVERYTHING).unwrap().fields, []);
}

#[test]
fn when_a_time_out_is_counted_is_told_to_the_programs_or_is_a_loss() {
    use tracer_common::ability::{TIMEOUT_COUNTED_AFTER, TIMEOUT_COUNTED_BEFORE};
    let both = TIMEOUT_COUNTED_AFTER | TIMEOUT_COUNTED_BEFORE;
    for (after, bits, lost) in [
        (Some(false), TIMEOUT_COUNTED_BEFORE, 0),
        (Some(true), TIMEOUT_COUNTED_AFTER, 0),
        (None, 0, 1),
    ] {
        let facts = with_btf(|btf| btf.timeout_counted_after_sending = after);
        let plan = plan(&facts, EVERYTHING).unwrap();
        assert_eq!(plan.abilities & both, bits);
        assert_eq!(plan.losses.len(), lost);
    }
}

/// Programs at the return of connects.
const CONNECTS: [&str; 5] = [
    "connect_tcp4",
    "connect_tcp6",
    "connect_dgram4",
    "connect_dgram6",
    "connect_stream",
];

/// Programs at the begin and the end of what sends wait in.
const WAITS: [&str; 6] = [
    "memory_wait",
    "memory_waited",
    "connect_wait",
    "connect_waited",
    "peer_wait",
    "peer_waited",
];

#[test]
fn a_perfect_host_loses_nothing_and_runs_the_best_form_of_every_hook() {
    let plan = plan(&host(), EVERYTHING).unwrap();
    assert_eq!(
        programs(&plan),
        [
            "retransmit_err",
            "synack",
            "send_length",
            "lsm_refusal",
            "memory_wait",
            "memory_waited",
            "connect_wait",
            "connect_waited",
            "peer_wait",
            "peer_waited",
            "drop_rx_sk",
            "xmit",
            "xmit_timeout",
            "reset_sent_reason",
            "reset_received",
            "set_state",
            "connect_tcp4",
            "connect_tcp6",
            "connect_dgram4",
            "connect_dgram6",
            "connect_stream",
            "open_sockets",
            "walk_sockets",
            "accept2",
            "fork",
        ]
    );
    assert_eq!(plan.losses, []);
    assert_eq!(plan.fields, []);
    assert!(
        plan.choices
            .iter()
            .all(|choice| choice.passed_over.is_empty())
    );
    assert_eq!(plan.offsets, host().btf.unwrap().offsets);
    assert_eq!(plan.file_refs_bias, 1);
}

#[test]
fn each_tracepoint_that_is_gone_costs_its_own_purpose_and_no_other() {
    for tracepoint in tracepoints() {
        let facts = with_btf(|btf| {
            btf.tracepoints.remove(tracepoint);
        });
        let (gone, new, losses) = difference(&facts);
        let group = GROUPS
            .iter()
            .find(|group| group.attach == tracepoint)
            .unwrap();
        assert_eq!(gone, [group.variants[0].program]);
        assert!(new.is_empty());
        assert_eq!(
            losses,
            [Loss {
                serves: group.serves[0],
                lost: group.lost.to_owned(),
                why: format!("this kernel has no tracepoint {tracepoint}"),
                remedy: group.remedy.to_owned(),
                quiet: false,
            }]
        );
    }
}

#[test]
fn a_prototype_that_nobody_knows_is_not_attached() {
    for tracepoint in tracepoints() {
        let facts = with_btf(|btf| {
            btf.tracepoints.insert(tracepoint, 9);
        });
        let (gone, new, losses) = difference(&facts);
        assert_eq!(
            (gone.len(), new.len(), losses.len()),
            (1, 0, 1),
            "{tracepoint}"
        );
        assert!(
            losses[0].why.contains("has 9 arguments here"),
            "{}",
            losses[0].why
        );
    }
}

#[test]
fn an_older_prototype_takes_the_form_written_for_it_and_says_what_that_costs() {
    for (tracepoint, arguments, best, form, lost) in [
        (
            "tcp_retransmit_skb",
            2,
            "retransmit_err",
            "retransmit",
            "failed inside this host",
        ),
        (
            "kfree_skb",
            3,
            "drop_rx_sk",
            "drop_reason",
            "many packets dropped by the socket that received them",
        ),
        (
            "kfree_skb",
            2,
            "drop_rx_sk",
            "drop_location",
            "drop.reason is null",
        ),
        (
            "tcp_send_reset",
            2,
            "reset_sent_reason",
            "reset_sent",
            "RSTs to closed ports",
        ),
    ] {
        let facts = with_btf(|btf| {
            btf.tracepoints.insert(tracepoint, arguments);
        });
        let (gone, new, losses) = difference(&facts);
        assert_eq!((gone, new), (vec![best], vec![form]));
        assert_eq!(losses.len(), 1);
        assert!(losses[0].lost.contains(lost), "{}", losses[0].lost);
        assert!(
            losses[0]
                .why
                .contains(&format!("has {arguments} arguments here")),
            "{}",
            losses[0].why
        );
    }
}

#[test]
fn the_older_accept_is_as_good_as_the_newer() {
    let facts = with_btf(|btf| {
        btf.functions.insert("inet_csk_accept", 4);
    });
    assert_eq!(
        difference(&facts),
        (vec!["accept2"], vec!["accept4"], vec![])
    );
}

#[test]
fn a_kernel_without_fexit_loses_the_optional_hooks_only() {
    let facts = with_btf(|btf| {
        btf.features.remove(&Feature::Fexit);
    });
    let (gone, new, losses) = difference(&facts);
    let optional = [&["lsm_refusal"][..], &WAITS, &CONNECTS, &["accept2"]].concat();
    assert_eq!((gone, new), (optional, vec![]));
    let mut serves: Vec<_> = losses.iter().map(|loss| loss.serves.name()).collect();
    serves.dedup();
    assert_eq!(serves, ["send_error", "blocked", "connection", "owner"]);
}

#[test]
fn a_function_that_is_gone_costs_its_optional_hook() {
    let one = [&["accept2"][..], &CONNECTS, &["lsm_refusal"]].concat();
    let programs = one.chunks(1).chain(WAITS.chunks(2));
    for (&function, programs) in FUNCTIONS.iter().zip(programs) {
        let facts = with_btf(|btf| {
            btf.functions.remove(function);
        });
        let (gone, new, losses) = difference(&facts);
        assert_eq!((gone, new, losses.len()), (programs.to_vec(), vec![], 1));
    }
}

#[test]
fn without_the_iterator_older_sockets_have_no_owner_at_first() {
    let facts = with_btf(|btf| {
        btf.features.remove(&Feature::TaskFileIterator);
    });
    let (gone, new, losses) = difference(&facts);
    let walks = vec!["open_sockets", "walk_sockets"];
    assert_eq!((gone, new, losses.len()), (walks, vec![], 2));
    assert_eq!(losses[0].serves, Purpose::Owner);
}

#[test]
fn a_kernel_without_the_basics_is_too_old() {
    for feature in [Feature::RingBuffer, Feature::TypedTracepoint] {
        let facts = with_btf(|btf| {
            btf.features.remove(&feature);
        });
        let error = plan(&facts, EVERYTHING).unwrap_err();
        assert_eq!(error, PlanError::TooOld(vec![feature]));
        assert!(error.to_string().contains(feature.name()));
    }
}

#[test]
fn each_field_that_is_gone_costs_what_its_line_says_and_nothing_else() {
    for field in fields_of_the_perfect_host() {
        let facts = without_field(field.name);
        let best = plan(&host(), EVERYTHING).unwrap();
        let plan = plan(&facts, EVERYTHING).unwrap();
        let [cost] = plan.fields.as_slice() else {
            panic!("{}: {:?}", field.name, plan.fields)
        };
        assert_eq!(cost.field, field);
        let gone: Vec<_> = programs(&best)
            .into_iter()
            .filter(|program| !plan.loads(program))
            .collect();
        let stopped: Vec<_> = programs(&best)
            .into_iter()
            .filter(|program| cost.needed_by.contains(program))
            .collect();
        assert_eq!(gone, stopped, "{}", field.name);
        assert_eq!(plan.losses.len(), gone.len(), "{}", field.name);
        assert!(
            plan.losses.iter().all(|loss| loss.why.contains(field.name)),
            "{}",
            field.name
        );
    }
}

#[test]
fn every_program_that_needs_a_field_is_in_the_table_of_hooks() {
    let known: Vec<_> = GROUPS
        .iter()
        .chain(SENDS)
        .chain(OTHER_SENDS)
        .chain(PERF_TRACEPOINT)
        .chain(WAIT_ENDS)
        .flat_map(|group| group.variants)
        .map(|variant| variant.program)
        .collect();
    for field in fields_of_the_perfect_host() {
        let plan = plan(&without_field(field.name), EVERYTHING).unwrap();
        assert!(
            plan.fields[0]
                .needed_by
                .iter()
                .all(|program| known.contains(program)),
            "{}",
            field.name
        );
    }
}

#[test]
fn names_that_cannot_be_read_are_losses_of_names_only() {
    type Change = fn(&mut Facts);
    let cases: [(Change, Purpose, &str); 6] = [
        (
            |facts| facts.cgroup2 = None,
            Purpose::Owner,
            "owner.cgroup is null",
        ),
        (
            |facts| facts.tick_ns = None,
            Purpose::Event(event_kind::RETRANSMIT),
            "tcp.rto_us",
        ),
        (
            |facts| facts.kernel_addresses = Some(false),
            Purpose::Event(event_kind::DROP),
            "drop.location is null",
        ),
        (
            |facts| facts.kptr_restrict = Some(2),
            Purpose::Event(event_kind::DROP),
            "drop.location is null",
        ),
        (
            |facts| facts.btf.as_mut().unwrap().drop_reasons = None,
            Purpose::Event(event_kind::DROP),
            "names of drop reasons",
        ),
        (
            |facts| facts.btf.as_mut().unwrap().reset_reasons = None,
            Purpose::Event(event_kind::RESET),
            "names of reset reasons",
        ),
    ];
    for (change, serves, lost) in cases {
        let mut facts = host();
        change(&mut facts);
        let (gone, new, losses) = difference(&facts);
        assert!(gone.is_empty() && new.is_empty());
        assert_eq!(losses.len(), 1, "{lost}");
        assert_eq!(losses[0].serves, serves);
        assert!(losses[0].lost.contains(lost), "{}", losses[0].lost);
    }
}

#[test]
fn facts_that_decide_nothing_change_nothing() {
    type Change = fn(&mut Facts);
    let changes: [Change; 9] = [
        |facts| facts.euid = 1000,
        |facts| facts.capabilities = None,
        |facts| facts.kernel_release = Some("2.6.32".to_owned()),
        |facts| facts.jit = Some(false),
        |facts| facts.lockdown = Some("confidentiality".to_owned()),
        |facts| facts.unprivileged_bpf_disabled = None,
        |facts| facts.cpus_possible = None,
        |facts| facts.open_files = None,
        |facts| facts.locked_memory = None,
    ];
    for change in changes {
        let mut facts = host();
        change(&mut facts);
        assert_eq!(plan(&facts, EVERYTHING), plan(&host(), EVERYTHING));
    }
}

#[test]
fn only_what_is_wanted_is_planned_and_owners_always() {
    let owners = ["send_length", "set_state", "open_sockets", "accept2"];
    let of_sends = [&["lsm_refusal"][..], &WAITS].concat();
    for (number, own) in [
        (event_kind::RETRANSMIT, &["retransmit_err", "synack"][..]),
        (event_kind::SEND_ERROR, &of_sends),
        (event_kind::BLOCKED, &of_sends),
        (event_kind::DROP, &["drop_rx_sk"]),
        // The drop of a packet tells whose it was.
        (event_kind::DEVICE, &["drop_rx_sk", "xmit", "xmit_timeout"]),
        (event_kind::RESET, &["reset_sent_reason", "reset_received"]),
        (event_kind::CONNECTION, &CONNECTS),
        (event_kind::SEND, &[]),
    ] {
        let plan = plan(
            &host(),
            Wanted {
                event_kinds: 1 << number,
                follow: false,
                connect_errors: false,
            },
        )
        .unwrap();
        let mut expected: Vec<_> = own.iter().chain(&owners).copied().collect();
        let mut found = programs(&plan);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_loss_of_an_unwanted_event_kind_is_none() {
    let facts = with_btf(|btf| {
        btf.tracepoints.remove("kfree_skb");
        btf.drop_reasons = None;
    });
    let plan = plan(
        &facts,
        Wanted {
            event_kinds: 1 << event_kind::RESET,
            follow: false,
            connect_errors: false,
        },
    )
    .unwrap();
    assert_eq!(plan.losses, []);
}

#[test]
fn losing_the_only_wanted_event_kind_is_an_error_that_says_why() {
    let facts = with_btf(|btf| {
        btf.tracepoints.remove("kfree_skb");
    });
    let error = plan(
        &facts,
        Wanted {
            event_kinds: 1 << event_kind::DROP,
            follow: false,
            connect_errors: false,
        },
    )
    .unwrap_err();
    assert!(matches!(error, PlanError::NoHooks(_)));
    assert!(
        error.to_string().contains("no tracepoint kfree_skb"),
        "{error}"
    );
}

#[test]
fn an_optional_hook_alone_does_not_make_an_event_kind_seen() {
    let facts = with_btf(|btf| {
        btf.tracepoints.remove(SENDS_AT);
        btf.functions
            .retain(|name, _| *name == "security_socket_sendmsg");
    });
    let wanted = Wanted {
        event_kinds: 1 << event_kind::SEND_ERROR,
        follow: false,
        connect_errors: false,
    };
    assert!(matches!(plan(&facts, wanted), Err(PlanError::NoHooks(_))));
}

#[test]
fn without_btf_nothing_can_be_planned() {
    let facts = Facts {
        btf: Err("permission denied".to_owned()),
        ..host()
    };
    let error = plan(&facts, EVERYTHING).unwrap_err();
    assert_eq!(error, PlanError::NoBtf("permission denied".to_owned()));
    assert!(error.to_string().contains("CONFIG_DEBUG_INFO_BTF"));
}

#[test]
fn a_hard_limit_of_open_files_below_the_need_is_an_error_and_a_soft_one_is_not() {
    let limit = |soft, hard| Facts {
        open_files: Some(Limit { soft, hard }),
        ..host()
    };
    assert_eq!(
        plan(&limit(16, 64), EVERYTHING),
        Err(PlanError::FileLimit(64))
    );
    assert_eq!(
        plan(&limit(16, NEEDED_FILES), EVERYTHING),
        plan(&host(), EVERYTHING)
    );
}
