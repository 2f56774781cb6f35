//! Causes that only the host beside the events tells apart: its counters, and changes of its network.

use serde_json::{Value, json};
use tracer_model::event::{Cause, Detail, Direction, Endpoint, Event, Flow, Tcp, TcpState};
use tracer_model::linux;
use tracer_model::samples::{Change, PeerTraffic, Sample};

use super::{FAR, causes, dropped, ended, failed, resent, with_proto};
use crate::testing::{SECOND, flow, header, report_with};

/// Causes of these events on a host whose counters grew so far and whose network changed so.
fn beside(events: &[Event], counters: &[(&str, u64)], changes: &[Value]) -> Vec<&'static str> {
    let mut header = header();
    let more = json!({
        "routes": [{"family": "inet", "destination": "default", "gateway": "10.0.0.254", "interface": "eth0",
                    "table": 254, "route_type": "unicast"},
                   {"family": "inet", "destination": "10.7.0.0/16", "table": 254, "route_type": "prohibit"}],
        "interfaces": [{"name": "eth0", "ifindex": 2, "addresses": ["10.0.0.1/24"]},
                       {"name": "tun0", "ifindex": 9, "kind": "tun", "addresses": []}],
    });
    header.extend(more.as_object().unwrap().clone());
    let sample = Sample {
        counters: Some(
            counters
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        ),
        ..Sample::default()
    };
    let changes: Vec<Change> = changes
        .iter()
        .map(|change| serde_json::from_value(change.clone()).unwrap())
        .collect();
    let report = report_with(&header, events, 30, sample, &changes);
    report.findings.iter().map(|one| one.rule.cause).collect()
}

#[test]
fn what_the_host_counts_tells_one_cause_of_an_event_from_another() {
    let (tcp, udp) = (
        flow(40_000, FAR, 1),
        with_proto("udp", flow(40_000, "10.0.0.2:53", 1)),
    );
    let every = |event: &dyn Fn(u64) -> Event| (0..6).map(|n| event(n * 500)).collect::<Vec<_>>();
    let filtered = every(&|ms| dropped(ms, &udp, "NETFILTER_DROP", Direction::Sent));
    let unborn = every(&|ms| dropped(ms, &udp, "NEIGH_CREATEFAIL", Direction::Sent));
    let unreachable: Vec<_> = (0..3)
        .map(|n| {
            let flow = flow(40_000 + n as u16, FAR, n);
            ended(n * 500, &flow, TcpState::SynSent, Some(linux::EHOSTUNREACH))
        })
        .collect();
    let ring = every(&|ms| {
        let mut event = dropped(ms, &udp, "FULL_RING", Direction::Sent);
        if let Detail::Drop(drop) = &mut event.detail {
            drop.interface = Some("tun0".into());
        }
        event
    });
    let prohibited = every(&|ms| {
        let flow = with_proto("udp", flow(40_000, "10.7.1.1:53", 1));
        failed(ms, &flow, linux::EACCES)
    });
    let shut = every(&|ms| {
        let mut event = failed(ms, &tcp, linux::EPIPE);
        event.tcp = Some(Tcp {
            state: Some(TcpState::FinWait2),
            ..Tcp::default()
        });
        event
    });
    let full = [("nf_conntrack.drop", 6)];
    for (events, counters, cause) in [
        (&filtered, &full[..], "conntrack_full"),
        (&filtered, &[], "local_firewall"),
        (
            &unborn,
            &[("arp_cache.table_fulls", 3)],
            "neighbour_table_full",
        ),
        (&unborn, &[], "neighbour_failed"),
        (&unreachable, &[("Icmp.InDestUnreachs", 3)], "icmp_reject"),
        (&unreachable, &[("Icmp.InTimeExcds", 3)], "ttl_exceeded"),
        (&unreachable, &[], "unknown"),
        (&ring, &[], "tun_reader_slow"),
        (&prohibited, &[], "route_refused"),
        (&shut, &[], "own_shutdown"),
    ] {
        assert_eq!(beside(events, counters, &[]), [cause], "{counters:?}");
    }
}

#[test]
fn what_changed_on_the_way_is_told_and_what_changed_elsewhere_is_not() {
    let flow = flow(40_000, FAR, 1);
    let silent: Vec<_> = (0..2)
        .map(|n| resent(n * 900, &flow, Cause::Rto))
        .chain([ended(
            2000,
            &flow,
            TcpState::Established,
            Some(linux::EHOSTUNREACH),
        )])
        .collect();
    let gone = |address| {
        json!({"boot_ns": SECOND, "kind": "address", "action": "del", "interface": "eth0", "ifindex": 2,
               "address": address})
    };
    let moved = |address, n: u64| {
        json!({"boot_ns": SECOND + n, "kind": "neighbour", "action": "changed", "interface": "eth0", "ifindex": 2,
               "address": address, "state": "REACHABLE", "link_address": format!("02:00:00:00:00:0{n}"),
               "link_address_was": "02:00:00:00:00:09"})
    };
    for (changes, cause) in [
        (vec![gone("10.0.0.1/24")], "local_address_removed"),
        (vec![gone("10.9.9.9/24")], "peer_host_gone"),
        (
            (0..4).map(|n| moved("10.0.0.2", n)).collect(),
            "address_conflict",
        ),
        (
            (0..4).map(|n| moved("10.0.0.77", n)).collect(),
            "peer_host_gone",
        ),
    ] {
        assert_eq!(beside(&silent, &[], &changes), [cause], "{changes:?}");
    }
}

#[test]
fn a_queue_of_local_datagrams_is_full_when_many_sends_say_so() {
    let unix = Flow {
        proto: "unix_dgram".into(),
        local: None,
        remote: Some(Endpoint::Unix("/dev/log".into())),
        netns: Some(1),
        socket: Some(9),
    };
    let refused = |count| {
        (0..count)
            .map(|n| failed(n * 50, &unix, linux::EAGAIN))
            .collect::<Vec<_>>()
    };
    assert_eq!(causes(&refused(30)), ["syslog_socket_full"]);
    assert_eq!(causes(&refused(5)), Vec::<&str>::new());
}

#[test]
fn what_a_containers_peers_got_twice_without_need_is_told_by_its_flows() {
    let traffic = |dsack_dups, retransmitted_segments| Sample {
        traffic: Some(vec![PeerTraffic {
            pid: Some(7),
            remote: "10.0.0.2".to_owned(),
            sent_segments: 800,
            retransmitted_segments,
            dsack_dups: Some(dsack_dups),
            ..PeerTraffic::default()
        }]),
        ..Sample::default()
    };
    for (twice, resent, causes) in [
        (60, 0, vec!["duplicate_delivery"]),
        (60, 60, vec![]),
        (2, 0, vec![]),
    ] {
        let report = report_with(&header(), &[], 30, traffic(twice, resent), &[]);
        let found: Vec<_> = report.findings.iter().map(|one| one.rule.cause).collect();
        assert_eq!(found, causes, "{twice} {resent}");
    }
}
