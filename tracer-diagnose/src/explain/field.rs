//! Short words of a line of `live` and of `ss`, and the fields that they stand for.

use super::entry::{Entry, Kind};

const fn field(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Field, word, means)
}

pub static TABLE: &[Entry] = &[
    field(
        "cwnd",
        "tcp.cwnd_segments: how many segments TCP lets be on their way at once (snd_cwnd). 1 after a time-out: it begins anew.",
    ),
    field(
        "ssthresh",
        "tcp.ssthresh_segments: up to this the window grows fast, beyond it slowly; null while nothing was lost.",
    ),
    field("sendq", "tcp.send_queue_bytes: what the application wrote and the peer has not acknowledged (Send-Q of ss).")
        .next("Does it shrink from one event to the next? If not, nothing is acknowledged, or the peer's window is closed."),
    field("tx", "On the way out: this host sent it, or was about to. In counters of interfaces: sent."),
    field("rx", "On the way in: it had arrived at this host. In counters of interfaces: received."),
    field("pmtu", "tcp.pmtu_bytes: the largest packet that the path takes, as far as this host knows (path MTU).")
        .next("Smaller than the interface's MTU: a router said so. Large segments that are never acknowledged: explain pmtu_blackhole."),
    field("mss", "tcp.mss_bytes: the largest payload of one segment on this connection."),
    field("srtt", "tcp.srtt_us: the smoothed round-trip time that TCP measured (RFC 6298)."),
    field("backoff", "tcp.backoff: how often the time-out was doubled without an ACK in between."),
    field("unacked", "tcp.unacked_segments: segments that were sent and are not acknowledged (packets_out)."),
    field("wnd", "tcp.peer_window_bytes: how much the peer says that it can take. 0: its process does not read."),
    field("sndbuf", "tcp.sndbuf_bytes: the limit of the socket's send buffer (SO_SNDBUF, or tuned by the kernel)."),
];
