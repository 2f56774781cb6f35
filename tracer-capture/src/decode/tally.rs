//! What the BPF programs counted: per (event kind, code, flow), or per (event kind, code).

use tracer_common::{AggregateKey, AggregateValue, CodeKey, code};

use super::{
    DecodeError, Names, cause_of, direction_of, drop_reason, flow, outcome, reset_reason, trigger,
};
use tracer_model::errno;
use tracer_model::event::{
    Blocked, Connection, Counted, CountedKind, Detail, Device, Event, EventKind, Outcome, Owner,
    PacketDrop, Reset, Retransmit, SendError, SendOk, TcpState,
};

/// What an aggregated count becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregated {
    /// An event like the single ones, with a count.
    Event(Box<Event>),
    /// Normal life, counted only: would-block and partial sends.
    Counted(Box<Counted>),
}

/// Makes an event or a count of what was aggregated on one flow. Its time is that of the last one; fields
/// that only a single event has are `None`. `list_would_block`: EAGAIN is listed like other errors.
pub fn aggregated(
    key: &AggregateKey,
    value: &AggregateValue,
    owner: Owner,
    names: &dyn Names,
    list_would_block: bool,
) -> Result<Aggregated, DecodeError> {
    let event_kind = EventKind::from_number(key.event_kind)
        .ok_or(DecodeError::UnknownEventKind(key.event_kind))?;
    let flow = flow(&value.flow, value.flags, &Default::default(), names);
    let kind = match (event_kind, key.code) {
        (EventKind::SendError, code::PARTIAL_SEND) => Some(CountedKind::PartialSend),
        (EventKind::SendError, EAGAIN) if !list_would_block => Some(CountedKind::WouldBlock),
        _ => None,
    };
    if let Some(kind) = kind {
        return Ok(Aggregated::Counted(Box::new(Counted {
            event_kind,
            kind,
            code: (kind == CountedKind::WouldBlock).then(|| code_name(event_kind, key.code, names)),
            count: value.count,
            bytes: (kind == CountedKind::PartialSend).then_some(value.bytes),
            first_boot_ns: Some(value.first_ns),
            last_boot_ns: Some(value.last_ns),
            owner: Some(owner),
            flow,
        })));
    }
    let detail = detail(event_kind, key.code, value, names)
        .ok_or(DecodeError::UnknownEventKind(key.event_kind))?;
    let event = Event {
        boot_ns: value.last_ns,
        count: value.count,
        owner,
        flow,
        detail,
        tcp: None,
    };
    Ok(Aggregated::Event(Box::new(event)))
}

/// Makes a count of what was counted per (event kind, code) alone.
pub fn counted_by_code(
    key: &CodeKey,
    count: u64,
    kind: CountedKind,
    names: &dyn Names,
) -> Result<Counted, DecodeError> {
    let event_kind = EventKind::from_number(key.event_kind)
        .ok_or(DecodeError::UnknownEventKind(key.event_kind))?;
    Ok(Counted {
        event_kind,
        kind,
        code: Some(code_name(event_kind, key.code, names)),
        count,
        bytes: None,
        first_boot_ns: None,
        last_boot_ns: None,
        owner: None,
        flow: None,
    })
}

const EAGAIN: u32 = libc::EAGAIN as u32;

/// The fields that the code carries; `None` for an event kind that no hook produces.
fn detail(
    event_kind: EventKind,
    packed: u32,
    value: &AggregateValue,
    names: &dyn Names,
) -> Option<Detail> {
    Some(match event_kind {
        EventKind::Retransmit => {
            let (cause, timer, err) = code::retransmit_parts(packed);
            Detail::Retransmit(Retransmit {
                cause: cause_of(u32::from(cause)),
                outcome: outcome(err),
                attempt: None,
                segments: Some(value.segments),
                bytes: Some(value.bytes),
                trigger: trigger(timer),
            })
        }
        EventKind::SendError => Detail::SendError(SendError {
            errno: packed,
            requested_bytes: None,
            sent_bytes: Some(0),
            blocked_us: None,
        }),
        EventKind::Drop => Detail::Drop(PacketDrop {
            reason: super::some(packed).map(|reason| drop_reason(reason, names)),
            location: None,
            interface: None,
            bytes: Some(value.bytes),
            direction: None,
            ifindex: None,
        }),
        EventKind::Device => {
            let code = packed as i32;
            // A packet has bytes; the watchdog's report of a stuck queue has none.
            let timeout = code == -libc::ETIMEDOUT && value.bytes == 0;
            Detail::Device(Device {
                code,
                interface: None,
                bytes: (!timeout).then_some(value.bytes),
                ifindex: None,
                queue: None,
                timeout,
            })
        }
        EventKind::Reset => {
            let (direction, reason) = code::reset_parts(packed);
            Detail::Reset(Reset {
                direction: direction_of(u32::from(direction)),
                reason: rst_reason(reason).map(|reason| reset_reason(reason, names)),
            })
        }
        EventKind::Connection => {
            let (from, to, errno) = code::connection_parts(packed);
            Detail::Connection(Connection {
                from: TcpState::from_number(u32::from(from)),
                to: TcpState::from_number(u32::from(to)),
                errno: (errno != 0 && errno != u16::MAX).then_some(u32::from(errno)),
            })
        }
        EventKind::Send => Detail::Send(SendOk {
            requested_bytes: None,
            sent_bytes: value.bytes,
        }),
        EventKind::Blocked => Detail::Blocked(Blocked {
            blocked_us: None,
            requested_bytes: None,
            sent_bytes: Some(value.bytes),
        }),
        EventKind::Lost | EventKind::Waiting => return None,
    })
}

/// A reason that was cut to 16 bits; all ones is what is left of "none".
fn rst_reason(reason: u32) -> Option<u32> {
    (reason != u32::from(u16::MAX)).then_some(reason)
}

/// What the code of an event kind stands for, in a word or two.
fn code_name(event_kind: EventKind, packed: u32, names: &dyn Names) -> String {
    match event_kind {
        EventKind::Retransmit => {
            let (cause, _, err) = code::retransmit_parts(packed);
            let cause = cause_of(u32::from(cause)).name();
            match outcome(err) {
                Outcome::Sent => cause.to_owned(),
                failed @ Outcome::Failed(_) => format!("{cause} {}", failed.name()),
            }
        }
        EventKind::SendError if packed == code::PARTIAL_SEND => {
            CountedKind::PartialSend.name().to_owned()
        }
        EventKind::SendError => errno::display(packed).into_owned(),
        EventKind::Drop => match super::some(packed) {
            Some(reason) => drop_reason(reason, names),
            None => "no reason given".to_owned(),
        },
        EventKind::Device => tracer_model::event::transmit_code_name(packed as i32).into_owned(),
        EventKind::Reset => {
            let (direction, reason) = code::reset_parts(packed);
            let direction = direction_of(u32::from(direction)).map_or("unknown", |way| way.name());
            match rst_reason(reason) {
                Some(reason) => format!("{direction} {}", reset_reason(reason, names)),
                None => direction.to_owned(),
            }
        }
        EventKind::Connection => {
            let (from, to, errno) = code::connection_parts(packed);
            let [from, to] = [from, to]
                .map(|state| TcpState::from_number(u32::from(state)).map_or("?", TcpState::name));
            match errno {
                0 | u16::MAX => format!("{from} to {to}"),
                errno => format!("{from} to {to} {}", errno::display(u32::from(errno))),
            }
        }
        EventKind::Send => "sent".to_owned(),
        EventKind::Blocked => "blocked".to_owned(),
        EventKind::Lost | EventKind::Waiting => String::new(),
    }
}
