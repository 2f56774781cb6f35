//! Bytes → [`Record`] → [`Event`].
//!
//! Bytes come from the BPF programs or from a file, so nothing about them is taken on trust: a length or an event
//! kind that does not fit is an error, an enumeration with a value that is not known becomes `Unknown` or `None`,
//! and no bytes make this panic.

mod flow;
mod tally;
#[cfg(test)]
mod tests;
mod waiting;

use std::fmt;

use tracer_common::{
    BlockedRecord, ConnectionRecord, DeviceRecord, DropRecord, Head, NO_U32, NO_U64, ResetRecord,
    RetransmitRecord, SendErrorRecord, SendRecord, TcpSnapshot as WireTcp, Wire, cause, direction,
    from_bytes, head_flag,
};

pub use flow::flow;
pub use tally::{Aggregated, aggregated, counted_by_code};
use tracer_model::event::{
    Blocked, CaState, Cause, Connection, Detail, Device, Direction, Event, EventKind, Outcome,
    Owner, PacketDrop, RawName, Reset, Retransmit, SendError, SendOk, Tcp, TcpState, Trigger,
};
pub use waiting::waiting;

/// What only the running kernel (or the header of a trace) can tell about a record.
pub trait Names {
    /// `enum skb_drop_reason`, without its prefix.
    fn drop_reason(&self, reason: u32) -> Option<String>;
    /// `enum sk_rst_reason`, without its prefix.
    fn reset_reason(&self, reason: u32) -> Option<String>;
    /// Function and offset of an address in the kernel's text.
    fn symbol(&self, address: u64) -> Option<String>;
    /// Name of an interface, by the inode number of its network namespace and its index.
    fn interface(&self, netns: u32, ifindex: u32) -> Option<String>;
    /// Jiffies per second.
    fn hz(&self) -> u64;
}

/// What the BPF programs wrote about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Record {
    Retransmit(RetransmitRecord),
    SendError(SendErrorRecord),
    Drop(DropRecord),
    Device(DeviceRecord),
    Reset(ResetRecord),
    Connection(ConnectionRecord),
    Send(SendRecord),
    Blocked(BlockedRecord),
}

impl Record {
    /// What all records start with.
    pub const fn head(&self) -> &Head {
        match self {
            Self::Retransmit(record) => &record.head,
            Self::SendError(record) => &record.head,
            Self::Drop(record) => &record.head,
            Self::Device(record) => &record.head,
            Self::Reset(record) => &record.head,
            Self::Connection(record) => &record.head,
            Self::Send(record) => &record.head,
            Self::Blocked(record) => &record.head,
        }
    }

    /// The same, to complete its owner.
    pub const fn head_mut(&mut self) -> &mut Head {
        match self {
            Self::Retransmit(record) => &mut record.head,
            Self::SendError(record) => &mut record.head,
            Self::Drop(record) => &mut record.head,
            Self::Device(record) => &mut record.head,
            Self::Reset(record) => &mut record.head,
            Self::Connection(record) => &mut record.head,
            Self::Send(record) => &mut record.head,
            Self::Blocked(record) => &mut record.head,
        }
    }
}

/// Bytes that make no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No event kind has this number.
    UnknownEventKind(u32),
    /// A record of this event kind has another length.
    WrongLength {
        /// The event kind.
        event_kind: EventKind,
        /// How long its record is, bytes.
        expected: usize,
        /// How many bytes there were.
        found: usize,
    },
    /// The record names another event kind than the ring it came from.
    WrongEventKind {
        /// The ring's event kind.
        ring: EventKind,
        /// The number in the record.
        record: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEventKind(number) => write!(f, "no event kind has the number {number}"),
            Self::WrongLength {
                event_kind,
                expected,
                found,
            } => {
                write!(
                    f,
                    "a {event_kind} record has {expected} bytes, found {found}"
                )
            }
            Self::WrongEventKind { ring, record } => {
                write!(
                    f,
                    "a record in the place of {ring} says that its event kind is number {record}"
                )
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads the record of an event kind ([`tracer_common::event_kind`]) from exactly its bytes.
#[inline]
pub fn decode(event_kind: u32, bytes: &[u8]) -> Result<Record, DecodeError> {
    fn read<T: Wire>(event_kind: EventKind, bytes: &[u8]) -> Result<T, DecodeError> {
        let wrong = DecodeError::WrongLength {
            event_kind,
            expected: size_of::<T>(),
            found: bytes.len(),
        };
        if bytes.len() == size_of::<T>() {
            from_bytes(bytes).ok_or(wrong)
        } else {
            Err(wrong)
        }
    }
    let kind =
        EventKind::from_number(event_kind).ok_or(DecodeError::UnknownEventKind(event_kind))?;
    let record = match kind {
        EventKind::Retransmit => Record::Retransmit(read(kind, bytes)?),
        EventKind::SendError => Record::SendError(read(kind, bytes)?),
        EventKind::Drop => Record::Drop(read(kind, bytes)?),
        EventKind::Device => Record::Device(read(kind, bytes)?),
        EventKind::Reset => Record::Reset(read(kind, bytes)?),
        EventKind::Connection => Record::Connection(read(kind, bytes)?),
        EventKind::Send => Record::Send(read(kind, bytes)?),
        EventKind::Blocked => Record::Blocked(read(kind, bytes)?),
        EventKind::Lost | EventKind::Waiting => {
            return Err(DecodeError::UnknownEventKind(event_kind));
        }
    };
    let found = record.head().event_kind;
    if found == event_kind {
        Ok(record)
    } else {
        Err(DecodeError::WrongEventKind {
            ring: kind,
            record: found,
        })
    }
}

/// Makes an event of a record and the owner that was found for it.
pub fn event(record: &Record, owner: Owner, names: &dyn Names) -> Event {
    let head = record.head();
    let no_path = Default::default();
    let (detail, wire_tcp, path) = match record {
        Record::Retransmit(r) => (Detail::Retransmit(retransmit(r)), Some(&r.tcp), &no_path),
        Record::SendError(r) => (Detail::SendError(send_error(r)), Some(&r.tcp), &r.path),
        Record::Drop(r) => (Detail::Drop(drop_detail(r, names)), None, &no_path),
        Record::Device(r) => (Detail::Device(device(r, names)), None, &no_path),
        Record::Reset(r) => (Detail::Reset(reset(r, names)), Some(&r.tcp), &no_path),
        Record::Connection(r) => (Detail::Connection(connection(r)), Some(&r.tcp), &no_path),
        Record::Send(r) => (Detail::Send(send(r)), None, &r.path),
        Record::Blocked(r) => (Detail::Blocked(blocked(r)), Some(&r.tcp), &r.path),
    };
    // Until its SYN was answered, a socket's times of the last data and the last ACK mean nothing.
    let connecting = |state| matches!(state, Some(TcpState::SynSent | TcpState::NewSynRecv));
    let unanswered = matches!(&detail, Detail::Connection(c) if connecting(c.from));
    let tcp = wire_tcp
        .filter(|_| head.flags & head_flag::TCP != 0)
        .map(|wire| {
            let mut tcp = tcp(wire, names.hz());
            if unanswered || connecting(tcp.state) {
                tcp.last_send_us_ago = None;
                tcp.last_ack_us_ago = None;
            }
            tcp
        });
    Event {
        boot_ns: head.boot_ns,
        count: 1,
        owner,
        flow: flow(&head.flow, head.flags, path, names),
        detail,
        tcp,
    }
}

fn retransmit(record: &RetransmitRecord) -> Retransmit {
    let timer = record.timer != 0;
    Retransmit {
        cause: cause_of(record.cause),
        outcome: outcome(record.err),
        attempt: some(record.attempt).filter(|_| timer),
        segments: some(record.segments).map(u64::from),
        bytes: some(record.bytes).map(u64::from),
        trigger: trigger(timer),
    }
}

fn send_error(record: &SendErrorRecord) -> SendError {
    SendError {
        errno: record.errno,
        requested_bytes: known(record.requested_bytes),
        // An error is returned only by a send of which nothing was taken.
        sent_bytes: Some(0),
        blocked_us: known(record.blocked_ns).map(micros),
    }
}

fn send(record: &SendRecord) -> SendOk {
    SendOk {
        requested_bytes: known(record.requested_bytes),
        sent_bytes: record.sent_bytes,
    }
}

fn blocked(record: &BlockedRecord) -> Blocked {
    Blocked {
        blocked_us: known(record.blocked_ns).map(micros),
        requested_bytes: known(record.requested_bytes),
        sent_bytes: known(record.sent_bytes),
    }
}

fn drop_detail(record: &DropRecord, names: &dyn Names) -> PacketDrop {
    PacketDrop {
        reason: some(record.reason).map(|reason| drop_reason(reason, names)),
        location: (record.location != 0).then(|| {
            names
                .symbol(record.location)
                .unwrap_or_else(|| format!("{:#x}", record.location))
        }),
        interface: interface(
            &record.interface,
            record.head.flow.netns,
            record.ifindex,
            names,
        ),
        bytes: some(record.bytes).map(u64::from),
        direction: direction_of(record.direction),
        ifindex: index(record.ifindex),
    }
}

fn device(record: &DeviceRecord, names: &dyn Names) -> Device {
    Device {
        code: record.rc,
        interface: interface(
            &record.interface,
            record.head.flow.netns,
            record.ifindex,
            names,
        ),
        bytes: some(record.bytes).map(u64::from),
        ifindex: index(record.ifindex),
        queue: some(record.queue),
        timeout: record.queue != NO_U32 && record.rc == -libc::ETIMEDOUT,
    }
}

fn reset(record: &ResetRecord, names: &dyn Names) -> Reset {
    Reset {
        direction: direction_of(record.direction),
        reason: some(record.reason).map(|reason| reset_reason(reason, names)),
    }
}

fn connection(record: &ConnectionRecord) -> Connection {
    Connection {
        from: TcpState::from_number(record.from),
        to: TcpState::from_number(record.to),
        errno: (record.errno != 0 && record.errno != NO_U32).then_some(record.errno),
    }
}

/// `snd_ssthresh` of a socket that has never left slow start (`TCP_INFINITE_SSTHRESH`).
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

/// The socket's state; `hz` turns jiffies into microseconds.
fn tcp(wire: &WireTcp, hz: u64) -> Tcp {
    let micros = |jiffies: u64| jiffies.checked_mul(1_000_000)?.checked_div(hz);
    // A difference of 32-bit clocks: the upper half means that the time lies ahead, which says nothing.
    let ago =
        |jiffies: u32| micros(u64::from(some(jiffies)?)).filter(|_| i32::try_from(jiffies).is_ok());
    Tcp {
        state: TcpState::from_number(wire.state),
        send_queue_bytes: some(wire.send_queue_bytes),
        sndbuf_bytes: some(wire.sndbuf_bytes),
        cwnd_segments: some(wire.cwnd_segments),
        ssthresh_segments: some(wire.ssthresh_segments)
            .filter(|segments| *segments < INFINITE_SSTHRESH),
        srtt_us: some(wire.srtt_us8)
            .filter(|eighths| *eighths != 0)
            .map(|eighths| u64::from(eighths >> 3)),
        rto_us: some(wire.rto_jiffies).and_then(|jiffies| micros(u64::from(jiffies))),
        backoff: some(wire.backoff),
        mss_bytes: some(wire.mss_bytes),
        pmtu_bytes: some(wire.pmtu_bytes),
        peer_window_bytes: some(wire.peer_window_bytes),
        unacked_segments: some(wire.unacked_segments),
        lost_segments: some(wire.lost_segments),
        last_send_us_ago: ago(wire.last_send_jiffies_ago),
        last_ack_us_ago: ago(wire.last_ack_jiffies_ago),
        ca_state: CaState::from_number(wire.ca_state),
        wmem_queued_bytes: some(wire.wmem_queued_bytes),
    }
}

fn known(value: u64) -> Option<u64> {
    (value != NO_U64).then_some(value)
}

fn micros(nanoseconds: u64) -> u64 {
    nanoseconds / 1000
}

fn some(value: u32) -> Option<u32> {
    (value != NO_U32).then_some(value)
}

fn index(ifindex: u32) -> Option<u32> {
    some(ifindex).filter(|index| *index != 0)
}

fn outcome(err: i32) -> Outcome {
    if err == 0 {
        Outcome::Sent
    } else {
        Outcome::Failed(err)
    }
}

fn trigger(timer: bool) -> Trigger {
    if timer { Trigger::Timer } else { Trigger::Ack }
}

fn cause_of(number: u32) -> Cause {
    match u8::try_from(number).unwrap_or(cause::UNKNOWN) {
        cause::RTO => Cause::Rto,
        cause::FAST => Cause::Fast,
        cause::TLP => Cause::Tlp,
        cause::SYN => Cause::Syn,
        cause::SYNACK => Cause::SynAck,
        cause::MTU => Cause::Mtu,
        _ => Cause::Unknown,
    }
}

fn direction_of(number: u32) -> Option<Direction> {
    match u8::try_from(number).unwrap_or(direction::UNKNOWN) {
        direction::SENT => Some(Direction::Sent),
        direction::RECEIVED => Some(Direction::Received),
        _ => None,
    }
}

/// The interface's name as the packet carried it, or looked up.
fn interface(field: &[u8], netns: u32, ifindex: u32, names: &dyn Names) -> Option<RawName> {
    RawName::from_padded(field)
        .or_else(|| names.interface(netns, index(ifindex)?).map(RawName::from))
}

fn drop_reason(reason: u32, names: &dyn Names) -> String {
    names
        .drop_reason(reason)
        .unwrap_or_else(|| match reason >> 16 {
            0 => format!("reason_{reason}"),
            subsystem => format!("reason_{subsystem}.{}", reason & 0xffff),
        })
}

fn reset_reason(reason: u32, names: &dyn Names) -> String {
    names
        .reset_reason(reason)
        .unwrap_or_else(|| format!("reason_{reason}"))
}
