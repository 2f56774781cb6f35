//! Records: what the BPF programs write into the rings, one type per event kind.

use crate::{Flow, Owner, grade, owner_flag, wire};

/// A 32-bit field that could not be read.
pub const NO_U32: u32 = u32::MAX;
/// A 64-bit field that could not be read.
pub const NO_U64: u64 = u64::MAX;

/// Bits of [`Head::flags`].
pub mod head_flag {
    /// The socket has no file: closed by its owner, or not accepted yet (`sk->sk_socket` is null).
    pub const ORPHAN: u32 = 1;
    /// There was no full socket at all (RST to a closed port, TIME_WAIT).
    pub const NO_SOCKET: u32 = 2;
    /// The owner is the task that made the failing call: nothing needs to be looked up.
    pub const CURRENT: u32 = 4;
    /// `TcpSnapshot` was filled.
    pub const TCP: u32 = 8;
    /// The flow's remote end is what the caller named (sendto, sendmsg), not the connected peer.
    pub const NAMED_REMOTE: u32 = 16;
    /// The socket is not connected and what the caller named could not be read: the remote end is unknown.
    pub const NO_REMOTE: u32 = 32;
    /// A subflow of MPTCP: its owner and its file are those of the MPTCP socket, which the flow's inode names.
    pub const SUBFLOW: u32 = 64;
    /// The owner is that of another event of the same socket; set in user space.
    pub const JOINED: u32 = 128;
}

/// Why a segment was retransmitted.
pub mod cause {
    pub const UNKNOWN: u8 = 0;
    /// Retransmission timeout, or the recovery that follows it (`TCP_CA_Loss`).
    pub const RTO: u8 = 1;
    /// Fast retransmit (`TCP_CA_Recovery`).
    pub const FAST: u8 = 2;
    /// Tail loss probe.
    pub const TLP: u8 = 3;
    pub const SYN: u8 = 4;
    pub const SYNACK: u8 = 5;
    /// The path MTU shrank (`tcp_simple_retransmit`).
    pub const MTU: u8 = 6;
}

/// Which way a packet or RST went.
pub mod direction {
    pub const UNKNOWN: u8 = 0;
    pub const SENT: u8 = 1;
    pub const RECEIVED: u8 = 2;
}

/// Starts every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// When, nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// One of [`crate::event_kind`].
    pub event_kind: u32,
    /// Bits of [`head_flag`].
    pub flags: u32,
    /// References to the socket's file (1: a single descriptor, in a single process); [`NO_U32`] when not read.
    pub file_refs: u32,
    pub pad: u32,
    /// Who, as stored with the socket (or `current`, see [`head_flag::CURRENT`]).
    pub owner: Owner,
    /// Between whom.
    pub flow: Flow,
}

impl Head {
    /// Is the stored owner the whole truth? The caller itself, what a closed socket left, or the only process
    /// that ever sent, with the only descriptor. Filters by owner run in the kernel where it is, and in user
    /// space, after a look at the open files, where it is not.
    #[inline(always)]
    pub const fn owner_is_sure(&self) -> bool {
        if self.flags & (head_flag::CURRENT | head_flag::NO_SOCKET) != 0 {
            return true;
        }
        if self.owner.grade == grade::NONE
            || self.owner.flags & owner_flag::SEVERAL != 0
            || self.flags & head_flag::JOINED != 0
        {
            return false;
        }
        self.flags & head_flag::ORPHAN != 0
            || self.owner.grade == grade::KERNEL
            || (self.owner.grade == grade::AT_SEND && self.file_refs <= 1)
    }
}

/// State of a TCP socket at the event. 32-bit fields are [`NO_U32`] when they could not be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSnapshot {
    /// `sk_state`: TCP_ESTABLISHED…
    pub state: u32,
    /// `icsk_ca_state`: TCP_CA_Open…
    pub ca_state: u32,
    /// `write_seq - snd_una`: what ss calls Send-Q, bytes.
    pub send_queue_bytes: u32,
    /// `sk_wmem_queued`: memory of the send queue, overhead included, bytes.
    pub wmem_queued_bytes: u32,
    /// `sk_sndbuf`, bytes.
    pub sndbuf_bytes: u32,
    /// `snd_cwnd`, segments.
    pub cwnd_segments: u32,
    /// `snd_ssthresh`, segments; 0x7fffffff means infinite.
    pub ssthresh_segments: u32,
    /// `srtt_us`, eighths of a microsecond as the kernel keeps it; 0: not measured yet.
    pub srtt_us8: u32,
    /// `icsk_rto`, jiffies.
    pub rto_jiffies: u32,
    /// `icsk_backoff`.
    pub backoff: u32,
    /// `mss_cache`, bytes.
    pub mss_bytes: u32,
    /// `icsk_pmtu_cookie`, bytes.
    pub pmtu_bytes: u32,
    /// `snd_wnd`, bytes.
    pub peer_window_bytes: u32,
    /// `packets_out`, segments.
    pub unacked_segments: u32,
    /// `lost_out`, segments.
    pub lost_segments: u32,
    /// `tcp_jiffies32 - lsndtime`, jiffies.
    pub last_send_jiffies_ago: u32,
    /// `tcp_jiffies32 - rcv_tstamp`, jiffies.
    pub last_ack_jiffies_ago: u32,
    pub pad: u32,
}

/// `tcp_retransmit_skb`, `tcp_retransmit_synack`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmitRecord {
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// One of [`cause`].
    pub cause: u32,
    /// 1 when a timer sent it, 0 when an ACK did.
    pub timer: u32,
    /// `err` of the tracepoint: 0 sent, negative errno or positive NET_XMIT_*; 0 too where the kernel only
    /// reports successes.
    pub err: i32,
    /// How often this timer has fired in a row; [`NO_U32`] when an ACK triggered it.
    pub attempt: u32,
    /// `tcp_skb_pcount`, segments.
    pub segments: u32,
    /// Payload of the skb, bytes.
    pub bytes: u32,
}

/// A unix address: what the caller named, or the peer's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationPath {
    /// How many bytes of `path` count; 0: none.
    pub len: u32,
    /// `sun_path`; an abstract name starts with NUL.
    pub path: [u8; 108],
}

impl Default for DestinationPath {
    fn default() -> Self {
        Self {
            len: 0,
            path: [0; 108],
        }
    }
}

/// A send that returned an error.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendErrorRecord {
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// Positive errno; may be one that is internal to the kernel (ERESTARTSYS, 512).
    pub errno: u32,
    pub pad: u32,
    /// What the caller asked to send, bytes; [`NO_U64`] when not visible.
    pub requested_bytes: u64,
    /// For how long it was blocked, nanoseconds; [`NO_U64`] when that is not seen.
    pub blocked_ns: u64,
    /// Only for unix sockets.
    pub path: DestinationPath,
}

/// A send that was blocked for long, and then took some bytes, or all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockedRecord {
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// For how long, nanoseconds.
    pub blocked_ns: u64,
    /// What the caller asked to send, bytes; [`NO_U64`] when not visible.
    pub requested_bytes: u64,
    /// What the kernel took, bytes.
    pub sent_bytes: u64,
    /// Only for unix sockets.
    pub path: DestinationPath,
}

/// A send that took some bytes, or all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendRecord {
    pub head: Head,
    /// What the caller asked to send, bytes; [`NO_U64`] when not visible.
    pub requested_bytes: u64,
    /// What the kernel took, bytes.
    pub sent_bytes: u64,
    /// Only for unix sockets.
    pub path: DestinationPath,
}

/// A packet of a local socket that was freed undelivered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropRecord {
    pub head: Head,
    /// Address in the kernel's text (`location` of the tracepoint).
    pub location: u64,
    /// `enum skb_drop_reason`, subsystem in the high half; [`NO_U32`] where the kernel gives none.
    pub reason: u32,
    /// Interface index, 0 when the packet had none.
    pub ifindex: u32,
    /// `skb->len`.
    pub bytes: u32,
    /// One of [`direction`].
    pub direction: u32,
    /// Interface name, NUL-padded, all NUL when unknown.
    pub interface: [u8; 16],
}

/// A driver that did not take a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceRecord {
    pub head: Head,
    /// `netdev_tx_t`, NET_XMIT_* or negative errno; for a transmit timeout `-ETIMEDOUT`.
    pub rc: i32,
    pub ifindex: u32,
    /// Bytes; [`NO_U32`] for a transmit timeout.
    pub bytes: u32,
    /// Transmit queue of a timeout; [`NO_U32`] otherwise.
    pub queue: u32,
    /// Interface name, NUL-padded.
    pub interface: [u8; 16],
}

/// A TCP RST.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetRecord {
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// One of [`direction`].
    pub direction: u32,
    /// `enum sk_rst_reason`; [`NO_U32`] where the kernel gives none.
    pub reason: u32,
}

/// A connection that failed or died.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionRecord {
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// TCP state before.
    pub from: u32,
    /// TCP state after.
    pub to: u32,
    /// `sk_err`: what the application will see; 0 when the socket carries none.
    pub errno: u32,
    pub pad: u32,
}

wire!(
    Head = 136,
    TcpSnapshot = 72,
    RetransmitRecord = 232,
    DestinationPath = 112,
    SendErrorRecord = 344,
    BlockedRecord = 344,
    SendRecord = 264,
    DropRecord = 176,
    DeviceRecord = 168,
    ResetRecord = 216,
    ConnectionRecord = 224,
);
