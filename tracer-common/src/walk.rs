//! What a walk over the open sockets writes: rows of differing length, each of which begins with a [`RowHead`].

use crate::{Head, Owner, TcpSnapshot, wire};

/// Numbers of [`RowHead::kind`].
pub mod row {
    /// A [`super::WaitingRow`].
    pub const WAITING: u32 = 1;
    /// A [`super::TrafficRow`].
    pub const TRAFFIC: u32 = 2;
    /// A [`super::EndRow`].
    pub const END: u32 = 3;
}

/// What a socket waits for.
pub mod wait {
    pub const NOTHING: u32 = 0;
    /// SYN_SENT, and the SYN was sent again.
    pub const SYN_SENT: u32 = 1;
    /// Data is queued, nothing is in flight, and the peer's window takes no segment.
    pub const PEER_WINDOW: u32 = 2;
    /// A retransmission timeout has passed since something was acknowledged.
    pub const UNACKNOWLEDGED: u32 = 3;
    /// A writer sleeps for memory (`sk_write_pending`).
    pub const WRITER_BLOCKED: u32 = 4;
    /// A listener takes no more connections (`sk_acceptq_is_full`).
    pub const ACCEPT_QUEUE: u32 = 5;
    /// A datagram or unix socket whose receive or send buffer is full.
    pub const BUFFER_FULL: u32 = 6;
    /// CLOSE_WAIT with data that was not read, or not sent.
    pub const UNREAD: u32 = 7;
    /// Nothing is queued, and keepalive probes have no answer.
    pub const KEEPALIVE: u32 = 8;
}

/// Bits of [`WaitingRow::timer`] above those of `icsk_pending`.
pub mod timer {
    /// `sk_timer` is pending: keepalive.
    pub const KEEPALIVE: u32 = 0x100;
}

/// Starts every row.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowHead {
    /// One of [`row`].
    pub kind: u32,
    /// Length of the row, this head included.
    pub bytes: u32,
}

/// A socket that waits, by one of the descriptors that hold it. 32-bit fields are [`crate::NO_U32`] when they could
/// not be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingRow {
    pub row: RowHead,
    pub head: Head,
    pub tcp: TcpSnapshot,
    /// The process that holds it open.
    pub holder: Owner,
    /// Descriptor in that process.
    pub fd: u32,
    /// One of [`wait`].
    pub why: u32,
    /// Bytes that wait, connections of a listener, datagrams of a unix socket.
    pub queued: u32,
    /// `icsk_pending`, and bits of [`timer`].
    pub timer: u32,
    /// `sk_write_pending`.
    pub blocked_writers: u32,
    /// `sk_err`.
    pub errno: u32,
    /// `sk_err_soft`.
    pub soft_errno: u32,
    /// `segs_out`.
    pub sent_segments: u32,
    /// `total_retrans`.
    pub retransmitted_segments: u32,
    /// `reordering`.
    pub reordering_segments: u32,
    /// `chrono_stat`: jiffies busy, limited by the peer's window, limited by the send buffer; without what runs now.
    pub chrono_jiffies: [u32; 3],
    /// `chrono_type`: which of them runs now, from 1; 0: none.
    pub chrono_type: u32,
    /// For how long it runs, jiffies.
    pub chrono_jiffies_ago: u32,
    /// Since `retrans_stamp`: the first SYN, or the first retransmit of a recovery; milliseconds.
    pub retrans_ms_ago: u32,
    /// `bytes_acked`; [`crate::NO_U64`] when it could not be read.
    pub acked_bytes: u64,
    /// Name of the congestion control, NUL-padded.
    pub congestion_control: [u8; 16],
}

/// What a TCP socket has sent since the walk before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficRow {
    pub row: RowHead,
    /// The process that holds it open; of several the first that was met.
    pub owner: Owner,
    /// In network byte order, IPv4 in the first four bytes.
    pub remote: [u8; 16],
    /// AF_INET or AF_INET6.
    pub family: u32,
    pub netns: u32,
    /// `segs_out`.
    pub sent_segments: u32,
    /// `total_retrans`.
    pub retransmitted_segments: u32,
    /// `bytes_sent`.
    pub sent_bytes: u64,
    /// `bytes_acked`.
    pub acked_bytes: u64,
    /// `srtt_us`, eighths of a microsecond; 0: not measured yet.
    pub srtt_us8: u32,
    /// `delivered`.
    pub delivered_segments: u32,
    /// `dsack_dups`.
    pub dsack_dups: u32,
    /// `chrono_stat`: jiffies busy, limited by the peer's window, limited by the send buffer.
    pub chrono_jiffies: [u32; 3],
}

/// Ends a walk.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndRow {
    pub row: RowHead,
    pub state: WalkState,
}

/// The walk at hand; set by user space before it begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkState {
    /// Counts walks from 1: the first only takes the base of what is summed up.
    pub number: u64,
    /// Descriptors that were sockets.
    pub descriptors: u64,
    /// TCP sockets, each once.
    pub tcp_sockets: u64,
}

/// What is kept with a TCP socket from walk to walk.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// [`WalkState::number`] of the last walk that met it; 0: none.
    pub number: u64,
    pub sent_bytes: u64,
    pub acked_bytes: u64,
    pub sent_segments: u32,
    pub retransmitted_segments: u32,
    pub delivered_segments: u32,
    pub dsack_dups: u32,
    /// Bits of [`walked_flag`].
    pub flags: u32,
    pub chrono_jiffies: [u32; 3],
}

/// Bits of [`Walked::flags`]: how the connection began, where that was seen.
pub mod walked_flag {
    /// By connect.
    pub const CONNECTED: u32 = 1;
    /// At a listener.
    pub const ACCEPTED: u32 = 2;
}

/// What [`PeerSums`] are of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerKey {
    /// [`Owner::start_ns`].
    pub start_ns: u64,
    /// [`Owner::pid`]; 0: the kernel, or nobody is known.
    pub pid: u32,
    pub netns: u32,
    /// In network byte order, IPv4 in the first four bytes.
    pub remote: [u8; 16],
    /// In network byte order; 0: this host was connected to, or it is not known who connected.
    pub port: u16,
    /// AF_INET or AF_INET6.
    pub family: u16,
    pub pad: u32,
}

/// What the connections of a process and a remote end have come to since a walk took it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSums {
    /// As the first of them had it.
    pub owner: Owner,
    /// Connects that reached ESTABLISHED.
    pub established: u64,
    /// Connections of which both ends closed their half, or this end did and the peer acknowledged it.
    pub graceful_closes: u64,
    /// Closed sockets whose share, since a walk last met them, is in what follows.
    pub closed_sockets: u64,
    /// `segs_out`.
    pub sent_segments: u64,
    /// `total_retrans`.
    pub retransmitted_segments: u64,
    /// `delivered`.
    pub delivered_segments: u64,
    /// `dsack_dups`.
    pub dsack_dups: u64,
    /// `bytes_sent`.
    pub sent_bytes: u64,
    /// `bytes_acked`.
    pub acked_bytes: u64,
}

wire!(
    RowHead = 8,
    WaitingRow = 352,
    TrafficRow = 128,
    EndRow = 32,
    WalkState = 24,
    Walked = 56,
    PeerKey = 40,
    PeerSums = 120
);
