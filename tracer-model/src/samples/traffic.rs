//! What a walk over the open sockets counts.

use serde::{Deserialize, Serialize};

/// What one process has sent to one host since the walk before, over TCP, by sockets that are open and by those that
/// were closed since. Sockets that have sent nothing are not counted, and a process and host without any is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerTraffic {
    /// The process that holds the sockets open; of several one of them.
    pub pid: Option<u32>,
    /// When it started, nanoseconds of CLOCK_BOOTTIME.
    pub started_boot_ns: Option<u64>,
    pub comm: Option<String>,
    /// Inode number of the sockets' network namespace.
    pub netns: Option<u32>,
    /// The address.
    pub remote: String,
    /// Sockets that have sent something.
    pub sockets: u64,
    /// `segs_out`: retransmitted ones and mere ACKs are among them.
    pub sent_segments: u64,
    /// `total_retrans`.
    pub retransmitted_segments: u64,
    /// `delivered`: segments of which the peer has said that it has them; `None` in older traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_segments: Option<u64>,
    /// `dsack_dups`: segments of which the peer has said that it had them already; `None` in older traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsack_dups: Option<u64>,
    /// `bytes_sent`: retransmitted ones are among them.
    pub sent_bytes: u64,
    /// `bytes_acked`.
    pub acked_bytes: u64,
    /// Sockets that have closed and had sent something since a walk last met them; `None` in older traces, whose sums
    /// lack what those had sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_sockets: Option<u64>,
    /// Connections that were established, and those that have closed, by remote port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<PortConnections>,
    /// The shortest smoothed round-trip time of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtt_us_min: Option<u64>,
    /// The median of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtt_us_median: Option<u64>,
    /// `chrono_stat`: for how long they had data to send, microseconds, added up over the sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_us: Option<u64>,
    /// For how long of that the window of the peer was what limited them, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rwnd_limited_us: Option<u64>,
    /// For how long of that their send buffers were what limited them, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sndbuf_limited_us: Option<u64>,
}

/// Connections of one process to one port of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortConnections {
    /// The remote port; `None`: the remote end connected to this host, or it is not known which end did, or these are
    /// those of several ports.
    pub port: Option<u16>,
    /// Connects that reached ESTABLISHED.
    pub established: u64,
    /// Connections that ended in peace: each end closed its half, or this end did and the peer acknowledged all of it
    /// (FIN_WAIT2, CLOSING or LAST_ACK to CLOSE, without an error).
    pub graceful_closes: u64,
}

/// The walks over the open sockets in an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketWalk {
    /// How many there were. What follows is of the last, but for `took_us`.
    pub walks: u64,
    /// How much of a processor's time they took, all together.
    pub took_us: u64,
    /// Descriptors that were sockets.
    pub descriptors: u64,
    pub tcp_sockets: u64,
    /// Sockets that waited, for however short a time.
    pub waiting_sockets: u64,
    /// Descriptors of sockets that wait, and sockets, for which there was no room.
    pub left_out: u64,
}
