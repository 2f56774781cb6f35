//! General answers for reasons of drops that have no entry: those of subsystems, numbers, and new names.

use super::drop::Group;
use super::drop_out::{NOT_OUT, QUEUE_FROM, QUEUE_NEXT, QUEUE_WORSE};
use crate::rule::Layer;

/// Reasons of subsystems, which the tool prints as subsystem and number.
pub static SUBSYSTEMS: &[Group] = &[
    Group {
        from: QUEUE_FROM,
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: QUEUE_NEXT,
        worse: Some(QUEUE_WORSE),
        reasons: &[(
            "QDISC",
            "A reason of the queues' own list (enum qdisc_drop_reason, 7.x): full, over its rate, early for congestion, \
             over the limit of a flow or band. Numbers may mean something else in another kernel, so none is named here.",
        )],
    },
    Group {
        from: "The wireless stack (mac80211), on the way in.",
        points_to: Some(Layer::Nic),
        not_layer: Some("Not the application."),
        next: "The wireless link: signal, retries, keys (iw dev INTERFACE station dump, the kernel log).",
        worse: None,
        reasons: &[(
            "MAC80211_UNUSABLE",
            "A wireless frame that cannot be used. The number is of the module's own list.",
        )],
    },
    Group {
        from: "The wireless stack (mac80211), on the way in.",
        points_to: None,
        not_layer: Some("Not a loss for applications: the frame is for monitors only."),
        next: "Nothing, unless a capture in monitor mode misses it.",
        worse: None,
        reasons: &[(
            "MAC80211_MONITOR",
            "A wireless frame that only monitors are shown. The number is of the module's own list.",
        )],
    },
    Group {
        from: "Open vSwitch.",
        points_to: Some(Layer::Kernel),
        not_layer: NOT_OUT,
        next: "Its flow table (ovs-appctl dpctl/dump-flows): an explicit drop, a missing port, a meter, an error of an action.",
        worse: None,
        reasons: &[(
            "OPENVSWITCH",
            "The virtual switch dropped it. The number is of the module's own list.",
        )],
    },
    Group {
        from: "The kernel's main list.",
        points_to: None,
        not_layer: Some("No layer: the number alone does not tell."),
        next: "location of the event.",
        worse: None,
        reasons: &[(
            "CORE",
            "A reason of the kernel's main list, shown by its number.",
        )],
    },
];

/// A number that the running kernel's type information had no name for.
pub static NUMBER: Group = Group {
    from: "A kernel whose list of reasons could not be read in full.",
    points_to: None,
    not_layer: Some("No layer: numbers mean something else in each kernel."),
    next: "location of the event; include/net/dropreason-core.h of exactly that kernel.",
    worse: None,
    reasons: &[],
};

pub const NUMBER_MEANS: &str =
    "A reason without a name: the number is that of the kernel which the trace is from.";

/// A name that is not in the tables.
pub static NEW: Group = Group {
    from: "Probably a newer kernel's list of reasons, or a misspelt word: this name has no entry of its own.",
    points_to: None,
    not_layer: None,
    next: "location of the event; the comment of that name in include/net/dropreason-core.h of the kernel.",
    worse: None,
    reasons: &[],
};

/// First words of names, and what they have in common.
pub const PREFIXES: &[(&str, &str)] = &[
    (
        "TCP",
        "Not known here. By its name: TCP refused a segment that came in.",
    ),
    (
        "UDP",
        "Not known here. By its name: UDP refused a datagram.",
    ),
    (
        "IP",
        "Not known here. By its name: the IP layer refused it (header, address or route).",
    ),
    (
        "IPV6",
        "Not known here. By its name: the IPv6 layer refused it.",
    ),
    (
        "ICMP",
        "Not known here. By its name: an ICMP message was refused.",
    ),
    (
        "NEIGH",
        "Not known here. By its name: the neighbour table (ARP, neighbour discovery).",
    ),
    (
        "QDISC",
        "Not known here. By its name: the queue of the interface.",
    ),
    (
        "FQ",
        "Not known here. By its name: the fq queue of the interface.",
    ),
    (
        "CAKE",
        "Not known here. By its name: the CAKE queue of the interface.",
    ),
    (
        "TC",
        "Not known here. By its name: traffic control on this host.",
    ),
    (
        "SOCKET",
        "Not known here. By its name: the socket on this host.",
    ),
    (
        "UNIX",
        "Not known here. By its name: a unix socket on this host.",
    ),
    ("VXLAN", "Not known here. By its name: a VXLAN tunnel."),
    ("TUNNEL", "Not known here. By its name: a tunnel."),
    ("TAP", "Not known here. By its name: a tun or tap device."),
    ("CAN", "Not known here. By its name: a CAN interface."),
    ("MAC", "Not known here. By its name: hardware addresses."),
    (
        "BRIDGE",
        "Not known here. By its name: a bridge on this host.",
    ),
    (
        "FRAG",
        "Not known here. By its name: reassembly of fragments.",
    ),
    (
        "DEV",
        "Not known here. By its name: a device or its driver.",
    ),
    ("PSP", "Not known here. By its name: PSP encryption."),
    ("XFRM", "Not known here. By its name: IPsec."),
    (
        "NETFILTER",
        "Not known here. By its name: a firewall rule on this host.",
    ),
    (
        "BPF",
        "Not known here. By its name: a BPF program on this host.",
    ),
    (
        "SECURITY",
        "Not known here. By its name: a security module on this host.",
    ),
    ("SEG6", "Not known here. By its name: IPv6 segment routing."),
];
