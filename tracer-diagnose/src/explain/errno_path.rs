//! Errnos that tell of the peer, the path or the connection.
//!
//! Read in net/ipv4 (tcp.c, tcp_input.c, tcp_timer.c, udp.c, icmp.c, route.c), net/ipv6/icmp.c, net/unix/af_unix.c,
//! net/netlink/af_netlink.c, net/can/isotp.c; most of them provoked on a real socket (tests/scenarios/tests/errno).

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn errno(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Errno, word, means)
}

pub static TABLE: &[Entry] = &[
    errno(
        "ECOMM",
        "Communication error on send. The kernel's IP stack never says this: no TCP, UDP, raw, unix, packet or \
         netlink socket returns it by itself. On such a socket, something else on this host answered for the send.",
    )
    .from(
        "Sockets that do return it: CAN ISO-TP (isotp_tx_timer_handler() and its kin: no flow control frame, or no \
         echo of the own frame, in time); Bluetooth L2CAP with reliable delivery asked for (l2cap_recv_acldata(): a \
         damaged frame); DCCP (no longer in 7.3). On any other socket: a BPF program on the cgroup that sets the \
         return value (sendmsg4, sendmsg6: unconnected UDP), a BPF LSM, or a BPF program that replaces the result of \
         a kernel function (fmod_ret).",
    )
    .to(Layer::Kernel)
    .not(
        "Not the network and not the peer, on an IP socket: no loss, time-out, reset or ICMP message becomes ECOMM. \
         Those end as ETIMEDOUT, ECONNRESET, EPIPE, EHOSTUNREACH or ECONNREFUSED. (On CAN ISO-TP it is the other \
         node that did not answer.)",
    )
    .next(
        "flow.proto of the event. IP or unix: bpftool cgroup tree, bpftool prog list (types cgroup_sock_addr, lsm, \
         tracing), and who loaded them when. can: is the other node up, and do the ids of both sides match? No event \
         at all while the application logs 70: then no socket send returned it. What remains is seccomp (it answers \
         before the socket), a write to a file (FUSE, 9p), or a library that gives its own errors this number.",
    )
    .worse(
        "Retries: each one is refused at the same place at once, and hides the time of the first. Larger buffers and \
         longer time-outs change nothing.",
    ),
    errno(
        "EPIPE",
        "The connection is over for sending. On a stream socket the process gets SIGPIPE too, unless \
         MSG_NOSIGNAL was given.",
    )
    .from(
        "TCP: tcp_sendmsg_locked() and sk_stream_error(): this side has shut down sending, the socket was never \
         connected (TCP says EPIPE, not ENOTCONN), or an earlier error (ECONNRESET, ETIMEDOUT) was already handed \
         out, since a socket's error is told once. A RST after the peer's FIN (state CLOSE_WAIT) is EPIPE at once \
         (tcp_reset()). Unix stream: unix_stream_sendmsg(): the other end is closed.",
    )
    .to(Layer::App)
    .not(
        "Not the network as such: nothing was sent, and nothing was lost by this call. Whether the peer or the \
         network ended the connection is told by what came before it.",
    )
    .next(
        "The first reset, connection or send_error event of the same flow.socket, before the EPIPE. None: the \
         application closed or shut down itself, or never connected.",
    )
    .worse("Writing on: the connection does not come back. Ignoring SIGPIPE without looking at the result."),
    errno(
        "ECONNRESET",
        "The connection was reset: a RST came in. Told once; later sends get EPIPE.",
    )
    .from(
        "TCP: tcp_reset() on a RST that passes the sequence checks sets sk_err, and the next send hands it out. Also \
         after an own disconnect (tcp_disconnect()). Unix seqpacket and datagram: the other end was closed with \
         unread data, or was connected to somebody else (unix_release_sock(), unix_dgram_disconnected()).",
    )
    .to(Layer::Peer)
    .not(
        "Not congestion and not loss: a RST was delivered, so the path works in that direction. Not this host's \
         kernel.",
    )
    .next(
        "The reset event just before it, and how long the connection had been idle (tcp.last_send_us_ago, \
         last_ack_us_ago): after minutes of silence, a firewall or load balancer that forgot the connection. At once \
         after a request: the peer crashed, closed with unread data, or was restarted. A capture on both ends tells \
         who made the RST.",
    )
    .worse(
        "Reconnecting at once and all together. Repeating a request that is not safe to repeat: it may have been \
         carried out.",
    ),
    errno(
        "ECONNREFUSED",
        "Somebody said no: nobody listens there. On a datagram socket it tells of an earlier datagram, not of this one.",
    )
    .from(
        "TCP with fast open, and connect: tcp_reset() in SYN_SENT: the SYN was answered with RST. UDP: ICMP port \
         unreachable (udp_err(); on connected sockets, or with IP_RECVERR), handed out by the next call. Unix: \
         unix_find_other(): the path exists, but no process has the socket open; unix_dgram_sendmsg(): the \
         receiver that it was connected to is gone. Netlink: netlink_getsockbyportid() \
         or no such protocol: nobody with that port.",
    )
    .to(Layer::Peer)
    .not("Not the path: the packet arrived, and the answer came back. Not loss, and not this host's buffers.")
    .next(
        "On the destination: does the service listen on that address and port (ss -ltnu)? If it does: a firewall \
         that rejects (RST or ICMP), on the way or on this host.",
    )
    .worse("Retrying without a pause: every attempt is answered at once. Longer time-outs change nothing."),
    errno(
        "ETIMEDOUT",
        "Nothing was acknowledged for so long that TCP gave up. What was in flight may or may not have arrived.",
    )
    .from(
        "tcp_write_timeout() and tcp_write_err() after net.ipv4.tcp_retries2 time-outs in a row (15: about 15 \
         minutes), or after TCP_USER_TIMEOUT; tcp_keepalive_timer() when probes stay unanswered; for a connect after \
         tcp_syn_retries. If an ICMP error was seen meanwhile, that errno is given instead.",
    )
    .to(Layer::Network)
    .not(
        "Not a refusal: nobody answered at all. Not this host's queues, as long as the retransmits were sent \
         (outcome `sent`).",
    )
    .next(
        "The retransmits of that flow: when the last ACK came (tcp.last_ack_us_ago), whether their outcome was \
         `sent`, and whether other destinations work. Then a capture beyond the first hop: does it arrive, does the \
         answer return?",
    )
    .worse(
        "Raising tcp_retries2: the failure is only told later. Retrying on the same connection: its time-out has \
         doubled up to 2 minutes.",
    ),
    errno(
        "ECONNABORTED",
        "The connection was ended on this host, from outside the process.",
    )
    .from(
        "tcp_abort(): an administrator or a program destroyed the socket (ss -K, the sock_destroy of a BPF program), \
         or, in repair mode, tcp_disconnect().",
    )
    .to(Layer::Kernel)
    .not("Neither the network nor the peer: the peer was sent a RST by this host.")
    .next("Who runs ss -K, or a service mesh or address change that kills sockets; the RST that was sent (reset, TCP_STATE)."),
    errno(
        "EHOSTUNREACH",
        "The destination (or the next hop) cannot be reached: a route says so, a neighbour does not answer, or a \
         router reported it.",
    )
    .from(
        "A route of type unreachable (fib_props, RTN_UNREACHABLE). ARP or neighbour discovery failed \
         (ipv4_link_failure(), ip6_link_failure() answer with an ICMP message to this host itself). ICMP from \
         outside: host unreachable, administratively filtered, or time exceeded (icmp_err_convert[], \
         icmpv6_err_convert()). TCP keeps it as a soft error and gives it instead of ETIMEDOUT (tcp_write_err()); UDP \
         hands out most of these with IP_RECVERR only.",
    )
    .to(Layer::Network)
    .not("Not the application on the other side, and not full buffers: nothing got that far.")
    .next(
        "ip route get ADDRESS; ip neigh: FAILED or INCOMPLETE for the next hop points to the local segment, \
         REACHABLE to a router further on. Drops NEIGH_FAILED on this host say the same.",
    )
    .worse("Retrying faster than the neighbour table does: packets pile up and are dropped (NEIGH_QUEUEFULL)."),
    errno("ENETUNREACH", "There is no route to the destination.")
        .from(
            "fib_lookup() and ip_route_output_key_hash_rcu(): no route fits, or the source address that the socket is \
             bound to is not on this host any more (kernels differ: EINVAL or ENETUNREACH), or its interface is down. \
             ip6_null_entry for IPv6. Or ICMP network unreachable from a router.",
        )
        .to(Layer::Kernel)
        .not("Not the peer: nothing left this host, unless a router reported it.")
        .next(
            "ip route get ADDRESS [from SOURCE]: what it says is what the send got. Then what changed: links, \
             addresses and routes are in the trace as changes (replay --samples).",
        )
        .worse("Retrying without a pause: nothing will change until a route comes back."),
    errno("ENETDOWN", "The interface is down.")
        .from(
            "packet_snd() and can_send() when the interface is not up; packet_notifier() when it went down under an \
             open socket; __dev_queue_xmit() for an interface without a queue.",
        )
        .to(Layer::Nic)
        .not("Not the path behind the interface, and not the peer.")
        .next("ip -s link show dev INTERFACE; link changes in the trace; the driver's words in the kernel log.")
        .worse("Setting the link down and up again in a loop while it negotiates."),
    errno("EHOSTDOWN", "A router says that the destination host is unknown.")
        .from("ICMP host unknown (icmp_err_convert[]); few routers send it. For the rest as EHOSTUNREACH.")
        .to(Layer::Network)
        .not("Not this host: the message came from outside.")
        .next("Which router sent the ICMP message (a capture), and its route and neighbour table."),
    errno("ENONET", "A router says that this host is isolated (an obsolete ICMP code).")
        .from("ICMP source host isolated (icmp_err_convert[]).")
        .to(Layer::Network)
        .not("Not this host: the message came from outside.")
        .next("Who sent that ICMP message (a capture): nothing in use today should."),
    errno(
        "ENOPROTOOPT",
        "The other host does not speak this protocol: it answered ICMP protocol unreachable.",
    )
    .from("icmp_err_convert[], handed out by the next call on the socket.")
    .to(Layer::Peer)
    .not("Not the path: the packet arrived and was answered.")
    .next("Does the destination have that protocol (module loaded, service running), or does a firewall answer so?"),
    errno("EPROTO", "A header was not understood.")
        .from(
            "ICMP parameter problem for an earlier packet (udp_err(), tcp_v4_err(), icmpv6_err_convert()), handed out \
             by the next call.",
        )
        .to(Layer::Network)
        .not("Not this host's buffers or routes.")
        .next("Which router or host sent it (a capture), and which IP options or extension headers the packets carry."),
    errno(
        "ENOTCONN",
        "The socket has no peer, and no destination was given.",
    )
    .from(
        "Unix: unix_stream_sendmsg(), unix_dgram_sendmsg(), unix_seqpacket_sendmsg(). TCP does not say this: a TCP \
         socket that is not connected answers EPIPE; UDP answers EDESTADDRREQ.",
    )
    .to(Layer::App)
    .not("Not the network: nothing was tried.")
    .next("Did connect fail before, with its result not looked at? Was a closed descriptor's number used again?")
    .worse("Retrying on the same socket: it stays without a peer."),
    errno(
        "EDESTADDRREQ",
        "A datagram socket that is not connected, and no destination was given.",
    )
    .from("udp_sendmsg(), udpv6_sendmsg(), raw_sendmsg(), ping_v4_sendmsg() without an address.")
    .to(Layer::App)
    .not("Not the network: nothing was tried.")
    .next("The application's address, perhaps empty after a failed name look-up; and its connect, if it makes one.")
    .worse("Retrying: without an address every send fails the same way."),
];
