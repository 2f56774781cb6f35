//! What happened: the fields that each event kind has of its own.

use std::borrow::Cow;

use super::{Blocked, EventKind, RawName, TcpState, Waiting};
use crate::errno;

/// What happened, one variant per event kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Detail {
    Retransmit(Retransmit),
    SendError(SendError),
    Drop(PacketDrop),
    Device(Device),
    Reset(Reset),
    Connection(Connection),
    Send(SendOk),
    Lost(Lost),
    Waiting(Box<Waiting>),
    Blocked(Blocked),
}

impl Detail {
    /// What it takes in memory beyond its own size, bytes.
    pub fn heap_bytes(&self) -> usize {
        let of_text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let of_name =
            |name: &Option<RawName>| name.as_ref().map_or(0, |name| name.as_bytes().len());
        match self {
            Self::Drop(drop) => {
                of_text(&drop.reason) + of_text(&drop.location) + of_name(&drop.interface)
            }
            Self::Device(device) => of_name(&device.interface),
            Self::Reset(reset) => of_text(&reset.reason),
            _ => 0,
        }
    }

    /// The kind of event that has these fields.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Retransmit(_) => EventKind::Retransmit,
            Self::SendError(_) => EventKind::SendError,
            Self::Drop(_) => EventKind::Drop,
            Self::Device(_) => EventKind::Device,
            Self::Reset(_) => EventKind::Reset,
            Self::Connection(_) => EventKind::Connection,
            Self::Send(_) => EventKind::Send,
            Self::Lost(_) => EventKind::Lost,
            Self::Waiting(_) => EventKind::Waiting,
            Self::Blocked(_) => EventKind::Blocked,
        }
    }
}

/// Why a segment was retransmitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Retransmission timeout, or the recovery that follows it.
    Rto,
    /// Fast retransmit (RFC 5681), SACK and RACK included.
    Fast,
    /// Tail loss probe (RFC 8985).
    Tlp,
    /// The SYN of a connect.
    Syn,
    /// The SYN-ACK of a listener.
    SynAck,
    /// The path MTU shrank.
    Mtu,
    /// The kernel's state tells none of these.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Rto,
        Self::Fast,
        Self::Tlp,
        Self::Syn,
        Self::SynAck,
        Self::Mtu,
        Self::Unknown,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rto => "rto",
            Self::Fast => "fast",
            Self::Tlp => "tlp",
            Self::Syn => "syn",
            Self::SynAck => "synack",
            Self::Mtu => "mtu",
            Self::Unknown => "unknown",
        }
    }
}

/// What set a retransmit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A timer ran out.
    Timer,
    /// An ACK came in.
    Ack,
}

impl Trigger {
    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Ack => "ack",
        }
    }
}

/// Whether a retransmit left the host's TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Sent,
    /// It did not: negative errno (`-EBUSY`: the packet is still in a host queue) or positive NET_XMIT_*.
    Failed(i32),
}

impl Outcome {
    /// `sent`, or the kernel's name of the error.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Sent => "sent".into(),
            Self::Failed(code) => transmit_code_name(code),
        }
    }
}

/// The kernel's name of a transmit code: NETDEV_TX_*, NET_XMIT_* or an errno.
pub fn transmit_code_name(code: i32) -> Cow<'static, str> {
    match code {
        1 => "NET_XMIT_DROP".into(),
        2 => "NET_XMIT_CN".into(),
        Device::TX_BUSY => "NETDEV_TX_BUSY".into(),
        negative if negative < 0 => errno::display(negative.unsigned_abs()),
        other => format!("code {other}").into(),
    }
}

/// `tcp_retransmit_skb`, `tcp_retransmit_synack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// Why.
    pub cause: Cause,
    /// Whether it left.
    pub outcome: Outcome,
    /// How often this timer has fired in a row; `None` when an ACK set it off.
    pub attempt: Option<u32>,
    /// Segments; their sum when several events were aggregated.
    pub segments: Option<u64>,
    /// Payload; its sum when several events were aggregated.
    pub bytes: Option<u64>,
    /// What set it off.
    pub trigger: Trigger,
}

/// A send that returned an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// Positive errno; may be internal to the kernel (ERESTARTSYS, 512).
    pub errno: u32,
    /// What the caller asked to send.
    pub requested_bytes: Option<u64>,
    /// What the kernel took.
    pub sent_bytes: Option<u64>,
    /// How long the call was blocked, where a hook shows its start.
    pub blocked_us: Option<u64>,
}

/// Which way a packet or RST went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Out of this host.
    Sent,
    /// Into this host.
    Received,
}

impl Direction {
    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// A packet that was freed undelivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketDrop {
    /// The running kernel's name of the reason; `reason_N` for a number without a name.
    pub reason: Option<String>,
    /// `function+0xoffset` in the kernel, or the address.
    pub location: Option<String>,
    /// Interface name.
    pub interface: Option<RawName>,
    /// Length of the packet; the sum when several events were aggregated.
    pub bytes: Option<u64>,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// Interface index in its network namespace.
    pub ifindex: Option<u32>,
}

/// A driver that did not take a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `netdev_tx_t`, NET_XMIT_* or negative errno.
    pub code: i32,
    /// Interface name.
    pub interface: Option<RawName>,
    /// Length of the packet; the sum when several events were aggregated.
    pub bytes: Option<u64>,
    /// Interface index in its network namespace.
    pub ifindex: Option<u32>,
    /// Transmit queue that timed out.
    pub queue: Option<u32>,
    /// The kernel's watchdog found the transmit queue stuck: no packet of its own.
    pub timeout: bool,
}

impl Device {
    /// `NETDEV_TX_BUSY`.
    pub const TX_BUSY: i32 = 0x10;

    /// The kernel's name of the code, or `TRANSMIT_TIMEOUT`.
    pub fn name(&self) -> Cow<'static, str> {
        if self.timeout {
            "TRANSMIT_TIMEOUT".into()
        } else {
            transmit_code_name(self.code)
        }
    }

    /// The packet goes back to its queue and will be tried again: not a loss.
    pub const fn requeued(&self) -> bool {
        self.code == Self::TX_BUSY
    }
}

/// A TCP RST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Which way it went.
    pub direction: Option<Direction>,
    /// The running kernel's name of the reason; `reason_N` for a number without a name.
    pub reason: Option<String>,
}

/// A connection that failed or died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// State before.
    pub from: Option<TcpState>,
    /// State after.
    pub to: Option<TcpState>,
    /// What the application will see; `None` when the socket carries no error.
    pub errno: Option<u32>,
}

/// A send that took some bytes, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOk {
    /// What the caller asked to send.
    pub requested_bytes: Option<u64>,
    /// What the kernel took; the sum when several events were aggregated.
    pub sent_bytes: u64,
}

/// Where events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LostAt {
    /// The ring was full.
    Ring,
    /// Over the rate limit, and not even counted per flow.
    RateLimit,
    /// The trace could not be written.
    Disk,
    /// Bytes that make no record.
    Decode,
}

impl LostAt {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::RateLimit, Self::Disk, Self::Decode];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::RateLimit => "rate_limit",
            Self::Disk => "disk",
            Self::Decode => "decode",
        }
    }
}

/// Events that did not reach the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub at: LostAt,
    /// Of which event kind, where that is known.
    pub event_kind: Option<EventKind>,
    /// How many.
    pub count: u64,
}
