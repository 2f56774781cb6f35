//! What events look like: fixtures, and golden lines of JSON.

#[cfg(feature = "capture")]
mod decoded;
mod text;

use jiff::tz::{TimeZone, offset};

use super::*;
use tracer_model::event::*;

const BOOT_NS: u64 = 81_234_567_890;

/// The contract's example: 2026-11-22 03:14:15.123456789 in Japan.
fn clock() -> Clock {
    Clock {
        wall_minus_boot_ns: 1_795_284_855_123_456_789 - i128::from(BOOT_NS),
        zone: TimeZone::fixed(offset(9)),
    }
}

fn owner() -> Owner {
    Owner {
        grade: Attribution::AtSend,
        pid: Some(4242),
        tid: Some(4243),
        comm: Some("batchd".into()),
        uid: Some(1000),
        cgroup: Some("/system.slice/batch.service".to_owned()),
        started_boot_ns: Some(BOOT_NS - 1_123_456_789),
        ..Owner::default()
    }
}

fn flow() -> Flow {
    Flow {
        proto: "tcp".into(),
        local: Some(Endpoint::Inet(([10, 0, 0, 1], 43210).into())),
        remote: Some(Endpoint::Inet(([10, 0, 0, 12], 443).into())),
        netns: Some(4_026_531_840),
        socket: Some(31),
    }
}

fn event(detail: Detail) -> Event {
    Event {
        boot_ns: BOOT_NS,
        count: 1,
        owner: owner(),
        flow: Some(flow()),
        detail,
        tcp: None,
    }
}

fn retransmit() -> Event {
    let detail = Detail::Retransmit(Retransmit {
        cause: Cause::Rto,
        outcome: Outcome::Sent,
        attempt: Some(3),
        segments: Some(1),
        bytes: Some(1448),
        trigger: Trigger::Timer,
    });
    let tcp = Tcp {
        state: Some(TcpState::Established),
        send_queue_bytes: Some(92_160),
        sndbuf_bytes: Some(87_040),
        cwnd_segments: Some(1),
        ssthresh_segments: Some(7),
        srtt_us: Some(412),
        rto_us: Some(1_600_000),
        backoff: Some(3),
        mss_bytes: Some(1448),
        pmtu_bytes: Some(1500),
        peer_window_bytes: Some(64_256),
        unacked_segments: Some(8),
        lost_segments: Some(8),
        last_send_us_ago: Some(1_600_412),
        last_ack_us_ago: Some(4_800_120),
        ca_state: Some(CaState::Loss),
        wmem_queued_bytes: Some(101_376),
    };
    Event {
        tcp: Some(tcp),
        ..event(detail)
    }
}

fn send_error() -> Detail {
    let requested_bytes = Some(512);
    Detail::SendError(SendError {
        errno: 70,
        requested_bytes,
        sent_bytes: Some(0),
        blocked_us: None,
    })
}

fn dropped() -> PacketDrop {
    PacketDrop {
        reason: Some("QDISC_DROP".to_owned()),
        location: Some("__dev_queue_xmit+0x2f1".to_owned()),
        interface: Some("eth0".into()),
        bytes: Some(1448),
        direction: Some(Direction::Sent),
        ifindex: Some(2),
    }
}

fn device(code: i32) -> Device {
    let (interface, bytes, ifindex) = (Some("eth0".into()), Some(1448), Some(2));
    Device {
        code,
        interface,
        bytes,
        ifindex,
        queue: None,
        timeout: false,
    }
}

fn refused() -> Detail {
    let (from, to) = (Some(TcpState::SynSent), Some(TcpState::Close));
    Detail::Connection(Connection {
        from,
        to,
        errno: Some(111),
    })
}

fn waiting() -> Event {
    let waiting = Waiting {
        queued_bytes: Some(92_160),
        timer: Some(SocketTimer::Persist),
        blocked_writers: Some(1),
        ..Waiting::new(WaitReason::PeerWindow, 12_412_000)
    };
    Event {
        tcp: Some(Tcp {
            peer_window_bytes: Some(0),
            ..Tcp::default()
        }),
        ..event(Detail::Waiting(Box::new(waiting)))
    }
}

/// One event of each kind.
fn all() -> Vec<Event> {
    let (at, event_kind, count) = (LostAt::Ring, Some(EventKind::Drop), 17);
    let reset = Reset {
        direction: Some(Direction::Received),
        reason: None,
    };
    vec![
        retransmit(),
        event(send_error()),
        event(Detail::Drop(dropped())),
        event(Detail::Device(device(Device::TX_BUSY))),
        event(Detail::Reset(reset)),
        event(refused()),
        waiting(),
        event(Detail::Blocked(Blocked {
            blocked_us: Some(1_250_000),
            requested_bytes: Some(512),
            sent_bytes: Some(512),
        })),
        event(Detail::Send(SendOk {
            requested_bytes: Some(512),
            sent_bytes: 100,
        })),
        Event {
            flow: None,
            ..event(Detail::Lost(Lost {
                at,
                event_kind,
                count,
            }))
        },
    ]
}

#[test]
fn the_example_of_the_contract_is_met_byte_for_byte() {
    // What was added to the contract since stands after the old keys of an object.
    let added = [
        ",\"unit\":\"batch.service\"",
        ",\"trigger\":\"timer\"",
        ",\"ca_state\":\"Loss\",\"wmem_queued_bytes\":101376",
    ];
    let mut line = Renderer::Json.event(&retransmit(), &clock());
    for keys in added {
        assert!(line.contains(&format!("{keys}}}")), "{line}");
        line = line.replace(keys, "");
    }
    let contract = concat!(
        r#"{"type":"event","time":"2026-11-22T03:14:15.123456789+09:00","boot_ns":81234567890,"#,
        r#""event":"retransmit","count":1,"#,
        r#""owner":{"pid":4242,"tid":4243,"comm":"batchd","uid":1000,"cgroup":"/system.slice/batch.service","#,
        r#""started":"2026-11-22T03:14:14.000000000+09:00","grade":"at_send"},"#,
        r#""flow":{"proto":"tcp","local":"10.0.0.1:43210","remote":"10.0.0.12:443","netns":4026531840,"socket":31},"#,
        r#""retransmit":{"cause":"rto","outcome":"sent","attempt":3,"segments":1,"bytes":1448},"#,
        r#""tcp":{"state":"ESTABLISHED","send_queue_bytes":92160,"sndbuf_bytes":87040,"cwnd_segments":1,"#,
        r#""ssthresh_segments":7,"srtt_us":412,"rto_us":1600000,"backoff":3,"mss_bytes":1448,"pmtu_bytes":1500,"#,
        r#""peer_window_bytes":64256,"unacked_segments":8,"lost_segments":8,"last_send_us_ago":1600412,"#,
        r#""last_ack_us_ago":4800120}}"#,
        "\n"
    );
    assert_eq!(line, contract);
}

#[test]
fn each_event_kind_has_its_object() {
    let objects: Vec<String> = all()
        .iter()
        .skip(1)
        .map(|event| {
            let line: serde_json::Value =
                serde_json::from_str(&Renderer::Json.event(event, &clock())).unwrap();
            let keys: Vec<_> = line
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let name = event.kind().name();
            assert_eq!(
                keys,
                [
                    "type", "time", "boot_ns", "event", "count", "owner", "flow", name, "tcp"
                ]
            );
            assert_eq!(line["tcp"].is_null(), event.tcp.is_none());
            format!("{name} {}", line[name])
        })
        .collect();
    let expected = [
        r#"send_error {"errno":70,"name":"ECOMM","requested_bytes":512,"sent_bytes":0,"blocked_us":null}"#,
        r#"drop {"reason":"QDISC_DROP","location":"__dev_queue_xmit+0x2f1","interface":"eth0","bytes":1448,"direction":"sent","ifindex":2}"#,
        r#"device {"code":16,"name":"NETDEV_TX_BUSY","interface":"eth0","bytes":1448,"ifindex":2,"queue":null,"requeued":true}"#,
        r#"reset {"direction":"received","reason":null}"#,
        r#"connection {"from":"SYN_SENT","to":"CLOSE","errno":111,"name":"ECONNREFUSED"}"#,
        r#"waiting {"why":"peer_window","for_us":12412000,"queued_bytes":92160,"timer":"persist","ended":false,"blocked_writers":1,"errno":null,"soft_errno":null,"busy_us":null,"rwnd_limited_us":null,"sndbuf_limited_us":null,"congestion_control":null,"sent_segments":null,"acked_bytes":null,"retransmitted_segments":null,"reordering_segments":null,"unfinished":false}"#,
        r#"blocked {"blocked_us":1250000,"requested_bytes":512,"sent_bytes":512}"#,
        r#"send {"requested_bytes":512,"sent_bytes":100}"#,
        r#"lost {"where":"ring","event":"drop","count":17}"#,
    ];
    assert_eq!(objects, expected);
}

#[test]
fn holders_and_why_stand_only_where_they_say_something() {
    let json = |owner: Owner| -> String {
        let event = Event {
            owner,
            flow: None,
            ..event(send_error())
        };
        let line: serde_json::Value =
            serde_json::from_str(&Renderer::Json.event(&event, &clock())).unwrap();
        line["owner"].to_string()
    };
    assert_eq!(
        json(Owner::unknown("the socket was opened before the start")),
        concat!(
            r#"{"pid":null,"tid":null,"comm":null,"uid":null,"cgroup":null,"started":null,"grade":"unknown","#,
            r#""why":"the socket was opened before the start"}"#
        )
    );
    let holder = Holder {
        pid: 7,
        started_boot_ns: Some(BOOT_NS),
        comm: Some("child".into()),
        fd: Some(5),
    };
    let shared = Owner {
        grade: Attribution::Shared,
        holders: vec![holder],
        ..Owner::default()
    };
    let text = json(shared);
    let expected = concat!(
        r#""grade":"shared","holders":[{"pid":7,"comm":"child","fd":5,"#,
        r#""started":"2026-11-22T03:14:15.123456789+09:00"}]}"#
    );
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn counts_and_totals_are_lines_of_json() {
    let line = Renderer::Json.counted(&[would_block()], &clock());
    let expected = concat!(
        r#"{"type":"counted","event":"send_error","kind":"would_block","code":"EAGAIN","count":9,"bytes":null,"#,
        r#""first":"2026-11-22T03:14:15.123456789+09:00","last":null,"owner":null,"flow":null}"#,
        "\n"
    );
    assert_eq!(line, expected);
    let expected = concat!(
        r#"{"type":"totals","events":{"retransmit":{"seen":10,"filtered":1,"emitted":7,"aggregated":2,"#,
        r#""delivered":5,"lost":2,"missed":null}}}"#,
        "\n"
    );
    assert_eq!(Renderer::Json.totals(&lossy_totals()), expected);
}

fn would_block() -> Counted {
    Counted {
        event_kind: EventKind::SendError,
        kind: CountedKind::WouldBlock,
        code: Some("EAGAIN".to_owned()),
        count: 9,
        bytes: None,
        first_boot_ns: Some(BOOT_NS),
        last_boot_ns: None,
        owner: None,
        flow: None,
    }
}

fn lossy_totals() -> Totals {
    let totals = EventTotals {
        seen: 10,
        filtered: 1,
        emitted: 7,
        aggregated: 2,
        delivered: 5,
        lost: 2,
        missed: None,
        saturated: false,
    };
    Totals {
        events: vec![(EventKind::Retransmit, totals)],
    }
}
