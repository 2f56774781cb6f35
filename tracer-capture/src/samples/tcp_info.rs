//! `struct tcp_info` (linux/tcp.h), which grows at its end from kernel to kernel: what is not there is `None`.

use super::netlink::{u8_at, u16_at, u32_at, u64_at};
use tracer_model::event::CaState;
use tracer_model::samples::TcpInfo;

/// What tells "not limited" and "not measured".
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

/// Reads as many fields as the kernel gave.
pub fn parse(bytes: &[u8]) -> TcpInfo {
    let word = |at| u32_at(bytes, at);
    let long = |at| u64_at(bytes, at);
    let ca_state = u8_at(bytes, 1).map(|number| {
        CaState::from_number(number.into())
            .map_or_else(|| number.to_string(), |state| state.name().to_owned())
    });
    TcpInfo {
        ca_state,
        retransmits: u8_at(bytes, 2),
        probes: u8_at(bytes, 3),
        backoff: u8_at(bytes, 4),
        rto_us: word(8),
        mss_bytes: word(16),
        unacked_segments: word(24),
        sacked_segments: word(28),
        lost_segments: word(32),
        retrans_segments: word(36),
        last_data_sent_ms: word(44),
        last_data_recv_ms: word(52),
        last_ack_recv_ms: word(56),
        pmtu_bytes: word(60),
        rtt_us: word(68).filter(|rtt| *rtt != 0),
        rttvar_us: word(72),
        ssthresh_segments: word(76).filter(|segments| *segments < INFINITE_SSTHRESH),
        cwnd_segments: word(80),
        reordering_segments: word(88),
        total_retrans_segments: word(100),
        pacing_rate_bytes_per_s: long(104).filter(|rate| *rate != u64::MAX),
        bytes_acked: long(120),
        bytes_received: long(128),
        notsent_bytes: word(144),
        min_rtt_us: word(148).filter(|rtt| *rtt != u32::MAX),
        delivery_rate_bytes_per_s: long(160),
        busy_us: long(168),
        rwnd_limited_us: long(176),
        sndbuf_limited_us: long(184),
        delivered_segments: word(192),
        delivered_ce_segments: word(196),
        bytes_sent: long(200),
        bytes_retrans: long(208),
        dsack_dups_segments: word(216),
        snd_wnd_bytes: word(228),
        rcv_wnd_bytes: word(232),
        total_rto: u16_at(bytes, 240),
        total_rto_recoveries: u16_at(bytes, 242),
        total_rto_ms: word(244),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernels_shorter_structure_leaves_the_newer_fields_out() {
        // Up to and with tcpi_total_retrans.
        let mut bytes = vec![1; 104];
        bytes[1] = 4;
        let info = parse(&bytes);
        assert_eq!(info.ca_state.as_deref(), Some("Loss"));
        assert_eq!(info.total_retrans_segments, Some(0x0101_0101));
        assert_eq!(
            (
                info.pacing_rate_bytes_per_s,
                info.bytes_sent,
                info.total_rto
            ),
            (None, None, None)
        );
        assert_eq!(parse(&[]), TcpInfo::default());
    }

    #[test]
    fn a_newer_kernels_longer_structure_is_read() {
        let info = parse(&[0; 400]);
        assert_eq!((info.total_rto, info.total_rto_ms), (Some(0), Some(0)));
    }

    #[test]
    fn marks_of_the_kernel_for_nothing_are_missing_values() {
        let mut bytes = vec![0; 248];
        bytes[76..80].copy_from_slice(&INFINITE_SSTHRESH.to_ne_bytes());
        bytes[104..112].fill(0xff);
        bytes[148..152].fill(0xff);
        bytes[1] = 99;
        let info = parse(&bytes);
        assert_eq!(
            (info.ssthresh_segments, info.pacing_rate_bytes_per_s),
            (None, None)
        );
        assert_eq!(info.min_rtt_us, None);
        assert_eq!(info.ca_state.as_deref(), Some("99"));
    }

    #[test]
    fn what_is_missing_has_no_key_and_comes_back_as_missing() {
        let info = parse(&[0; 104]);
        let text = serde_json::to_string(&info).unwrap();
        assert!(
            !text.contains("bytes_sent") && text.contains("\"rto_us\":0"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<TcpInfo>(&text).unwrap(), info);
    }
}
