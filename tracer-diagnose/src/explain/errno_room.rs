//! Errnos that tell of room, time, size and permission on this host.

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn errno(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Errno, word, means)
}

pub static TABLE: &[Entry] = &[
    errno(
        "EAGAIN",
        "No room just now, and the caller did not want to wait (or SO_SNDTIMEO ran out). The same number as \
         EWOULDBLOCK. Normal life of a non-blocking socket: counted as would_block, not listed.",
    )
    .from(
        "TCP: sk_stream_wait_memory(): the send queue is full, since the peer or the path does not drain it; \
         sk_stream_wait_connect() while connecting. UDP, raw, packet: sock_alloc_send_pskb(): the send buffer is full \
         of packets still in this host's queues; inet_autobind(): no free local port. Unix datagram: the receiver's \
         queue is full (unix_dgram_sendmsg(), net.unix.max_dgram_qlen); unix stream: the receiver does not read. \
         Netlink: netlink_attachskb(): the receiver's buffer is full.",
    )
    .not(
        "No layer by itself. It does not say that anything was lost, and it is no network error: only how long it \
         lasts, and what else happens on the flow, tells who is slow.",
    )
    .next(
        "The flow beside it: retransmits (network), peer_window_bytes near 0 (the peer does not read), an empty send \
         queue (a send buffer that is small for the rate). How much was refused: would_block and partial_send in the \
         counted rows.",
    )
    .worse(
        "Retrying in a tight loop: it burns the CPU that would drain the queue. Wait until the socket is writable \
         (poll, epoll). Larger send buffers hide a slow peer and delay the news.",
    ),
    errno(
        "ENOBUFS",
        "A queue or a buffer of this host was full, or kernel memory could not be had.",
    )
    .from(
        "net_xmit_errno(): the device's queue (qdisc) dropped the packet. UDP and raw tell it with IP_RECVERR only \
         (udp_send_skb(), without it the send succeeds and SndbufErrors counts); packet sockets (packet_snd()) and \
         CAN (can_send()) always. Zero-copy TCP: msg_zerocopy_realloc(). Memory for the packet: \
         sock_alloc_send_pskb(), __ip_append_data(), netlink_sendmsg().",
    )
    .to(Layer::Kernel)
    .not("Not the peer and not the path: the packet never left this host.")
    .next(
        "Drops with QDISC_DROP (or QDISC:N) at the same time; tc -s qdisc show dev INTERFACE (dropped, backlog); on \
         CAN the transmit queue (txqueuelen) and whether the bus acknowledges. No drops: memory.",
    )
    .worse("Sending faster, or retrying at once: the queue is full of the same traffic. A queue ten times longer turns loss into delay."),
    errno(
        "EMSGSIZE",
        "The message is larger than this socket, protocol or path takes in one piece.",
    )
    .from(
        "UDP: udp_sendmsg(): above 65 535 bytes; ip_append_data(), ip6_append_data(): with IP_MTU_DISCOVER set to DO \
         or PROBE above the MTU; udp_send_skb(): a GSO segment above it. An ICMP \
         `fragmentation needed` for an earlier datagram. Raw: raw_send_hdrinc(). Packet: packet_snd(): above the \
         interface's MTU. Unix datagram and netlink: above the send buffer less 32 bytes.",
    )
    .to(Layer::App)
    .not("Not loss and not congestion: it is refused before anything is sent. TCP never says it to a sender of data.")
    .next(
        "requested_bytes of the event against the MTU of the route (ip route get ADDRESS shows a cached mtu). Was the \
         path's MTU lowered (tunnel, VPN) shortly before?",
    )
    .worse("Retrying with the same size. Forbidding fragmentation without handling the answer."),
    errno(
        "ENOMEM",
        "Kernel memory could not be had.",
    )
    .from(
        "Page fragments in __ip_append_data(); copies for control messages and large netlink messages. TCP rather \
         waits for memory (sk_stream_wait_memory()), and then says EAGAIN.",
    )
    .to(Layer::Kernel)
    .not("Not the network and not the peer.")
    .next("Memory of the cgroup and of the host; net.ipv4.tcp_mem and udp_mem against `mem` in the sockstat samples.")
    .worse("Larger socket buffers for everybody: they are the memory that is missing."),
    errno(
        "ERESTARTSYS",
        "Internal to the kernel (512): a signal interrupted a send that was waiting. The application sees EINTR, or \
         nothing at all when the call is restarted (SA_RESTART).",
    )
    .from(
        "sock_intr_errno() in sk_stream_wait_memory(), sock_alloc_send_pskb() and the waits of unix and netlink, when \
         no SO_SNDTIMEO is set; with one it is EINTR. A traced send ends before the kernel translates it.",
    )
    .not("No network layer: the signal came from this host. But the send was waiting, so something was not draining.")
    .next("Why it waited: the other events of the flow. Who signals: timers of the runtime, a watchdog, a shutdown.")
    .worse("A watchdog that signals ever more often: each time the wait begins anew."),
    errno(
        "EINTR",
        "A signal interrupted a send that was waiting, before anything was taken.",
    )
    .from(
        "sock_intr_errno() when SO_SNDTIMEO is set; without one it shows here as ERESTARTSYS.",
    )
    .not("No network layer: the signal came from this host. But the send was waiting, so something was not draining.")
    .next("Why it waited: the other events of the flow. Who signals, and whether the application calls again.")
    .worse("Taking EINTR for a broken connection, and reconnecting."),
    errno(
        "EPERM",
        "A rule of this host forbids it.",
    )
    .from(
        "Netfilter: a DROP or REJECT in OUTPUT or POSTROUTING (nf_hook_slow()), for UDP, raw and the like. A BPF \
         program on the cgroup: __cgroup_bpf_run_filter_skb() (egress), sendmsg4, sendmsg6. Unix datagram: the \
         receiver is connected to somebody else (unix_may_send()). Netlink: multicast without the right. A security \
         module. TCP is not told of a dropped segment: there it looks like loss (retransmits with outcome EPERM from \
         6.17 on).",
    )
    .to(Layer::Kernel)
    .not("Not the network and not the peer: the packet did not leave this host.")
    .next(
        "Drops of the same flow: NETFILTER_DROP, BPF_CGROUP_EGRESS, SECURITY_HOOK. Then nft list ruleset, iptables-save \
         (its counters), bpftool cgroup tree.",
    )
    .worse("Retrying: the rule stays. Switching the firewall off to see whether it helps."),
    errno(
        "EACCES",
        "Not allowed: by a route, a security module, a file permission, or a missing SO_BROADCAST.",
    )
    .from(
        "udp_sendmsg(), raw_sendmsg(): a broadcast address without SO_BROADCAST. A route of type prohibit \
         (fib_props). ICMPv6 administratively prohibited. A security module such as SELinux \
         (security_socket_sendmsg()). Unix datagram: no write permission on the path.",
    )
    .to(Layer::Kernel)
    .not("Not loss. Not the peer, unless ICMPv6 brought it.")
    .next(
        "Is the destination a broadcast address (perhaps a wrong netmask)? ip route get ADDRESS (prohibit); the audit \
         log for denials; ls -l of the unix path.",
    )
    .worse("Setting SO_BROADCAST without knowing why the address is one."),
    errno(
        "EADDRNOTAVAIL",
        "No usable source address, or the socket is not bound to one.",
    )
    .from(
        "IPv6: ipv6_dev_get_saddr() by way of ip6_dst_lookup_tail(). CAN ISO-TP: isotp_sendmsg() on a socket that is \
         not bound. A connect without a free local port says it too (inet_hash_connect()); a UDP send without one \
         says EAGAIN.",
    )
    .to(Layer::Kernel)
    .not("Not the peer and not the path.")
    .next(
        "ip addr: has the interface an address of that family, and not a tentative one? For connects: ss -s \
         (timewait), net.ipv4.ip_local_port_range.",
    )
    .worse("More connections to the same destination, each with a port of its own."),
    errno("ENODEV", "The interface that the socket is bound to, or that was named, does not exist.")
        .from(
            "ip_route_output_key_hash_rcu() with SO_BINDTODEVICE or IP_PKTINFO to an interface that is gone; \
             ip6_datagram_send_ctl(); packet_sendmsg_spkt().",
        )
        .to(Layer::Kernel)
        .not("Not the path and not the peer.")
        .next("Link changes in the trace: was the interface deleted and made again? Its new index is another one.")
        .worse("Retrying on the same socket: it stays bound to an interface that is gone."),
    errno("ENXIO", "No such interface.")
        .from("packet_snd(), raw_sendmsg() of CAN, isotp_sendmsg(): the interface index leads to nothing (any more).")
        .to(Layer::Kernel)
        .not("Not the path and not the peer.")
        .next("Link changes in the trace: was the interface deleted and made again? Its new index is another one.")
        .worse("Retrying on the same socket: it stays bound to an interface that is gone."),
    errno("EBUSY", "The device's queue had no room (AF_XDP). On a retransmit it means something else.")
        .from("AF_XDP: __xsk_generic_xmit() when the device dropped the frame.")
        .to(Layer::Kernel)
        .not("Not the network: the frame did not leave.")
        .next("tc -s qdisc and the driver's transmit queue counters of that interface.")
        .worse("Sending faster."),
    errno("EIO", "The packet cannot be sent in the form that was asked for.")
        .from(
            "udp_send_skb() with UDP_SEGMENT on a route through IPsec, or where the checksum cannot be left for later.",
        )
        .to(Layer::App)
        .not("Not loss and not the peer: it is refused before anything is sent.")
        .next("Does the path go through IPsec or a tunnel since lately? Fall back to sends without UDP_SEGMENT."),
];
