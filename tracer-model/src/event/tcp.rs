//! The state of a TCP socket at an event.

/// `sk_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum TcpState {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
    BoundInactive,
}

impl TcpState {
    /// All of them, in the order of the kernel's numbers.
    pub const ALL: [Self; 13] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynRecv,
        Self::BoundInactive,
    ];

    /// The state of the kernel's number (include/net/tcp_states.h, from 1).
    pub fn from_number(number: u32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// The kernel's number.
    pub const fn number(self) -> u32 {
        self as u32 + 1
    }

    /// The kernel's name without `TCP_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
            Self::BoundInactive => "BOUND_INACTIVE",
        }
    }
}

/// `icsk_ca_state`: what congestion control is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaState {
    /// Nothing is wrong.
    Open,
    /// Duplicate ACKs or SACKs have come.
    Disorder,
    /// The window shrinks after ECN or a local drop.
    Cwr,
    /// Fast retransmit.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

impl CaState {
    /// The state of the kernel's number (`enum tcp_ca_state`).
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Open),
            1 => Some(Self::Disorder),
            2 => Some(Self::Cwr),
            3 => Some(Self::Recovery),
            4 => Some(Self::Loss),
            _ => None,
        }
    }

    /// The kernel's number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The kernel's name without `TCP_CA_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Disorder => "Disorder",
            Self::Cwr => "CWR",
            Self::Recovery => "Recovery",
            Self::Loss => "Loss",
        }
    }
}

/// A TCP socket; units are in the names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tcp {
    /// `sk_state`.
    pub state: Option<TcpState>,
    /// `write_seq - snd_una`: what ss calls Send-Q.
    pub send_queue_bytes: Option<u32>,
    /// `sk_sndbuf`.
    pub sndbuf_bytes: Option<u32>,
    /// `snd_cwnd`.
    pub cwnd_segments: Option<u32>,
    /// `snd_ssthresh`; `None` too while it is infinite.
    pub ssthresh_segments: Option<u32>,
    /// Smoothed round-trip time; `None` too before the first measurement.
    pub srtt_us: Option<u64>,
    /// Retransmission timeout, backoff included.
    pub rto_us: Option<u64>,
    /// `icsk_backoff`: how often the timeout was doubled.
    pub backoff: Option<u32>,
    /// `mss_cache`.
    pub mss_bytes: Option<u32>,
    /// `icsk_pmtu_cookie`.
    pub pmtu_bytes: Option<u32>,
    /// `snd_wnd`.
    pub peer_window_bytes: Option<u32>,
    /// `packets_out`.
    pub unacked_segments: Option<u32>,
    /// `lost_out`.
    pub lost_segments: Option<u32>,
    /// Since `lsndtime`; `None` too before data was sent.
    pub last_send_us_ago: Option<u64>,
    /// Since `rcv_tstamp`; `None` too before the first ACK.
    pub last_ack_us_ago: Option<u64>,
    /// `icsk_ca_state`.
    pub ca_state: Option<CaState>,
    /// `sk_wmem_queued`: memory of the send queue, overhead included.
    pub wmem_queued_bytes: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_numbered_as_the_kernel_numbers_them() {
        assert_eq!(TcpState::from_number(0), None);
        assert_eq!(TcpState::from_number(1), Some(TcpState::Established));
        assert_eq!(TcpState::from_number(7), Some(TcpState::Close));
        assert_eq!(TcpState::from_number(12), Some(TcpState::NewSynRecv));
        assert_eq!(TcpState::from_number(14), None);
        assert_eq!(TcpState::from_number(u32::MAX), None);
        assert_eq!(CaState::from_number(4).map(CaState::name), Some("Loss"));
        assert_eq!(CaState::from_number(5), None);
    }
}
