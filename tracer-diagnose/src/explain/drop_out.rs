//! Reasons of drops on the way out and in the middle: rules, routes, queues, devices, memory.

use super::drop::Group;
use crate::rule::Layer;

pub(super) const NOT_OUT: Option<&str> =
    Some("Not the network and not the peer: the packet was thrown away on this host.");

pub(super) const QUEUE_FROM: &str = "The queue (qdisc) of the interface.";
pub(super) const QUEUE_NEXT: &str = "tc -s qdisc show dev INTERFACE: dropped, backlog, limit; the rate against that of a shaper. UDP senders \
     hear of it as ENOBUFS only with IP_RECVERR; TCP sends again (outcome NET_XMIT_DROP).";
pub(super) const QUEUE_WORSE: &str = "A queue ten times longer: loss becomes delay for everybody.";

pub static GROUPS: &[Group] = &[
    Group {
        from: "kfree_skb() without a reason, or names that only mark the ends of the list.",
        points_to: None,
        not_layer: Some("No layer: the location tells."),
        next: "location of the event: the function names the place (tcp_*, udp_*: the protocol; *_xmit: a device; \
               unix_*: a unix socket).",
        worse: None,
        reasons: &[
            ("NOT_SPECIFIED", "The kernel gives no reason for this one."),
            ("MAX", "No reason: the end of the kernel's list."),
            ("SUBSYS_MASK", "No reason: a mask that the kernel uses."),
        ],
    },
    Group {
        from: "A rule or program on this host.",
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: "nft list ruleset and iptables-save (their counters), tc filter show, bpftool net, bpftool cgroup tree, ip \
               xfrm policy, the audit log: the one that the reason names. What was changed lately?",
        worse: Some(
            "Retrying: the rule stays. Switching the firewall off to see whether it helps.",
        ),
        reasons: &[
            (
                "NETFILTER_DROP",
                "A firewall rule (nftables, iptables) dropped or rejected it.",
            ),
            (
                "BPF_CGROUP_EGRESS",
                "A BPF program on the sender's cgroup refused it.",
            ),
            (
                "SOCKET_FILTER",
                "A filter on the receiving socket did not want it: for a capture that is normal.",
            ),
            (
                "XFRM_POLICY",
                "IPsec policy: it should have been encrypted, or should not.",
            ),
            (
                "TC_EGRESS",
                "A traffic control filter or action dropped it on the way out.",
            ),
            (
                "TC_INGRESS",
                "A traffic control filter or action dropped it on the way in.",
            ),
            (
                "TC_COOKIE_ERROR",
                "Traffic control: the state handed on by hardware does not fit.",
            ),
            (
                "TC_CHAIN_NOTFOUND",
                "Traffic control: a rule leads to a chain that does not exist.",
            ),
            (
                "TC_RECLASSIFY_LOOP",
                "Traffic control: rules send the packet around in a circle.",
            ),
            (
                "XDP",
                "An XDP program dropped it before the stack saw it (generic mode).",
            ),
            (
                "SECURITY_HOOK",
                "A security module (SELinux and the like) refused it.",
            ),
            (
                "TAP_FILTER",
                "A filter on the tun or tap device dropped it.",
            ),
            (
                "TAP_TXFILTER",
                "The address filter of the tap device dropped it.",
            ),
            (
                "PSP_INPUT",
                "PSP encryption: the packet that came in failed its checks.",
            ),
            (
                "PSP_OUTPUT",
                "PSP encryption: the packet to be sent failed its checks.",
            ),
        ],
    },
    Group {
        from: "The route of a packet that is sent (ip_queue_xmit(), ip6_xmit(), ip6_output()).",
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: "ip route get ADDRESS; link, address and route changes in the trace.",
        worse: Some("Retrying without a pause: nothing will change until a route comes back."),
        reasons: &[
            ("IP_OUTNOROUTES", "No route to the destination."),
            ("IPV6DISABLED", "IPv6 is switched off on the interface."),
            (
                "BLACKHOLE",
                "A route of type blackhole: thrown away on purpose.",
            ),
        ],
    },
    Group {
        from: "The neighbour table: ARP and neighbour discovery (__neigh_event_send(), neigh_invalidate(), \
               ip_finish_output2()).",
        points_to: Some(Layer::Network),
        not_layer: Some(
            "Not the application. Not the path beyond the next hop: its hardware address is what is missing.",
        ),
        next: "ip neigh show: FAILED or INCOMPLETE for the next hop. Is it up, in the same segment and VLAN, with that \
               address? NEIGH_CREATEFAIL for many addresses: the table is full (gc_thresh3).",
        worse: Some("Sending faster while the address is looked up."),
        reasons: &[
            (
                "NEIGH_CREATEFAIL",
                "No entry could be made in the neighbour table: it is full, or memory ran out.",
            ),
            (
                "NEIGH_FAILED",
                "The next hop did not answer ARP or neighbour discovery. Unconnected senders see nothing; TCP sees silence, then EHOSTUNREACH.",
            ),
            (
                "NEIGH_QUEUEFULL",
                "Too many packets wait for the address of the next hop (unres_qlen_bytes).",
            ),
            ("NEIGH_DEAD", "The entry of the next hop is being removed."),
            (
                "NEIGH_HH_FILLFAIL",
                "The link header could not be filled in.",
            ),
        ],
    },
    Group {
        from: QUEUE_FROM,
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: QUEUE_NEXT,
        worse: Some(QUEUE_WORSE),
        reasons: &[
            (
                "QDISC_DROP",
                "The queue of the interface dropped it: full, or over the rate of a shaper.",
            ),
            ("QDISC_OVERLIMIT", "The queue is at its limit."),
            (
                "QDISC_CONGESTED",
                "Queue management (CoDel, PIE, RED) dropped it early, to signal congestion.",
            ),
            (
                "QDISC_BURST_DROP",
                "Too many packets at once waited to enter the queue (net.core.qdisc_max_burst).",
            ),
            (
                "CAKE_FLOOD",
                "CAKE protects itself from a flow that does not slow down.",
            ),
            ("FQ_BAND_LIMIT", "fq: the priority band is at its limit."),
            ("FQ_FLOW_LIMIT", "fq: this one flow is at its limit."),
            (
                "FQ_HORIZON_LIMIT",
                "fq: the packet's time of departure is too far in the future.",
            ),
            (
                "DUALPI2_STEP_DROP",
                "DualPI2: the queue for low latency is above its step.",
            ),
            (
                "FULL_RING",
                "The ring of a device (tun, tap, veth) is full: its reader is too slow.",
            ),
        ],
    },
    Group {
        from: "Queues between devices and the stack, one per CPU or device.",
        points_to: Some(Layer::Kernel),
        not_layer: Some("Not the network, unless it sends more than this host can take."),
        next: "Softnet samples: dropped and time_squeeze per CPU. One CPU only: spread the interrupts (RSS, RPS); all: \
               net.core.netdev_max_backlog and CPU time.",
        worse: Some("A longer backlog on a CPU that is too slow on average."),
        reasons: &[
            (
                "CPU_BACKLOG",
                "The CPU's queue for packets that came in is full (netdev_max_backlog, or the flow limit of RPS).",
            ),
            (
                "MACVLAN_BROADCAST_BACKLOG",
                "macvlan: too many broadcasts wait to be copied.",
            ),
            (
                "IPVLAN_MULTICAST_BACKLOG",
                "ipvlan: too many multicasts wait to be copied.",
            ),
        ],
    },
    Group {
        from: "The device layer (__dev_queue_xmit(), validate_xmit_skb()) and virtual devices.",
        points_to: Some(Layer::Nic),
        not_layer: NOT_OUT,
        next: "ip -s link show dev INTERFACE, ethtool -k (offloads), link changes in the trace; for tun and tap, whether \
               the program behind it runs.",
        worse: Some("Setting the link down and up again in a loop."),
        reasons: &[
            (
                "DEV_READY",
                "The device is not ready: not up, or nobody is attached to it.",
            ),
            (
                "NO_TX_TARGET",
                "A virtual device knows nobody to pass the packet to.",
            ),
            (
                "RECURSION_LIMIT",
                "Virtual devices are stacked too deep, or lead in a circle.",
            ),
            ("CSUM", "The checksum could not be computed."),
            (
                "GSO_SEG",
                "A large packet could not be split into segments.",
            ),
            (
                "BAD_GSO",
                "The segmentation data of a large packet is not valid.",
            ),
            ("PKT_TOO_BIG", "The packet is larger than the MTU allows."),
        ],
    },
    Group {
        from: "Memory of this host.",
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: "Free memory and that of the cgroup; `allocation failure` in the kernel log; mem in the sockstat samples.",
        worse: Some("Larger socket buffers."),
        reasons: &[
            ("NOMEM", "Kernel memory could not be had."),
            (
                "UCOPY_FAULT",
                "Data could not be copied from the process (zero copy).",
            ),
        ],
    },
];
