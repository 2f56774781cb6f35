//! Records made by hand, and hostile bytes.

mod flow;
mod tally;

use std::mem::size_of;

use tracer_common::{Flow as WireFlow, as_bytes, event_kind};

use super::*;
use tracer_model::event::{Endpoint, Flow};

struct Host;

impl Names for Host {
    fn drop_reason(&self, reason: u32) -> Option<String> {
        (reason == 64).then(|| "QDISC_DROP".to_owned())
    }
    fn reset_reason(&self, reason: u32) -> Option<String> {
        (reason == 5).then(|| "NO_SOCKET".to_owned())
    }
    fn symbol(&self, address: u64) -> Option<String> {
        (address == 0xffff_ffff_8100_0010).then(|| "tcp_v4_rcv+0x10".to_owned())
    }
    fn interface(&self, netns: u32, ifindex: u32) -> Option<String> {
        ((netns, ifindex) == (77, 2)).then(|| "eth0".to_owned())
    }
    fn hz(&self) -> u64 {
        250
    }
}

fn tcp4() -> WireFlow {
    let mut flow = WireFlow {
        family: 2,
        protocol: 6,
        sock_type: 1,
        netns: 77,
        cookie: 31,
        ..Default::default()
    };
    flow.local[..4].copy_from_slice(&[10, 0, 0, 1]);
    flow.remote[..4].copy_from_slice(&[10, 0, 0, 12]);
    flow.local_port = 43210_u16.to_be();
    flow.remote_port = 443_u16.to_be();
    flow
}

fn head(event_kind: u32, flags: u32, flow: WireFlow) -> Head {
    Head {
        boot_ns: 5,
        event_kind,
        flags,
        flow,
        ..Default::default()
    }
}

fn made(record: &Record) -> Event {
    event(record, Owner::default(), &Host)
}

fn flow_of(wire: WireFlow, flags: u32) -> Flow {
    flow(&wire, flags, &Default::default(), &Host).expect("a flow")
}

fn text(end: Option<Endpoint>) -> Option<String> {
    end.map(|end| end.lossy())
}

#[test]
fn the_time_of_a_blocked_send_is_in_microseconds_and_null_where_it_was_not_seen() {
    let record = BlockedRecord {
        head: head(event_kind::BLOCKED, 0, tcp4()),
        blocked_ns: 1_500_000_999,
        requested_bytes: NO_U64,
        sent_bytes: 7,
        ..Default::default()
    };
    let record = decode(event_kind::BLOCKED, as_bytes(&record)).unwrap();
    let blocked = Blocked {
        blocked_us: Some(1_500_000),
        requested_bytes: None,
        sent_bytes: Some(7),
    };
    assert_eq!(made(&record).detail, Detail::Blocked(blocked));
    for (blocked_ns, blocked_us) in [(NO_U64, None), (0, Some(0)), (2999, Some(2))] {
        let error = send_error(&SendErrorRecord {
            blocked_ns,
            ..Default::default()
        });
        assert_eq!(error.blocked_us, blocked_us);
    }
}

#[test]
fn a_record_comes_back_from_its_bytes() {
    let record = RetransmitRecord {
        head: head(event_kind::RETRANSMIT, 0, tcp4()),
        segments: 3,
        ..Default::default()
    };
    assert_eq!(
        decode(event_kind::RETRANSMIT, as_bytes(&record)),
        Ok(Record::Retransmit(record))
    );
    let record = ConnectionRecord {
        head: head(event_kind::CONNECTION, 0, tcp4()),
        errno: 111,
        ..Default::default()
    };
    assert_eq!(
        decode(event_kind::CONNECTION, as_bytes(&record)),
        Ok(Record::Connection(record))
    );
}

#[test]
fn a_send_keeps_what_was_asked_and_what_was_taken() {
    let record = SendRecord {
        head: head(event_kind::SEND, 0, tcp4()),
        requested_bytes: 4096,
        sent_bytes: 1000,
        ..Default::default()
    };
    let decoded = decode(event_kind::SEND, as_bytes(&record)).expect("a record");
    assert_eq!(decoded, Record::Send(record));
    let event = made(&decoded);
    let expected = SendOk {
        requested_bytes: Some(4096),
        sent_bytes: 1000,
    };
    assert_eq!(event.detail, Detail::Send(expected));
    assert_eq!(event.tcp, None);
    let unknown = Record::Send(SendRecord {
        requested_bytes: NO_U64,
        ..record
    });
    let Detail::Send(send) = made(&unknown).detail else {
        panic!("not a send")
    };
    assert_eq!(send.requested_bytes, None);
}

#[test]
fn a_wrong_length_is_told_with_both_numbers() {
    let error = decode(event_kind::DROP, &[0; 5]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "a drop record has {} bytes, found 5",
            size_of::<DropRecord>()
        )
    );
    assert!(decode(event_kind::DROP, &[]).is_err());
    assert!(decode(event_kind::DROP, &[0; size_of::<DropRecord>() + 1]).is_err());
}

#[test]
fn an_unknown_event_kind_is_told_with_its_number() {
    assert_eq!(
        decode(9, &[]).unwrap_err().to_string(),
        "no event kind has the number 9"
    );
    assert_eq!(
        decode(u32::MAX, &[0; 400]),
        Err(DecodeError::UnknownEventKind(u32::MAX))
    );
}

#[test]
fn a_record_in_the_place_of_another_event_kind_is_refused() {
    let record = DropRecord {
        head: head(4_000, 0, tcp4()),
        ..Default::default()
    };
    let error = decode(event_kind::DROP, as_bytes(&record)).unwrap_err();
    assert_eq!(
        error,
        DecodeError::WrongEventKind {
            ring: EventKind::Drop,
            record: 4_000
        }
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..500 {
        for number in 0..8 {
            let mut bytes: Vec<u8> = (0..round % 345).map(|_| random()).collect();
            _ = decode(number, &bytes);
            let fill = if round % 3 == 0 {
                None
            } else {
                Some([0, 0xff][round % 2])
            };
            for length in [232, 336, 176, 168, 216, 224] {
                bytes = (0..length)
                    .map(|_| fill.unwrap_or_else(&mut random))
                    .collect();
                bytes[8..12].copy_from_slice(&number.to_ne_bytes());
                // The family, so that all of them are met.
                bytes[88..90].copy_from_slice(&(round as u16 % 50).to_ne_bytes());
                if let Ok(record) = decode(number, &bytes) {
                    assert_eq!(made(&record).kind().number(), Some(number));
                }
            }
        }
    }
}

#[test]
fn a_retransmit_carries_its_socket() {
    let tcp = WireTcp {
        state: 1,
        ca_state: 4,
        send_queue_bytes: 92_160,
        ssthresh_segments: 0x7fff_ffff,
        srtt_us8: 3_303,
        rto_jiffies: 400,
        cwnd_segments: NO_U32,
        last_send_jiffies_ago: 400,
        last_ack_jiffies_ago: u32::MAX - 3,
        ..Default::default()
    };
    let record = RetransmitRecord {
        head: head(event_kind::RETRANSMIT, head_flag::TCP, tcp4()),
        tcp,
        cause: 1,
        timer: 1,
        err: -16,
        attempt: 3,
        segments: 1,
        bytes: 1_448,
    };
    let event = made(&Record::Retransmit(record));
    let expected = Retransmit {
        cause: Cause::Rto,
        outcome: Outcome::Failed(-16),
        attempt: Some(3),
        segments: Some(1),
        bytes: Some(1_448),
        trigger: Trigger::Timer,
    };
    assert_eq!(event.detail, Detail::Retransmit(expected));
    let tcp = event.tcp.expect("the socket's state");
    assert_eq!(tcp.state, Some(TcpState::Established));
    assert_eq!(tcp.ca_state, Some(CaState::Loss));
    assert_eq!(tcp.send_queue_bytes, Some(92_160));
    assert_eq!(tcp.ssthresh_segments, None, "infinite");
    assert_eq!(tcp.srtt_us, Some(412));
    assert_eq!(tcp.rto_us, Some(1_600_000));
    assert_eq!(tcp.cwnd_segments, None, "not read");
    assert_eq!(tcp.last_send_us_ago, Some(1_600_000));
    assert_eq!(tcp.last_ack_us_ago, None, "a time ahead");
}

#[test]
fn an_ack_clocked_retransmit_has_no_attempt_and_an_unknown_cause_no_name() {
    let record = RetransmitRecord {
        cause: 9_999,
        attempt: 2,
        timer: 0,
        ..Default::default()
    };
    let Detail::Retransmit(detail) = made(&Record::Retransmit(record)).detail else {
        panic!()
    };
    assert_eq!(
        (detail.cause, detail.attempt, detail.trigger),
        (Cause::Unknown, None, Trigger::Ack)
    );
    assert_eq!(detail.outcome, Outcome::Sent);
}

#[test]
fn a_socket_that_was_never_answered_has_no_last_ack() {
    let tcp = WireTcp {
        state: 7,
        last_send_jiffies_ago: 9,
        last_ack_jiffies_ago: 9,
        ..Default::default()
    };
    let head = head(event_kind::CONNECTION, head_flag::TCP, tcp4());
    let record = ConnectionRecord {
        head,
        tcp,
        from: 2,
        to: 7,
        errno: 111,
        pad: 0,
    };
    let event = made(&Record::Connection(record));
    let tcp = event.tcp.expect("the socket's state");
    assert_eq!(
        (tcp.last_send_us_ago, tcp.last_ack_us_ago, tcp.srtt_us),
        (None, None, None)
    );
    let expected = Connection {
        from: Some(TcpState::SynSent),
        to: Some(TcpState::Close),
        errno: Some(111),
    };
    assert_eq!(event.detail, Detail::Connection(expected));
}

#[test]
fn without_its_flag_the_socket_is_missing() {
    let record = ResetRecord {
        direction: 2,
        reason: NO_U32,
        ..Default::default()
    };
    let event = made(&Record::Reset(record));
    assert_eq!((event.tcp, event.flow), (None, None));
    assert_eq!(
        event.detail,
        Detail::Reset(Reset {
            direction: Some(Direction::Received),
            reason: None
        })
    );
}

#[test]
fn a_drop_is_named_by_the_running_kernel() {
    let mut record = DropRecord {
        head: head(event_kind::DROP, 0, tcp4()),
        location: 0xffff_ffff_8100_0010,
        reason: 64,
        ifindex: 2,
        bytes: 1_448,
        direction: 1,
        interface: [0; 16],
    };
    let Detail::Drop(detail) = made(&Record::Drop(record)).detail else {
        panic!()
    };
    assert_eq!(detail.reason.as_deref(), Some("QDISC_DROP"));
    assert_eq!(detail.location.as_deref(), Some("tcp_v4_rcv+0x10"));
    assert_eq!(detail.interface, Some("eth0".into()));

    record.interface[..4].copy_from_slice(b"veth");
    (record.reason, record.location, record.ifindex) = (0x2_0003, 0xbeef, 0);
    let Detail::Drop(detail) = made(&Record::Drop(record)).detail else {
        panic!()
    };
    assert_eq!(detail.reason.as_deref(), Some("reason_2.3"));
    assert_eq!(detail.location.as_deref(), Some("0xbeef"));
    assert_eq!(
        (detail.interface, detail.ifindex),
        (Some("veth".into()), None)
    );
}

#[test]
fn a_busy_driver_is_a_requeue_and_a_stuck_queue_a_timeout() {
    let busy = DeviceRecord {
        rc: 0x10,
        bytes: 1_448,
        queue: NO_U32,
        ..Default::default()
    };
    let Detail::Device(busy) = made(&Record::Device(busy)).detail else {
        panic!()
    };
    assert!(busy.requeued());
    assert_eq!(busy.name(), "NETDEV_TX_BUSY");
    let stuck = DeviceRecord {
        rc: -libc::ETIMEDOUT,
        bytes: NO_U32,
        queue: 3,
        ..Default::default()
    };
    let Detail::Device(stuck) = made(&Record::Device(stuck)).detail else {
        panic!()
    };
    assert!(!stuck.requeued());
    assert_eq!(
        (stuck.name().as_ref(), stuck.queue, stuck.bytes),
        ("TRANSMIT_TIMEOUT", Some(3), None)
    );
    for (rc, name) in [
        (1, "NET_XMIT_DROP"),
        (2, "NET_XMIT_CN"),
        (-12, "ENOMEM"),
        (i32::MIN, "errno 2147483648"),
    ] {
        let other = DeviceRecord {
            rc,
            queue: NO_U32,
            ..Default::default()
        };
        let Detail::Device(other) = made(&Record::Device(other)).detail else {
            panic!()
        };
        assert_eq!(other.name(), name);
    }
}
