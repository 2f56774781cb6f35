//! Sockets and sends that wait although nothing failed.

/// What a socket waits for. One that waits for several things has the first of them that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitReason {
    /// A SYN has no answer.
    SynSent,
    /// Data is queued, nothing is in flight, and the window of the peer takes no further segment.
    PeerWindow,
    /// What was sent is unacknowledged for longer than the retransmission timeout.
    Unacknowledged,
    /// A writer sleeps for memory of the send buffer.
    WriterBlocked,
    /// A listener whose accept queue is full: it drops what its clients send.
    AcceptQueue,
    /// A datagram socket whose buffer is full.
    BufferFull,
    /// The peer has closed; data is left that nobody reads, or that was never sent.
    Unread,
    /// Nothing is queued, and keepalive probes have no answer.
    Keepalive,
}

impl WaitReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SynSent,
        Self::PeerWindow,
        Self::Unacknowledged,
        Self::WriterBlocked,
        Self::AcceptQueue,
        Self::BufferFull,
        Self::Unread,
        Self::Keepalive,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn_sent",
            Self::PeerWindow => "peer_window",
            Self::Unacknowledged => "unacknowledged",
            Self::WriterBlocked => "writer_blocked",
            Self::AcceptQueue => "accept_queue",
            Self::BufferFull => "buffer_full",
            Self::Unread => "unread",
            Self::Keepalive => "keepalive",
        }
    }
}

/// The timer that a TCP socket has pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketTimer {
    /// None is pending.
    None,
    /// `ICSK_TIME_RETRANS`.
    Retransmit,
    /// `ICSK_TIME_LOSS_PROBE`.
    LossProbe,
    /// `ICSK_TIME_REO_TIMEOUT`.
    Reordering,
    /// `ICSK_TIME_PROBE0`: probes of a window that is closed.
    Persist,
    /// `sk_timer`.
    Keepalive,
}

impl SocketTimer {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Retransmit,
        Self::LossProbe,
        Self::Reordering,
        Self::Persist,
        Self::Keepalive,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Retransmit => "retransmit",
            Self::LossProbe => "loss_probe",
            Self::Reordering => "reordering",
            Self::Persist => "persist",
            Self::Keepalive => "keepalive",
        }
    }
}

/// A socket that waits, or that has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What for.
    pub why: WaitReason,
    /// For how long, microseconds; the whole time once it has ended.
    pub for_us: u64,
    /// It waits no longer, or is closed.
    pub ended: bool,
    /// The run ended while it went on: no more is told of it.
    pub unfinished: bool,
    /// Bytes that wait; connections, in the accept queue of a listener.
    pub queued_bytes: Option<u64>,
    /// The timer that is pending.
    pub timer: Option<SocketTimer>,
    /// How many writers sleep for memory of the send buffer (`sk_write_pending`).
    pub blocked_writers: Option<u32>,
    /// `sk_err`: the error that the next call will return; 0 when there is none.
    pub errno: Option<u32>,
    /// `sk_err_soft`: an error, of ICMP for one, that did not end the connection; 0 when there is none.
    pub soft_errno: Option<u32>,
    /// `chrono_stat`: for how long the socket had data to send, microseconds.
    pub busy_us: Option<u64>,
    /// For how long of that the window of the peer was what limited it, microseconds.
    pub rwnd_limited_us: Option<u64>,
    /// For how long of that its send buffer was what limited it, microseconds.
    pub sndbuf_limited_us: Option<u64>,
    /// Name of the congestion control.
    pub congestion_control: Option<String>,
    /// `segs_out`: segments sent, retransmitted ones included.
    pub sent_segments: Option<u32>,
    /// `bytes_acked`.
    pub acked_bytes: Option<u64>,
    /// `total_retrans`: segments sent again, over the life of the socket.
    pub retransmitted_segments: Option<u32>,
    /// `reordering`: by how many segments packets are taken to come out of order.
    pub reordering_segments: Option<u32>,
}

impl Waiting {
    /// A wait of which no more is known.
    pub const fn new(why: WaitReason, for_us: u64) -> Self {
        Self {
            why,
            for_us,
            ended: false,
            unfinished: false,
            queued_bytes: None,
            timer: None,
            blocked_writers: None,
            errno: None,
            soft_errno: None,
            busy_us: None,
            rwnd_limited_us: None,
            sndbuf_limited_us: None,
            congestion_control: None,
            sent_segments: None,
            acked_bytes: None,
            retransmitted_segments: None,
            reordering_segments: None,
        }
    }
}

/// A send that was blocked for long and returned without an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// For how long, microseconds; `None` when several events were aggregated.
    pub blocked_us: Option<u64>,
    /// What the caller asked to send.
    pub requested_bytes: Option<u64>,
    /// What the kernel took; the sum when several events were aggregated.
    pub sent_bytes: Option<u64>,
}
