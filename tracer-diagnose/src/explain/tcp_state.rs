//! States of a TCP connection, as `connection` shows them, and of congestion control.

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn state(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::TcpState, word, means)
        .from("sk_state (include/net/tcp_states.h, RFC 9293 section 3.3.2).")
}

const fn congestion(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::CongestionState, word, means).from("icsk_ca_state (enum tcp_ca_state).")
}

pub static TABLE: &[Entry] = &[
    state("ESTABLISHED", "The connection stands. ESTABLISHED to CLOSE with an errno: it died of an error.")
        .not("An orderly close is no event.")
        .next("The errno: ECONNRESET (a RST), ETIMEDOUT (silence), another (ICMP, or killed on this host).")
        .worse("Reconnecting at once and all together."),
    state("SYN_SENT", "A connect is under way. SYN_SENT to CLOSE: it failed.")
        .next(
            "ECONNREFUSED: a RST came. ETIMEDOUT: no answer to any SYN. No errno: the application gave up before, no \
             local port was free (EADDRNOTAVAIL), or an ICMP message ended it.",
        )
        .worse("Connecting again without a pause."),
    state("SYN_RECV", "A connection that comes in, with fast open or while both sides connect at once.")
        .next("Retransmits with cause synack: the client does not answer."),
    state("FIN_WAIT1", "This side has closed; its data or FIN is not acknowledged yet.")
        .to(Layer::Network)
        .not("Not the application: it has closed already, and sees nothing of what follows.")
        .next("To CLOSE with ETIMEDOUT: the last data did not arrive, and the application believes that it did. Retransmits of the flow."),
    state("FIN_WAIT2", "This side has closed, and the peer knows; the peer has not closed.")
        .to(Layer::Peer)
        .not("Not the network: the FIN was acknowledged.")
        .next("Does the peer's application forget to close? net.ipv4.tcp_fin_timeout ends it."),
    state("TIME_WAIT", "Both sides have closed; the port pair rests for a minute. Normal.")
        .next("Only their number matters, to one destination: ss -s, net.ipv4.ip_local_port_range."),
    state("CLOSE", "The end. A `connection` event is the step to this state.")
        .next("The state before, and the errno."),
    state("CLOSE_WAIT", "The peer has closed, and the local application has not.")
        .to(Layer::App)
        .not("Not the network and not the peer: its FIN was received.")
        .next("Does the owner read to the end and close? Growing numbers (ss -tn state close-wait) are a leak of descriptors.")
        .worse("A higher limit of open files."),
    state("LAST_ACK", "Both sides have closed; the ACK of this side's FIN is missing.")
        .to(Layer::Network)
        .not("Not the application: it has closed.")
        .next("Retransmits of the flow: the peer's host is gone, or the path is."),
    state("LISTEN", "The socket waits for connections.")
        .next("ss -ltn: Recv-Q at Send-Q means that the accept queue is full."),
    state("CLOSING", "Both sides closed at the same time, and the ACK is missing.")
        .next("Rare and short; if it lasts, as LAST_ACK."),
    state("NEW_SYN_RECV", "A connection that comes in: the SYN was answered, the client's ACK is missing.")
        .to(Layer::Network)
        .not("Not the listening application: it has not been asked yet.")
        .next("Retransmits with cause synack; many at once: a SYN flood (SYN cookies in the netstat samples)."),
    state("BOUND_INACTIVE", "A socket that is bound and neither listens nor connects. Not an event by itself.")
        .next("Nothing."),
    congestion("Open", "Nothing is wrong."),
    congestion("Disorder", "Duplicate ACKs or SACKs came: reordering, or a loss that is not certain yet."),
    congestion("CWR", "The window is being reduced: ECN, or a local queue that signalled congestion.")
        .next("tc -s qdisc of the interface; whether routers on the path mark ECN."),
    congestion("Recovery", "Fast retransmit is repairing a loss.").next("Retransmits with cause fast."),
    congestion("Loss", "A retransmission time-out happened; the window begins anew at one segment.")
        .to(Layer::Network)
        .next("Retransmits with cause rto."),
];
