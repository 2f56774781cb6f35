//! Each cause from the events that show it, beside its twin: the same without the fault, or with an innocent reason.

use serde_json::json;
use tracer_model::event::{
    Attribution, Cause, Connection, Detail, Direction, Endpoint, Event, Flow, Outcome, PacketDrop,
    Reset, Retransmit, SendError, Tcp, TcpState, Trigger, WaitReason, Waiting,
};
use tracer_model::linux;
use tracer_model::samples::{PeerTraffic, Sample};

use crate::rule::{Confidence, Layer, Symptom};
use crate::testing::{SECOND, flow, header, owner, report_of, report_with};
use crate::{Report, Verdict};

mod host;

/// An event `at` so many milliseconds.
fn at(ms: u64, flow: Flow, state: Option<TcpState>, detail: Detail) -> Event {
    Event {
        boot_ns: SECOND + ms * 1_000_000,
        count: 1,
        owner: owner("app", 7),
        flow: Some(flow),
        detail,
        tcp: state.map(|state| Tcp {
            state: Some(state),
            ..Tcp::default()
        }),
    }
}

fn resent(ms: u64, flow: &Flow, cause: Cause) -> Event {
    let state = match cause {
        Cause::Syn => TcpState::SynSent,
        _ => TcpState::Established,
    };
    let retransmit = Retransmit {
        cause,
        outcome: Outcome::Sent,
        attempt: Some(1),
        segments: Some(1),
        bytes: Some(100),
        trigger: Trigger::Timer,
    };
    at(
        ms,
        flow.clone(),
        Some(state),
        Detail::Retransmit(retransmit),
    )
}

fn failed(ms: u64, flow: &Flow, errno: i32) -> Event {
    let error = SendError {
        errno: errno.unsigned_abs(),
        requested_bytes: Some(66_000),
        sent_bytes: Some(0),
        blocked_us: None,
    };
    at(ms, flow.clone(), None, Detail::SendError(error))
}

fn dropped(ms: u64, flow: &Flow, reason: &str, direction: Direction) -> Event {
    let drop = PacketDrop {
        reason: Some(reason.to_owned()),
        location: None,
        interface: None,
        bytes: Some(60),
        direction: Some(direction),
        ifindex: None,
    };
    at(ms, flow.clone(), None, Detail::Drop(drop))
}

fn ended(ms: u64, flow: &Flow, from: TcpState, errno: Option<i32>) -> Event {
    let change = Connection {
        from: Some(from),
        to: Some(TcpState::Close),
        errno: errno.map(i32::unsigned_abs),
    };
    at(ms, flow.clone(), Some(from), Detail::Connection(change))
}

fn reset(ms: u64, flow: &Flow, state: TcpState) -> Event {
    let reset = Reset {
        direction: Some(Direction::Received),
        reason: None,
    };
    at(ms, flow.clone(), Some(state), Detail::Reset(reset))
}

fn with_proto(proto: &'static str, flow: Flow) -> Flow {
    Flow {
        proto: proto.into(),
        ..flow
    }
}

fn report(events: &[Event]) -> Report {
    report_of(&header(), events, 30)
}

fn causes(events: &[Event]) -> Vec<&'static str> {
    let report = report(events);
    report.findings.iter().map(|one| one.rule.cause).collect()
}

const FAR: &str = "10.0.0.2:443";

#[test]
fn answers_that_this_host_drops_are_not_missing() {
    let flow = flow(40_000, FAR, 1);
    let asked: Vec<_> = (0..4)
        .map(|n| resent(n * 1000, &flow, Cause::Syn))
        .collect();
    assert_eq!(causes(&asked), ["syn_blackhole"]);
    for (reason, cause) in [
        ("IP_RPFILTER", "rp_filter"),
        ("SOCKET_FILTER", "bpf_drop"),
        ("XFRM_POLICY", "ipsec_policy"),
        ("TC_INGRESS", "tc_drop"),
        ("NETFILTER_DROP", "local_firewall"),
    ] {
        let mut events = asked.clone();
        events.extend((0..4).map(|n| dropped(n * 1000 + 20, &flow, reason, Direction::Received)));
        let report = report(&events);
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|one| (one.rule.cause, one.confidence))
            .collect();
        assert_eq!(found, [(cause, Confidence::High)]);
    }
}

#[test]
fn what_leaves_is_dropped_by_whom_the_kernel_names() {
    let flow = flow(40_000, FAR, 1);
    for (reason, cause) in [
        ("TC_EGRESS", "tc_drop"),
        ("BPF_CGROUP_EGRESS", "bpf_drop"),
        ("NETFILTER_DROP", "local_firewall"),
    ] {
        let events: Vec<_> = (0..6)
            .map(|n| dropped(n * 300, &flow, reason, Direction::Sent))
            .collect();
        assert_eq!(causes(&events), [cause]);
    }
}

#[test]
fn refused_packets_that_harm_no_send_are_left_out_and_listed() {
    let flow = flow(40_000, FAR, 1);
    let events: Vec<_> = (0..6)
        .map(|n| dropped(n * 300, &flow, "SOCKET_FILTER", Direction::Received))
        .collect();
    let report = report(&events);
    assert_eq!(report.verdict, Verdict::NothingWrong);
    assert_eq!(report.left_out[0].count, 6);
}

#[test]
fn segments_that_the_path_asked_to_be_smaller_are_no_loss() {
    let flow = flow(40_000, FAR, 1);
    let cut = || (0..9).map(|n| resent(n, &flow, Cause::Mtu));
    let and_two = cut().chain((0..2).map(|n| resent(20 + n, &flow, Cause::Fast)));
    for events in [cut().collect::<Vec<_>>(), and_two.collect()] {
        let report = report(&events);
        assert_eq!(report.verdict, Verdict::NothingWrong);
        assert!(report.left_out.iter().any(|one| one.count == 9));
    }
    // Where it does not get on even so, it is trouble.
    let stuck = (0..4).map(|n| resent(1000 << n, &flow, Cause::Rto));
    let events: Vec<_> = cut().chain(stuck).collect();
    assert_ne!(report(&events).verdict, Verdict::NothingWrong);
}

#[test]
fn no_network_is_blamed_for_loopback() {
    let flow = flow(40_000, "127.0.0.1:443", 1);
    let events: Vec<_> = (0..4)
        .map(|n| resent(n * 1000, &flow, Cause::Syn))
        .collect();
    let report = report(&events);
    assert_eq!(report.findings[0].rule.cause, "unknown");
    assert!(report.findings[0].against[0].contains("on this host"));
}

#[test]
fn one_errno_is_not_one_cause() {
    let udp = |port| with_proto("udp", flow(port, "10.0.0.2:53", 1));
    let many = |flow: &Flow, errno| {
        (0..30)
            .map(|n| failed(n * 10, flow, errno))
            .collect::<Vec<_>>()
    };
    assert_eq!(causes(&many(&udp(0), linux::EAGAIN)), ["ports_exhausted"]);
    assert_eq!(
        causes(&many(&udp(40_000), linux::EAGAIN)),
        Vec::<&str>::new()
    );
    assert_eq!(
        causes(&many(&flow(40_000, FAR, 1), linux::EINPROGRESS)),
        Vec::<&str>::new()
    );
    let unix = Flow {
        proto: "unix_dgram".into(),
        local: None,
        remote: Some(Endpoint::Unix("/dev/log".into())),
        netns: Some(1),
        socket: Some(9),
    };
    assert_eq!(
        causes(&many(&unix, linux::ECONNREFUSED)),
        ["dgram_peer_gone"]
    );
    assert_eq!(causes(&many(&unix, linux::EMSGSIZE)), ["unknown"]);
    assert_eq!(
        causes(&many(&udp(40_000), linux::EMSGSIZE)),
        ["oversized_datagram"]
    );
    assert_eq!(causes(&many(&udp(40_000), linux::EPERM)), ["bpf_drop"]);
}

#[test]
fn a_call_that_cannot_work_is_the_applications_own_fault() {
    let udp = |remote| with_proto("udp", flow(40_000, remote, 1));
    let many = |flow: &Flow, errno| {
        (0..5)
            .map(|n| failed(n * 300, flow, errno))
            .collect::<Vec<_>>()
    };
    for (remote, errno, cause) in [
        ("10.0.0.2:53", linux::EDESTADDRREQ, "socket_misused"),
        ("10.0.0.2:53", linux::EISCONN, "socket_misused"),
        ("255.255.255.255:67", linux::EACCES, "socket_misused"),
        ("10.0.0.2:53", linux::EACCES, "unknown"),
    ] {
        assert_eq!(causes(&many(&udp(remote), errno)), [cause], "{errno}");
    }
    // What was open once was lost, whatever the next call says.
    let mut lost = many(&flow(40_000, FAR, 1), linux::ENOTCONN);
    lost[0].tcp = Some(Tcp {
        state: Some(TcpState::Established),
        ..Tcp::default()
    });
    assert_eq!(causes(&lost), ["unknown"]);
}

#[test]
fn a_connect_that_fails_before_its_syn_was_heard_by_nobody_else() {
    let connect = |n: u64, errno: i32, local: Option<&str>| {
        let mut flow = flow(0, FAR, n);
        flow.local = local.map(|local| Endpoint::Inet(local.parse().unwrap()));
        let mut event = ended(n * 400, &flow, TcpState::Close, Some(errno));
        event.tcp = None;
        event
    };
    let mut routed = header();
    routed.insert(
        "routes".to_owned(),
        json!([{"family": "inet", "destination": "default", "table": 254, "route_type": "unicast"}]),
    );
    for (errno, local, header, cause) in [
        (linux::ENETUNREACH, None, header(), "no_route"),
        (linux::ENETUNREACH, None, routed.clone(), "source_address"),
        (linux::EINVAL, Some("127.0.0.1:0"), routed, "source_address"),
    ] {
        let events: Vec<_> = (0..4).map(|n| connect(n, errno, local)).collect();
        let report = report_of(&header, &events, 30);
        let found: Vec<_> = report.findings.iter().map(|one| one.rule.cause).collect();
        assert_eq!(found, [cause], "{errno} {local:?}");
    }
}

#[test]
fn local_sockets_without_another_end_are_told_by_their_kind() {
    let unix = |proto| Flow {
        proto,
        local: None,
        remote: Some(Endpoint::Unix("/run/log.sock".into())),
        netns: Some(1),
        socket: Some(9),
    };
    for (proto, errno, cause) in [
        ("unix_dgram", linux::ENOENT, "dgram_peer_gone"),
        ("unix_dgram", linux::ECONNREFUSED, "dgram_peer_gone"),
        ("unix_stream", linux::EPIPE, "local_peer_closed"),
        ("unix_stream", linux::EMSGSIZE, "unknown"),
    ] {
        let events: Vec<_> = (0..5)
            .map(|n| failed(n * 300, &unix(proto.into()), errno))
            .collect();
        assert_eq!(causes(&events), [cause], "{proto} {errno}");
    }
}

/// What `app` sent to the far host in 30 s, 10 ms away: kilobytes acknowledged, and percent of the time held back by
/// the window and by the buffer.
fn sent(kilobytes: u64, window: u64, buffer: u64) -> Sample {
    let traffic = PeerTraffic {
        pid: Some(7),
        started_boot_ns: Some(1),
        comm: Some("app".to_owned()),
        netns: Some(1),
        remote: "10.0.0.2".to_owned(),
        sockets: 1,
        sent_segments: kilobytes,
        acked_bytes: kilobytes * 1000,
        srtt_us_median: Some(10_000),
        busy_us: Some(28_000_000),
        rwnd_limited_us: Some(window * 280_000),
        sndbuf_limited_us: Some(buffer * 280_000),
        ..PeerTraffic::default()
    };
    Sample {
        traffic: Some(vec![traffic]),
        ..Sample::default()
    }
}

#[test]
fn what_holds_a_flow_back_all_the_time_is_told_without_any_event() {
    for (traffic, cause) in [
        (sent(500, 95, 0), vec!["slow_reader"]),
        (sent(500, 0, 90), vec!["send_buffer_small"]),
        // The reader pauses now and then, or the path is long and its window full.
        (sent(500, 40, 0), vec![]),
        (sent(500_000, 95, 0), vec![]),
        (sent(500, 0, 30), vec![]),
    ] {
        let report = report_with(&header(), &[], 30, traffic.clone(), &[]);
        let found: Vec<_> = report.findings.iter().map(|one| one.rule.cause).collect();
        assert_eq!(found, cause, "{traffic:?}");
    }
    // The same socket's wait says more.
    let closed = at(
        20_000,
        flow(40_000, FAR, 1),
        Some(TcpState::Established),
        Detail::Waiting(Box::new(Waiting::new(WaitReason::PeerWindow, 9_000_000))),
    );
    let report = report_with(&header(), &[closed], 30, sent(500, 95, 0), &[]);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule.cause, "peer_window_closed");
}

#[test]
fn a_peer_on_this_host_is_an_application_of_it() {
    let held = |remote| {
        at(
            5000,
            flow(40_000, remote, 1),
            Some(TcpState::Established),
            Detail::Waiting(Box::new(Waiting::new(WaitReason::PeerWindow, 4_000_000))),
        )
    };
    for (remote, layer) in [(FAR, Layer::Peer), ("127.0.0.1:80", Layer::App)] {
        let report = report(&[held(remote)]);
        assert_eq!(report.findings[0].layer, Some(layer), "{remote}");
    }
}

#[test]
fn requests_that_end_before_a_syn_with_one_port_found_it_taken() {
    let request = |n: u64, port, pmtu_bytes| {
        let mut event = ended(n * 500, &flow(port, FAR, n), TcpState::SynSent, None);
        event.tcp = Some(Tcp {
            state: Some(TcpState::SynSent),
            pmtu_bytes: Some(pmtu_bytes),
            ..Tcp::default()
        });
        event
    };
    let same: Vec<_> = (0..4).map(|n| request(n, 22_000, 0)).collect();
    assert_eq!(causes(&same), ["port_in_use"]);
    let differing: Vec<_> = (0..4).map(|n| request(n, 40_000 + n as u16, 0)).collect();
    assert_eq!(causes(&differing), ["unknown"]);
    let sent: Vec<_> = (0..4).map(|n| request(n, 22_000, 1500)).collect();
    assert_eq!(causes(&sent), ["unknown"]);
}

#[test]
fn three_hundred_ports_of_one_address_are_one_finding() {
    let events: Vec<_> = (0..300u64)
        .map(|n| {
            let flow = with_proto("udp", flow(40_000, &format!("10.0.0.2:{}", 20_000 + n), 1));
            failed(n, &flow, linux::EMSGSIZE)
        })
        .collect();
    let report = report(&events);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].subject.conversations, 300);
    assert_eq!(report.findings[0].evidence[0].count, Some(300));
}

#[test]
fn an_end_that_nothing_explains_is_an_unknown_disconnect_and_never_nothing() {
    let flow = flow(40_000, FAR, 1);
    let report = report(&[ended(10, &flow, TcpState::Established, Some(linux::EIO))]);
    let finding = &report.findings[0];
    assert_eq!(
        (finding.rule.cause, finding.symptom),
        ("unknown", Symptom::Disconnect)
    );
    let report = self::report(&[ended(10, &flow, TcpState::SynSent, None)]);
    assert_eq!(report.verdict, Verdict::Findings);
}

#[test]
fn idle_connections_that_keepalive_ends_are_told_and_one_alone_is_not_sure() {
    let end = |n: u64| {
        ended(
            n,
            &flow(40_000 + n as u16, FAR, n),
            TcpState::Established,
            Some(linux::ETIMEDOUT),
        )
    };
    let pool = report(&[end(1), end(2), end(3)]);
    assert_eq!(
        (pool.findings[0].rule.cause, pool.findings[0].confidence),
        ("keepalive_expired", Confidence::High)
    );
    let one = report(&[end(1)]);
    assert_eq!(
        (one.findings[0].rule.cause, one.findings[0].confidence),
        ("keepalive_expired", Confidence::Medium)
    );
}

#[test]
fn resets_at_once_are_a_restart_and_one_by_one_a_decision() {
    let resets = |step: u64, state| {
        let all = (0..4u64).flat_map(move |n| {
            let flow = flow(40_000 + n as u16, FAR, n);
            [
                reset(n * step, &flow, state),
                ended(n * step, &flow, state, Some(linux::ECONNRESET)),
            ]
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(
        causes(&resets(10, TcpState::Established)),
        ["peer_restarted"]
    );
    assert_eq!(
        causes(&resets(2000, TcpState::Established)),
        ["reset_by_peer_at_request"]
    );
    assert_eq!(
        causes(&resets(2000, TcpState::CloseWait)),
        ["peer_closed_idle"]
    );
    let closed: Vec<_> = (0..4)
        .map(|n| reset(n, &flow(40_000, FAR, 1), TcpState::FinWait2))
        .collect();
    assert_eq!(causes(&closed), Vec::<&str>::new());
}

#[test]
fn requests_that_only_some_times_go_unanswered_are_dropped_at_the_peer() {
    let mut events: Vec<_> = (0..3u64)
        .map(|n| resent(n, &flow(40_000 + n as u16, FAR, n), Cause::Syn))
        .collect();
    events.push(ended(
        900,
        &flow(41_000, FAR, 9),
        TcpState::Established,
        None,
    ));
    let report = report(&events);
    assert_eq!(report.findings[0].rule.cause, "syn_dropped_at_peer");
}

#[test]
fn a_drop_and_the_error_of_the_same_call_are_one_trouble_with_one_owner() {
    let mut events = Vec::new();
    for n in 0..5u64 {
        let port = 40_000 + n as u16;
        let known = with_proto("udp", flow(port, "10.0.0.2:53", n));
        let mut drop = dropped(n * 100, &known, "NETFILTER_DROP", Direction::Sent);
        drop.owner = tracer_model::event::Owner {
            grade: Attribution::Unknown,
            ..Default::default()
        };
        if let Some(flow) = &mut drop.flow {
            flow.socket = None;
        }
        let mut error = failed(n * 100 + 1, &known, linux::EPERM);
        if let Some(flow) = &mut error.flow {
            flow.local = Some(Endpoint::Inet(([0, 0, 0, 0], port).into()));
        }
        events.extend([drop, error]);
    }
    let report = report(&events);
    assert_eq!(report.findings.len(), 1);
    let finding = &report.findings[0];
    assert_eq!(finding.rule.cause, "local_firewall");
    assert_eq!(
        finding.subject.owner.as_ref().and_then(|owner| owner.pid),
        Some(7)
    );
    assert!((finding.share - 1.0).abs() < 1e-9);
}

#[test]
fn a_socket_that_waits_is_never_nothing_wrong() {
    let flow = flow(40_000, FAR, 1);
    for (why, cause) in [
        (WaitReason::Unacknowledged, "unknown"),
        (WaitReason::PeerWindow, "peer_window_closed"),
        (WaitReason::AcceptQueue, "accept_queue_overflow"),
        (WaitReason::Unread, "half_closed"),
        (WaitReason::WriterBlocked, "blocked_writer"),
    ] {
        let event = at(
            5000,
            flow.clone(),
            Some(TcpState::Established),
            Detail::Waiting(Box::new(Waiting::new(why, 4_000_000))),
        );
        assert_eq!(causes(&[event]), [cause], "{why:?}");
    }
}

#[test]
fn filters_that_nothing_fits_and_a_recording_with_gaps_are_not_nothing_wrong() {
    let observed = || report(&[]).observed;
    let report = Report::new(observed(), crate::Hours::default(), true);
    assert_eq!(report.verdict, Verdict::NothingMatched);
    let mut damaged = observed();
    damaged
        .coverage
        .damage
        .push("one block is missing".to_owned());
    let report = Report::new(damaged, crate::Hours::default(), false);
    assert_eq!(report.verdict, Verdict::TooLittleData);
}

#[test]
fn a_few_refusals_are_answers_and_several_are_a_finding() {
    let refused = |ms, port, cookie| {
        let flow = flow(port, FAR, cookie);
        let rst = reset(ms, &flow, TcpState::SynSent);
        [
            rst,
            ended(ms, &flow, TcpState::SynSent, Some(linux::ECONNREFUSED)),
        ]
    };
    for few in 1..3 {
        let events: Vec<_> = (0..few)
            .flat_map(|n| refused(10 + n * 70, 40_000, n + 1))
            .collect();
        let report = report(&events);
        assert_eq!(report.verdict, Verdict::NothingWrong);
        assert_eq!(
            report.left_out.iter().map(|one| one.count).sum::<u64>(),
            few
        );
    }
    let often: Vec<_> = (0..3)
        .flat_map(|n| refused(10 + n * 70, 40_000, n + 1))
        .collect();
    assert_eq!(causes(&often), ["connection_refused"]);
}

#[test]
fn multicast_of_the_kernel_is_no_finding_beside_one_either() {
    let nobody = |events: Vec<Event>| {
        events.into_iter().map(|event| Event {
            owner: tracer_model::event::Owner::unknown("no process has it"),
            ..event
        })
    };
    let report_to = with_proto("icmp", flow(0, "[ff02::16]:0", 9));
    let own = (0..8).map(|n| dropped(n * 10, &report_to, "QDISC_DROP", Direction::Sent));
    let mut events: Vec<_> = nobody(own.collect()).collect();
    assert_eq!(causes(&events), Vec::<&str>::new());
    let busy = with_proto("udp", flow(40_000, "10.0.0.2:53", 1));
    events.extend((0..8).map(|n| dropped(n * 10 + 5, &busy, "QDISC_DROP", Direction::Sent)));
    assert_eq!(causes(&events), ["qdisc_overflow"]);
}

#[test]
fn a_request_that_ended_with_an_answer_was_not_swallowed() {
    for errno in [linux::EACCES, linux::EHOSTUNREACH] {
        let flow = flow(40_000, FAR, 1);
        let mut events: Vec<_> = (0..4)
            .map(|n| resent(n * 1000, &flow, Cause::Syn))
            .collect();
        events.push(ended(4000, &flow, TcpState::SynSent, Some(errno)));
        assert!(!causes(&events).contains(&"syn_blackhole"), "{errno}");
    }
}
