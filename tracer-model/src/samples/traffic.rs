//! What a walk over the open sockets counts.

use serde::{Deserialize, Serialize};

/// What one process has sent to one host since the walk before, over TCP. Sockets that have sent nothing are not
/// counted, and a process and host without any is left out.
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
    /// `bytes_sent`: retransmitted ones are among them.
    pub sent_bytes: u64,
    /// `bytes_acked`.
    pub acked_bytes: u64,
    /// The shortest smoothed round-trip time of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtt_us_min: Option<u64>,
    /// The median of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtt_us_median: Option<u64>,
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
    /// Descriptors of sockets that wait for which there was no room.
    pub left_out: u64,
}
