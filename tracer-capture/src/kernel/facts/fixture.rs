//! The fixture of planner tests: a host that lacks nothing, from which tests take one fact at a time.

use std::collections::BTreeMap;

use tracer_common::{FIELDS, OFFSET_COUNT, UNRESOLVED};

use super::{
    BtfFacts, Capabilities, ClockAnchor, Facts, Feature, Limit, NULLABLE, NullTest, Processor,
    Verdicts,
};

/// Every capability, every hook in its best form, every field.
pub fn host() -> Facts {
    let names = |names: &[&str]| Some((0..).zip(names.iter().map(ToString::to_string)).collect());
    let mut offsets = [0; OFFSET_COUNT];
    for (slot, offset) in offsets.iter_mut().zip(8..) {
        *slot = offset;
    }
    // The other width of `sk_protocol`.
    let byte = FIELDS
        .iter()
        .position(|field| field.name == "sk_protocol_byte");
    if let Some(byte) = byte {
        offsets[byte] = UNRESOLVED;
    }
    let btf = BtfFacts {
        offsets,
        file_refs_bias: 1,
        ancestor_pointers: true,
        processor: Some(Processor::X86_64),
        registers_offset: Some(16_384 - 168),
        timeout_counted_after_sending: Some(false),
        preemptible_tracepoints: false,
        perf_tracepoint_sends: None,
        tracepoints: BTreeMap::from([
            ("tcp_retransmit_skb", 3),
            ("tcp_retransmit_synack", 2),
            ("sock_send_length", 3),
            ("kfree_skb", 4),
            ("net_dev_xmit", 4),
            ("net_dev_xmit_timeout", 2),
            ("tcp_send_reset", 3),
            ("tcp_receive_reset", 1),
            ("inet_sock_set_state", 3),
            ("sched_process_fork", 2),
            ("tcp_destroy_sock", 1),
        ]),
        tracepoint_types: BTreeMap::from([("tcp_receive_reset", vec!["struct sock *".to_owned()])]),
        functions: BTreeMap::from([
            ("inet_csk_accept", 2),
            ("tcp_v4_connect", 3),
            ("tcp_v6_connect", 3),
            ("__ip4_datagram_connect", 3),
            ("__ip6_datagram_connect", 3),
            ("__inet_stream_connect", 5),
            ("security_socket_sendmsg", 3),
            ("sk_stream_wait_memory", 2),
            ("sk_stream_wait_connect", 2),
            ("unix_wait_for_peer", 2),
            ("inet_sock_destruct", 1),
            ("inet_sendmsg", 3),
            ("inet6_sendmsg", 3),
            ("inet_sendpage", 5),
            ("unix_stream_sendmsg", 3),
            ("unix_stream_sendpage", 5),
            ("unix_dgram_sendmsg", 3),
            ("unix_seqpacket_sendmsg", 3),
            ("packet_sendmsg", 3),
            ("packet_sendmsg_spkt", 3),
            ("netlink_sendmsg", 3),
            ("__sock_sendmsg", 2),
            ("sock_sendmsg", 2),
        ]),
        features: Feature::ALL.into_iter().collect(),
        drop_reasons: names(&["NOT_DROPPED_YET", "CONSUMED"]),
        drop_subsystems: names(&["CORE"]),
        reset_reasons: names(&["NOT_SPECIFIED"]),
    };
    Facts {
        euid: 0,
        capabilities: Some(Capabilities(u64::MAX)),
        knows_cap_bpf: Some(true),
        initial_user_namespace: Some(true),
        kernel_release: Some("6.18.0-perfect".to_owned()),
        btf: Ok(btf),
        null_tests: Some(
            [NullTest {
                typed: Some(true),
                untyped: Some(true),
            }; NULLABLE.len()],
        ),
        verdicts: Verdicts::default(),
        jit: Some(true),
        lockdown: Some("none".to_owned()),
        unprivileged_bpf_disabled: Some(2),
        kptr_restrict: Some(0),
        kernel_addresses: Some(true),
        cgroup2: Some("/cgroup".into()),
        systemd_cgroups: None,
        tick_ns: Some(4_000_000),
        cpus_possible: Some(2),
        open_files: Some(Limit {
            soft: 1024,
            hard: 4096,
        }),
        locked_memory: Some(Limit {
            soft: u64::MAX,
            hard: u64::MAX,
        }),
        withholds: Some(false),
        clock: ClockAnchor {
            boot_ns: 5,
            wall_ns: 1_000,
        },
    }
}

/// The same host, with its BTF changed.
pub fn with_btf(change: impl FnOnce(&mut BtfFacts)) -> Facts {
    let mut facts = host();
    if let Ok(btf) = &mut facts.btf {
        change(btf);
    }
    facts
}
