//! What was counted in the kernel.

use tracer_common::{AggregateKey, AggregateValue, CodeKey, NO_U32, code, event_kind};

use super::*;
use tracer_model::event::{Counted, CountedKind};

fn aggregate(event_kind: u32, code: u32, list_would_block: bool) -> Aggregated {
    let key = AggregateKey {
        event_kind,
        code,
        ..Default::default()
    };
    let value = AggregateValue {
        count: 120,
        bytes: 700,
        segments: 130,
        first_ns: 1,
        last_ns: 9,
        flow: tcp4(),
        ..Default::default()
    };
    aggregated(&key, &value, Owner::default(), &Host, list_would_block).expect("a known event kind")
}

fn detail_of(event_kind: u32, code: u32) -> Detail {
    let Aggregated::Event(event) = aggregate(event_kind, code, false) else {
        panic!("not an event")
    };
    assert_eq!((event.count, event.boot_ns, &event.tcp), (120, 9, &None));
    assert_eq!(event.flow, Some(flow_of(tcp4(), 0)));
    event.detail
}

#[test]
fn aggregated_events_keep_what_their_code_carries() {
    let expected = Retransmit {
        cause: Cause::Fast,
        outcome: Outcome::Failed(-16),
        attempt: None,
        segments: Some(130),
        bytes: Some(700),
        trigger: Trigger::Ack,
    };
    assert_eq!(
        detail_of(event_kind::RETRANSMIT, code::retransmit(2, false, -16)),
        Detail::Retransmit(expected)
    );
    let expected = SendError {
        errno: 70,
        requested_bytes: None,
        sent_bytes: Some(0),
        blocked_us: None,
    };
    assert_eq!(
        detail_of(event_kind::SEND_ERROR, 70),
        Detail::SendError(expected)
    );
    let expected = SendOk {
        requested_bytes: None,
        sent_bytes: 700,
    };
    assert_eq!(
        detail_of(event_kind::SEND, code::SENT),
        Detail::Send(expected)
    );
    let expected = Connection {
        from: Some(TcpState::SynSent),
        to: Some(TcpState::Close),
        errno: Some(111),
    };
    assert_eq!(
        detail_of(event_kind::CONNECTION, code::connection(2, 7, 111)),
        Detail::Connection(expected)
    );
    let expected = Reset {
        direction: Some(Direction::Sent),
        reason: Some("NO_SOCKET".to_owned()),
    };
    assert_eq!(
        detail_of(event_kind::RESET, code::reset(1, 5)),
        Detail::Reset(expected)
    );
    let expected = Reset {
        direction: Some(Direction::Sent),
        reason: None,
    };
    assert_eq!(
        detail_of(event_kind::RESET, code::reset(1, NO_U32)),
        Detail::Reset(expected)
    );
    let Detail::Device(device) = detail_of(event_kind::DEVICE, -12_i32 as u32) else {
        panic!()
    };
    assert_eq!(
        (device.name().as_ref(), device.bytes),
        ("ENOMEM", Some(700))
    );
    let Detail::Drop(dropped) = detail_of(event_kind::DROP, 64) else {
        panic!()
    };
    assert_eq!(
        (dropped.reason.as_deref(), dropped.bytes),
        (Some("QDISC_DROP"), Some(700))
    );
}

#[test]
fn would_block_and_partial_sends_are_counts() {
    let counted = |aggregated| -> Counted {
        let Aggregated::Counted(counted) = aggregated else {
            panic!("not a count")
        };
        *counted
    };
    let partial = counted(aggregate(event_kind::SEND_ERROR, code::PARTIAL_SEND, true));
    assert_eq!(
        (partial.kind, partial.code, partial.bytes),
        (CountedKind::PartialSend, None, Some(700))
    );
    let blocked = counted(aggregate(
        event_kind::SEND_ERROR,
        libc::EAGAIN as u32,
        false,
    ));
    assert_eq!(
        (blocked.kind, blocked.code.as_deref()),
        (CountedKind::WouldBlock, Some("EAGAIN"))
    );
    assert_eq!(
        (blocked.first_boot_ns, blocked.last_boot_ns, blocked.bytes),
        (Some(1), Some(9), None)
    );
    assert!(matches!(
        aggregate(event_kind::SEND_ERROR, libc::EAGAIN as u32, true),
        Aggregated::Event(_)
    ));
}

#[test]
fn counts_without_a_flow_are_named_by_their_code() {
    let cases = [
        (event_kind::DROP, 64, "QDISC_DROP"),
        (event_kind::DROP, NO_U32, "no reason given"),
        (
            event_kind::RETRANSMIT,
            code::retransmit(1, true, -16),
            "rto EBUSY",
        ),
        (event_kind::SEND_ERROR, 70, "ECOMM"),
        (event_kind::SEND_ERROR, code::PARTIAL_SEND, "partial_send"),
        (event_kind::SEND, code::SENT, "sent"),
        (event_kind::DEVICE, 1, "NET_XMIT_DROP"),
        (event_kind::RESET, code::reset(2, 5), "received NO_SOCKET"),
        (
            event_kind::CONNECTION,
            code::connection(2, 7, 111),
            "SYN_SENT to CLOSE ECONNREFUSED",
        ),
    ];
    for (event_kind, code, name) in cases {
        let key = CodeKey { event_kind, code };
        let counted =
            counted_by_code(&key, 3, CountedKind::BeyondMap, &Host).expect("a known event kind");
        assert_eq!((counted.code.as_deref(), counted.count), (Some(name), 3));
    }
    let key = CodeKey {
        event_kind: 99,
        code: 0,
    };
    assert_eq!(
        counted_by_code(&key, 3, CountedKind::Benign, &Host),
        Err(DecodeError::UnknownEventKind(99))
    );
}
