//! What was counted in the kernel.

use tracer_common::{AggregateKey, AggregateValue, CodeKey, NO_U32, code, signal};

use super::*;
use tracer_model::event::{Counted, CountedKind};

fn aggregate(signal: u32, code: u32, list_would_block: bool) -> Aggregated {
    let key = AggregateKey {
        signal,
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
    aggregated(&key, &value, Owner::default(), &Host, list_would_block).expect("a known signal")
}

fn detail_of(signal: u32, code: u32) -> Detail {
    let Aggregated::Event(event) = aggregate(signal, code, false) else {
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
        detail_of(signal::RETRANSMIT, code::retransmit(2, false, -16)),
        Detail::Retransmit(expected)
    );
    let expected = SendError {
        errno: 70,
        requested_bytes: None,
        sent_bytes: Some(0),
        blocked_us: None,
    };
    assert_eq!(
        detail_of(signal::SEND_ERROR, 70),
        Detail::SendError(expected)
    );
    let expected = Send {
        requested_bytes: None,
        sent_bytes: 700,
    };
    assert_eq!(detail_of(signal::SEND, code::SENT), Detail::Send(expected));
    let expected = Connection {
        from: Some(TcpState::SynSent),
        to: Some(TcpState::Close),
        errno: Some(111),
    };
    assert_eq!(
        detail_of(signal::CONNECTION, code::connection(2, 7, 111)),
        Detail::Connection(expected)
    );
    let expected = Reset {
        direction: Some(Direction::Sent),
        reason: Some("NO_SOCKET".to_owned()),
    };
    assert_eq!(
        detail_of(signal::RESET, code::reset(1, 5)),
        Detail::Reset(expected)
    );
    let expected = Reset {
        direction: Some(Direction::Sent),
        reason: None,
    };
    assert_eq!(
        detail_of(signal::RESET, code::reset(1, NO_U32)),
        Detail::Reset(expected)
    );
    let Detail::Device(device) = detail_of(signal::DEVICE, -12_i32 as u32) else {
        panic!()
    };
    assert_eq!(
        (device.name().as_ref(), device.bytes),
        ("ENOMEM", Some(700))
    );
    let Detail::Drop(dropped) = detail_of(signal::DROP, 64) else {
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
    let partial = counted(aggregate(signal::SEND_ERROR, code::PARTIAL_SEND, true));
    assert_eq!(
        (partial.kind, partial.code, partial.bytes),
        (CountedKind::PartialSend, None, Some(700))
    );
    let blocked = counted(aggregate(signal::SEND_ERROR, libc::EAGAIN as u32, false));
    assert_eq!(
        (blocked.kind, blocked.code.as_deref()),
        (CountedKind::WouldBlock, Some("EAGAIN"))
    );
    assert_eq!(
        (blocked.first_boot_ns, blocked.last_boot_ns, blocked.bytes),
        (Some(1), Some(9), None)
    );
    assert!(matches!(
        aggregate(signal::SEND_ERROR, libc::EAGAIN as u32, true),
        Aggregated::Event(_)
    ));
}

#[test]
fn counts_without_a_flow_are_named_by_their_code() {
    let cases = [
        (signal::DROP, 64, "QDISC_DROP"),
        (signal::DROP, NO_U32, "no reason given"),
        (
            signal::RETRANSMIT,
            code::retransmit(1, true, -16),
            "rto EBUSY",
        ),
        (signal::SEND_ERROR, 70, "ECOMM"),
        (signal::SEND_ERROR, code::PARTIAL_SEND, "partial_send"),
        (signal::SEND, code::SENT, "sent"),
        (signal::DEVICE, 1, "NET_XMIT_DROP"),
        (signal::RESET, code::reset(2, 5), "received NO_SOCKET"),
        (
            signal::CONNECTION,
            code::connection(2, 7, 111),
            "SYN_SENT to CLOSE ECONNREFUSED",
        ),
    ];
    for (signal, code, name) in cases {
        let key = CodeKey { signal, code };
        let counted =
            counted_by_code(&key, 3, CountedKind::BeyondMap, &Host).expect("a known signal");
        assert_eq!((counted.code.as_deref(), counted.count), (Some(name), 3));
    }
    let key = CodeKey { signal: 7, code: 0 };
    assert_eq!(
        counted_by_code(&key, 3, CountedKind::Benign, &Host),
        Err(DecodeError::UnknownSignal(7))
    );
}
