//! Event kinds, what is counted instead of listed, the totals, and where events can be lost.

use super::entry::{Entry, Kind};

const fn event_kind(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Event, word, means)
}

const fn counted(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::CountedKind, word, means)
}

const fn counter(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Counter, word, means)
}

const fn lost(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::LostWhere, word, means)
}

pub static TABLE: &[Entry] = &[
    event_kind("retransmit", "TCP sent something again, or tried to.")
        .from("Tracepoints tcp_retransmit_skb and tcp_retransmit_synack.")
        .not("It does not say that the network lost something: the ACK may be lost or late. A few of cause fast are normal.")
        .next("cause (rto, fast, tlp, syn, synack, mtu) and outcome (sent, or why not): explain each."),
    event_kind("send_error", "A send returned an error to its caller.")
        .from("Tracepoint sock_send_length; before 6.3, the sendmsg functions of the protocols.")
        .not("It does not say that this send is at fault: sockets hand out the error of an earlier packet.")
        .next("The errno: explain it by its name."),
    event_kind("drop", "The kernel freed a packet of a local socket before it was delivered.")
        .from("Tracepoint kfree_skb.")
        .not("Loss on the path is not in it: this is this host only.")
        .next("reason (explain it) and location; for retransmitted data, whether the retransmit got through."),
    event_kind("device", "A driver did not take a packet, or a transmit queue is stuck.")
        .from("Tracepoints net_dev_xmit and net_dev_xmit_timeout.")
        .next("name: NETDEV_TX_BUSY is a requeue and no loss; TRANSMIT_TIMEOUT is a stuck device."),
    event_kind("reset", "A TCP RST left this host or came in.")
        .from("Tracepoints tcp_send_reset and tcp_receive_reset.")
        .not("Not every RST is a fault: many applications end connections so on purpose.")
        .next("direction; for those sent, the reason (explain it)."),
    event_kind("connection", "A TCP connection that never came to be, or that died of an error.")
        .from("Tracepoint inet_sock_set_state, the step to CLOSE.")
        .not("An orderly close is no event; nor is a connect that fails before its SYN (no route).")
        .next("The state before, and the errno."),
    event_kind("send", "A send that took some bytes, or all: no failure. Off unless asked for (--event send).")
        .from("As send_error.")
        .next("sent_bytes below requested_bytes: a partial send."),
    event_kind("waiting", "A socket that waits although nothing failed: for the peer, for the network, or for the process that holds it.")
        .from("A walk over all open sockets, each interval of --samples; said from --waiting on, again when the time has doubled, and at the end.")
        .not("Waits that begin and end between two walks are not seen; a time that no clock of the socket keeps is counted from the first walk that saw it.")
        .next("why: peer_window, accept_queue and unread are about a process that does not read; unacknowledged and syn_sent about the path."),
    event_kind("blocked", "A send that returned without an error after it was blocked for long.")
        .from("fexit programs of sk_stream_wait_memory and its like, where the host allows them.")
        .not("It does not say what it waited for: see waiting events of the same socket.")
        .next("blocked_us; the socket's peer window, and whether something was retransmitted."),
    event_kind("lost", "Events of this run that did not reach you. Conclusions that would need them say so.")
        .from("sendtrace itself, once a second while it happens.")
        .next("where: explain ring, rate_limit, disk or decode. A larger --ring, or a lower --rate, which counts instead of listing.")
        .worse("A reader that does not read (a pager)."),
    counted("would_block", "Sends on non-blocking sockets that returned EAGAIN. Normal life, so counted; --would-block lists them.")
        .from("As send_error, with EAGAIN.")
        .not("No layer by itself; see EAGAIN.")
        .next("The same flow's retransmits and peer_window_bytes, if the count is large for the bytes that went through."),
    counted("partial_send", "Sends of which the kernel took a part; bytes is what was not taken.")
        .from("The result of a send on a stream socket, against what was asked.")
        .not("No error: the caller has to send the rest.")
        .next("A send buffer that is small for the rate, or a peer that reads slowly."),
    counted("no_local_socket", "Dropped packets that belong to no socket of this host: forwarded ones, noise, broadcasts. Counted by reason.")
        .from("kfree_skb without a local socket.")
        .next("The reason; on a router or container host it may be somebody's loss."),
    counted("beyond_map", "Events of flows that found no place in the aggregation map; counted without their flow.")
        .from("sendtrace: 8192 flows per map.")
        .next("A filter (--port, --remote) to watch fewer flows."),
    counted("benign", "Packets that were freed with nothing lost: duplicates and what was merely consumed. Counted by reason.")
        .from("kfree_skb with a reason such as TCP_OLD_DATA.")
        .next("Many duplicates on a receiver: its peer retransmits without need."),
    counted("aggregated", "Events that a replay adds up because it was asked to (--aggregate).")
        .from("sendtrace replay.")
        .next("Without --aggregate each is listed."),
    counter("seen", "Events that the hooks saw, on the whole host. seen = filtered + emitted + aggregated.").from("Counted in the kernel."),
    counter("filtered", "Events that a filter removed.").from("Counted in the kernel, and in user space where only that could decide."),
    counter("emitted", "Events for which a place in the ring was asked. emitted = delivered + lost.").from("Counted in the kernel."),
    counter("aggregated", "Events that were counted per flow or code instead of listed.").from("Counted in the kernel."),
    counter("delivered", "Events that came out of the ring.").from("Counted by the reader, on its own."),
    counter("lost", "Events for which the ring had no room, or that could not be decoded.")
        .from("Counted in the kernel, and in user space.")
        .next("A larger --ring; explain ring."),
    counter(
        "missed",
        "Runs of the hooks that the kernel skipped: the program already ran on that CPU, or (since 7.0) another task \
         was preempted in it. In none of the other counters.",
    )
    .from("The kernel's own count (recursion_misses, 5.12 and later).")
    .next("A few do not matter. Many: what was not seen can be more than what was."),
    lost("ring", "The ring between kernel and sendtrace was full.").next("A larger --ring, a lower --rate, a filter; or a reader that reads."),
    lost("rate_limit", "Over the rate limit, and not even counted per flow.").next("A filter, or a higher --rate."),
    lost("disk", "The trace could not be written: the disk was full or too slow.").next("Room on the disk; --rotate-size with --keep-size or --min-free."),
    lost("decode", "Bytes that make no record.").next("This is a defect of sendtrace, or of the trace file: sendtrace info shows damage."),
];
