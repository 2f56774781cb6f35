//! RSTs: directions, and the reasons of those that this host sends (`enum sk_rst_reason`, from 6.10).

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn reason(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::ResetReason, word, means)
}

const OWN: &str = "Neither the network nor the peer: this host ended the connection.";
const ANSWER: &str =
    "Not an act of the local application: the kernel answers a segment that does not fit.";
const CLOSE: &str = "__tcp_close() to tcp_send_active_reset().";
const INPUT: &str =
    "tcp_v4_send_reset(), tcp_v6_send_reset() after tcp_rcv_state_process() refused the segment.";
const MPTCP: &str =
    "The reset option of Multipath TCP (RFC 8684, 3.6); the other subflows may live on.";

pub static TABLE: &[Entry] = &[
    Entry::new(
        Kind::Direction,
        "sent",
        "A RST or packet that left this host (or, for a drop, was on its way out).",
    )
    .from("tcp_send_reset tracepoint; for drops, the packet's socket and device.")
    .next("Of a RST: its reason (explain the word beside it), and the owner of the socket."),
    Entry::new(
        Kind::Direction,
        "received",
        "A RST or packet that came in from outside (or, for a drop, was on its way in).",
    )
    .from("tcp_receive_reset tracepoint: the RST passed the sequence checks and ended the connection.")
    .next("Of a RST: how long the flow was idle before; a capture on the other end tells whether the peer or a box in between made it."),
    reason("NOT_SPECIFIED", "The kernel gives no reason for this RST.")
        .from("A path that sets none.")
        .next("The states before and after, and the drop of the segment that it answers."),
    reason("NO_SOCKET", "A segment came for which there is no socket: a closed port, or a connection that is gone.")
        .from("tcp_v4_rcv(), tcp_v6_rcv(): no socket was found.")
        .to(Layer::App)
        .not("Not the network: the segment arrived.")
        .next("Local port of the flow: should somebody listen there? If it was a connection, the other side still believes in it.")
        .worse("A client that reconnects without a pause."),
    reason("TCP_INVALID_ACK_SEQUENCE", "An ACK for something that was never sent, during a handshake.")
        .from(INPUT)
        .to(Layer::Network)
        .not(ANSWER)
        .next("A port that was used again too early, or a box in between that answers for the peer."),
    reason("TCP_RFC7323_PAWS", "A timestamp that is too old, during a handshake.")
        .from(INPUT)
        .to(Layer::Network)
        .not(ANSWER)
        .next("Several hosts behind one address (NAT, load balancer) with clocks of their own."),
    reason("TCP_TOO_OLD_ACK", "An ACK far below what has been acknowledged.")
        .from(INPUT)
        .to(Layer::Network)
        .not(ANSWER)
        .next("An old duplicate, or a port that was used again too early."),
    reason("TCP_ACK_UNSENT_DATA", "An ACK for data that has not been sent yet.")
        .from(INPUT)
        .to(Layer::Peer)
        .not(ANSWER)
        .next("A capture: a box in between that rewrites sequence numbers, or a peer that restarted."),
    reason("TCP_FLAGS", "Flags that do not fit the state: an ACK to a listening socket without a handshake, for one.")
        .from("tcp_rcv_state_process(), by way of tcp_v4_send_reset().")
        .to(Layer::Peer)
        .not(ANSWER)
        .next("The service was restarted, or a SYN cookie did not match: the other side believes in a connection that is not there."),
    reason("TCP_OLD_ACK", "An old ACK, during a handshake.")
        .from(INPUT)
        .to(Layer::Network)
        .not(ANSWER)
        .next("An old duplicate, or a port that was used again too early."),
    reason("TCP_ABORT_ON_DATA", "Data came for a socket that was already closed by the application.")
        .from("tcp_rcv_state_process() in the FIN_WAIT states (counter TCPAbortOnData).")
        .to(Layer::App)
        .not(OWN)
        .next("Does the local application close before the peer has said everything? On purpose (a health check), or after a time-out?")
        .worse("Shorter time-outs on this side: the peer sees ECONNRESET."),
    reason(
        "TCP_TIMEWAIT_SOCKET",
        "Data (or another segment that does not fit) came for a connection that the local application has closed and \
         that is only kept as FIN_WAIT2 or TIME_WAIT.",
    )
    .from("tcp_timewait_state_process().")
    .to(Layer::App)
    .not(OWN)
    .next(
        "Does the local application close before the peer has said everything? On purpose (a health check), or after a \
         time-out? If it never does: a NAT that uses ports again early.",
    )
    .worse("Shorter time-outs on this side: the peer sees ECONNRESET or EPIPE."),
    reason("INVALID_SYN", "A SYN (or RST) came inside a handshake that does not belong to it.")
        .from("tcp_check_req() (counter EmbryonicRsts).")
        .to(Layer::Network)
        .not(ANSWER)
        .next("Ports used again early by a NAT, or a client that restarted."),
    reason("TCP_ABORT_ON_CLOSE", "The local application closed the socket while received data was still unread.")
        .from(CLOSE)
        .to(Layer::App)
        .not(OWN)
        .next("The owner: does it close on an error or a time-out of its own, without reading to the end? Counter TCPAbortOnClose.")
        .worse("Larger receive buffers: more is unread at close."),
    reason("TCP_ABORT_ON_LINGER", "The closed socket does not wait for the peer's FIN (TCP_LINGER2 below 0).")
        .from(CLOSE)
        .to(Layer::App)
        .not(OWN)
        .next("The owner's socket options. Counter TCPAbortOnLinger."),
    reason("TCP_ABORT_ON_MEMORY", "The kernel gave up a closed connection: too many orphans, or TCP memory ran out.")
        .from("tcp_check_oom() in __tcp_close() and tcp_out_of_resources().")
        .to(Layer::Kernel)
        .not("Not the network and not the peer.")
        .next("orphans and mem in the sockstat samples, against net.ipv4.tcp_max_orphans and tcp_mem.")
        .worse("Larger socket buffers."),
    reason(
        "TCP_STATE",
        "The connection was broken off on this host: a close with SO_LINGER 0, a disconnect, or a socket that was \
         destroyed from outside (ss -K).",
    )
    .from("tcp_disconnect(), tcp_abort(), and timers of closed sockets.")
    .to(Layer::App)
    .not(OWN)
    .next("The owner: SO_LINGER with 0 is often on purpose (proxies, health checks). ECONNABORTED on a send beside it: ss -K or the like.")
    .worse("Using SO_LINGER 0 to get rid of TIME_WAIT: data in flight is thrown away."),
    reason("TCP_KEEPALIVE_TIMEOUT", "The keepalive probes were not answered, and the kernel gave up.")
        .from("tcp_keepalive_timer(); TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, or TCP_USER_TIMEOUT.")
        .to(Layer::Network)
        .not("Not the local application: it was idle.")
        .next("Is the peer's host gone, or did a firewall forget the idle connection? Do others to the same host live?")
        .worse("Longer keepalive intervals than the firewall's idle time."),
    reason("TCP_DISCONNECT_WITH_DATA", "The application disconnected while data was not yet sent, and the FIN was already on its way.")
        .from("tcp_disconnect() in CLOSING or LAST_ACK.")
        .to(Layer::App)
        .not(OWN)
        .next("The owner: why it disconnects before its data is acknowledged."),
    reason("MPTCP_RST_EUNSPEC", "Multipath TCP: a subflow ended, no reason given.").from(MPTCP),
    reason("MPTCP_RST_EMPTCP", "Multipath TCP: the options of a subflow were wrong.").from(MPTCP),
    reason("MPTCP_RST_ERESOURCE", "Multipath TCP: no resources for one more subflow.").from(MPTCP),
    reason("MPTCP_RST_EPROHIBIT", "Multipath TCP: the policy forbids this subflow.").from(MPTCP),
    reason("MPTCP_RST_EWQ2BIG", "Multipath TCP: too much outstanding data on this subflow.").from(MPTCP),
    reason("MPTCP_RST_EBADPERF", "Multipath TCP: this subflow was too slow.").from(MPTCP),
    reason("MPTCP_RST_EMIDDLEBOX", "Multipath TCP: a box in between changed the packets (a checksum did not match).").from(MPTCP),
    reason("ERROR", "An error inside the kernel while the RST was decided.")
        .from("A path that should not be taken.")
        .next("The kernel log."),
];
