//! Retransmits: causes, outcomes, triggers. What tells them apart is in docs/events.md.

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn cause(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::RetransmitCause, word, means)
}

const fn outcome(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::RetransmitOutcome, word, means)
}

pub static TABLE: &[Entry] = &[
    cause(
        "rto",
        "The retransmission timer ran out: no ACK came for srtt and a margin, at least 200 ms. The window shrinks to \
         one segment and the time-out doubles each time. Also the retransmits that follow it, driven by ACKs.",
    )
    .from("tcp_retransmit_timer() and, afterwards, tcp_xmit_retransmit_queue() in the state Loss (RFC 6298).")
    .to(Layer::Network)
    .not(
        "Not the application. Not this host's queues while the outcome is `sent`; with EBUSY or NET_XMIT_DROP it is \
         just that.",
    )
    .next(
        "attempt and tcp.last_ack_us_ago: one time-out and an ACK soon after is loss or a delay spike; attempt 3 and \
         more without any ACK is a dead path or peer. Do other destinations time out too? Then look close to this \
         host. Only large segments (tcp.mss_bytes)? Then the path MTU.",
    )
    .worse("Retries by the application on top: each starts its own series. A lower minimum time-out on a path that jitters."),
    cause(
        "fast",
        "Fast retransmit: later data was acknowledged and this was not. The connection keeps moving.",
    )
    .from("tcp_xmit_retransmit_queue() in the state Recovery: duplicate ACKs, SACK, RACK (RFC 5681, 6675, 8985).")
    .to(Layer::Network)
    .not("Not a dead path and not a dead peer: ACKs come in. At a low rate not a fault at all: this is how TCP finds its rate.")
    .next(
        "The rate against all segments sent, per destination. If the receiver reports duplicates (TCPDSACKRecv \
         grows), the path reorders, and nothing was lost.",
    )
    .worse("Many connections in parallel over the same full link."),
    cause(
        "tlp",
        "Tail loss probe: the last segment of a burst got no ACK for about two round trips, so it (or new data) is \
         sent once more to find out. Not yet a loss.",
    )
    .from("tcp_send_loss_probe() (RFC 8985, section 7).")
    .not("No layer by itself: the ACK may only be late. What follows tells: nothing (late), fast (one loss), rto (silence).")
    .next("Is it followed by rto on the same flow? If probes are frequent and nothing follows, the receiver delays its ACKs.")
    .worse("Nothing that is usual: the probe is one segment."),
    cause("syn", "The SYN of a connect was not answered, and sent again.")
        .from("tcp_retransmit_timer() in SYN_SENT; 1 s, 2 s, 4 s… (net.ipv4.tcp_syn_retries).")
        .to(Layer::Network)
        .not("Not a refusal: a closed port answers at once with RST. Not slow data: nothing has been sent yet.")
        .next(
            "Is every connect to that address unanswered (route, firewall, dead host), or some (loss; or a listener \
             whose queue is full, which drops SYNs silently)? `connection` SYN_SENT to CLOSE follows when it gives up.",
        )
        .worse("More connects at once: a full listen queue stays full."),
    cause("synack", "A listener of this host repeats its SYN-ACK: the client's last ACK did not come.")
        .from("tcp_rtx_synack(); net.ipv4.tcp_synack_retries.")
        .to(Layer::Network)
        .not("Not the listening application: it has not been asked yet.")
        .next(
            "From many addresses that never answer: a SYN flood or a scan. From one: the way back to it. If data was \
             sent by the client and the accept queue is full (ListenOverflows), the application accepts too slowly.",
        )
        .worse("A longer backlog under a flood."),
    cause("mtu", "The path's MTU shrank: a router said so, and what was too large is sent again in smaller pieces.")
        .from("tcp_v4_mtu_reduced(), tcp_v6_mtu_reduced() to tcp_simple_retransmit(); MTU probing that failed does the same.")
        .to(Layer::Network)
        .not("Not congestion: the window is not made smaller for it. Not a fault if it happens once per path.")
        .next("Over and over towards one destination: two paths with different MTUs, or a tunnel. ip route get ADDRESS shows the MTU that is kept.")
        .worse("Filtering ICMP: without the message large segments vanish, and that is a black hole."),
    cause("unknown", "The socket's state fits none of the known ways to a retransmit.")
        .from("For one, data of a fast open SYN that the peer did not take. The table of states is in docs/events.md.")
        .not("No layer: it is not guessed.")
        .next("The other retransmits of the flow; a few unknown among many known ones do not matter."),
    outcome("sent", "It went to the device or its queue. Whether it reached the wire is up to the driver.")
        .from("__tcp_retransmit_skb() returned 0. Before 6.17 the tracepoint fires for successes only, so it is always this.")
        .not("It says nothing about loss on the path.")
        .next("The cause of the retransmit."),
    outcome(
        "EBUSY",
        "Not sent: the first copy of the packet is still in a queue of this host.",
    )
    .from("skb_still_in_host_queue() in __tcp_retransmit_skb().")
    .to(Layer::Kernel)
    .not("Not the network: that copy has not left yet, so it cannot have been lost out there.")
    .next("tc -s qdisc show (backlog), the driver's transmit queue, pacing; a time-out shorter than the delay of the own queue.")
    .worse("A longer queue: more time-outs before the first copy leaves."),
    outcome("NET_XMIT_DROP", "Not sent: a queue of this host dropped it.")
        .from("The qdisc of the interface; tcp_transmit_skb() passes its answer on (from 6.17 on).")
        .to(Layer::Kernel)
        .not("Not the network: the packet did not leave this host.")
        .next("The drop of the same flow (QDISC_DROP or QDISC:N); tc -s qdisc show: limit, backlog, dropped.")
        .worse("Sending more through the same queue; a shaper below the rate that the application needs."),
    outcome("NET_XMIT_CN", "Sent, but a queue of this host signalled congestion.")
        .from("A qdisc that dropped another packet of the same kind; TCP slows down and counts its own as sent.")
        .to(Layer::Kernel)
        .not("Not a loss of this packet.")
        .next("tc -s qdisc show: what is configured there, and how long the queue is."),
    outcome("EAGAIN", "Not sent: it lies beyond the window that the peer offers.")
        .from("__tcp_retransmit_skb(): the peer has shrunk its window.")
        .to(Layer::Peer)
        .not("Not the network.")
        .next("tcp.peer_window_bytes: the peer does not read, or is short of memory."),
    outcome("EHOSTUNREACH", "Not sent: there is no route to the peer any more.")
        .from("__tcp_retransmit_skb(): rebuilding the route failed (inet_sk_rebuild_header(), inet6_sk_rebuild_header()).")
        .to(Layer::Kernel)
        .not("Not the peer: nothing left this host.")
        .next("ip route get ADDRESS; link, address and route changes in the trace."),
    outcome("EPERM", "Not sent: a rule of this host dropped it.")
        .from("Netfilter (nf_hook_slow()) or a BPF program on the cgroup, below tcp_transmit_skb().")
        .to(Layer::Kernel)
        .not("Not the network, though the application sees the same stall as with loss.")
        .next("The drop of the same flow: NETFILTER_DROP or BPF_CGROUP_EGRESS; then the ruleset.")
        .worse("Longer time-outs: the rule stays."),
    outcome("ENOBUFS", "Not sent: no memory for a copy of the packet.")
        .from("__tcp_retransmit_skb(), __tcp_transmit_skb(): the copy or clone failed.")
        .to(Layer::Kernel)
        .not("Not the network.")
        .next("Memory of the host; allocation failures in the kernel log."),
    outcome("ENOMEM", "Not sent: no memory to split or unshare the packet.")
        .from("tcp_fragment() and skb_unclone() in __tcp_retransmit_skb().")
        .to(Layer::Kernel)
        .not("Not the network.")
        .next("Memory of the host; allocation failures in the kernel log."),
    Entry::new(Kind::RetransmitTrigger, "timer", "A timer ran out: rto, syn, synack or tlp.")
        .from("The write timer of the socket: icsk_pending at the event.")
        .next("attempt: how often in a row."),
    Entry::new(
        Kind::RetransmitTrigger,
        "ack",
        "No timer: an ACK came in (fast, or the recovery after a time-out), an ICMP message (mtu), or the client's \
         SYN once more (synack).",
    )
    .from("tcp_ack() and what it calls.")
    .next("The cause of the retransmit."),
];
