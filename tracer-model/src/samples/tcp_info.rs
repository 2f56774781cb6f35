//! What TCP knows of a connection.

use serde::{Deserialize, Serialize};

/// What TCP knows of a connection, as `ss -ti` shows it. Totals are since the connection began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpInfo {
    /// Congestion control: `Open`, `Disorder`, `CWR`, `Recovery`, `Loss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_state: Option<String>,
    /// Timeouts in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u8>,
    /// Unanswered probes of a closed window or of an idle connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u8>,
    /// How often the timeout was doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_us: Option<u32>,
    /// `None` also before the first measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rttvar_us: Option<u32>,
    /// `None` also before the first measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pmtu_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwnd_segments: Option<u32>,
    /// `None` also while it is infinite: nothing was lost yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssthresh_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unacked_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sacked_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_segments: Option<u32>,
    /// Sent again and not acknowledged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrans_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_retrans_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordering_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_segments: Option<u32>,
    /// Segments that were delivered with the mark of congestion (ECN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_ce_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsack_dups_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_retrans: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_acked: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notsent_bytes: Option<u32>,
    /// Window that the peer grants, scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snd_wnd_bytes: Option<u32>,
    /// Window that is granted to the peer, scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcv_wnd_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_data_sent_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_data_recv_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ack_recv_ms: Option<u32>,
    /// Time with data to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_us: Option<u64>,
    /// Of that, time in which the peer's window was full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rwnd_limited_us: Option<u64>,
    /// Of that, time in which the send buffer was too small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sndbuf_limited_us: Option<u64>,
    /// `None` also while it is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing_rate_bytes_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_rate_bytes_per_s: Option<u64>,
    /// Timeouts altogether.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rto: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rto_recoveries: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rto_ms: Option<u32>,
}
