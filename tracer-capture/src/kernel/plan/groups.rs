//! The table of hooks: one line per purpose, its candidates best first.

use tracer_common::{event_kind, owner_end};

use super::connects::CALL;
use super::sends::REMEDY;
use super::{Kind, Need, Purpose, waits};

/// A purpose, the place it hooks, and the programs that fit the known prototypes of that place.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Short name for people.
    pub name: &'static str,
    /// What it is for; the first is the one that a loss is booked on.
    pub serves: &'static [Purpose],
    pub kind: Kind,
    /// Tracepoint, iterator target or kernel function.
    pub attach: &'static str,
    pub need: Need,
    /// Best first.
    pub variants: &'static [Variant],
    /// What the user does not see when none of them runs.
    pub lost: &'static str,
    /// What the user can do then.
    pub remedy: &'static str,
}

/// A program for one prototype.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    pub program: &'static str,
    /// Arguments of the tracepoint (without `void *__data`) or function; 0 for an iterator.
    pub args: usize,
    /// What it cannot show and the best one can; empty when there is no difference to the user.
    pub short_of_best: &'static str,
}

const NEWER_KERNEL: &str =
    "a newer kernel, or a sendtrace that knows this one; nothing can be set here";
const POLICY: &str =
    "none needed for the rest; a kernel or policy that allows fexit programs gives it";

const CONNECT_ERRORS: &str = "--connect-errors, or a kernel or policy that allows fexit programs";

/// The program that reads every open socket.
pub(super) const WALK: &str = "walk_sockets";

/// Every purpose, in the order of `doctor`.
pub static GROUPS: &[Group] = &[
    Group {
        name: "retransmit",
        serves: &[Purpose::Event(event_kind::RETRANSMIT)],
        kind: Kind::TpBtf,
        attach: "tcp_retransmit_skb",
        need: Need::Required,
        variants: &[
            Variant {
                program: "retransmit_err",
                args: 3,
                short_of_best: "",
            },
            Variant {
                program: "retransmit",
                args: 2,
                short_of_best: "retransmits that failed inside this host (outcome is always `sent`)",
            },
        ],
        lost: "retransmitted TCP segments",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "retransmit of SYN-ACK",
        serves: &[Purpose::Event(event_kind::RETRANSMIT)],
        kind: Kind::TpBtf,
        attach: "tcp_retransmit_synack",
        need: Need::Required,
        variants: &[Variant {
            program: "synack",
            args: 2,
            short_of_best: "",
        }],
        lost: "retransmitted SYN-ACKs (clients that vanish during the handshake)",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "result of a send",
        serves: &[
            Purpose::Event(event_kind::SEND_ERROR),
            Purpose::Event(event_kind::SEND),
            Purpose::Owner,
        ],
        kind: Kind::TpBtf,
        attach: "sock_send_length",
        need: Need::Required,
        variants: &[Variant {
            program: "send_length",
            args: 3,
            short_of_best: "",
        }],
        lost: "sends that fail, and owners learnt when they send (grade at_send)",
        remedy: REMEDY,
    },
    Group {
        name: "send refused by policy",
        serves: &[Purpose::Event(event_kind::SEND_ERROR)],
        kind: Kind::Fexit,
        attach: "security_socket_sendmsg",
        need: Need::Optional,
        variants: &[Variant {
            program: "lsm_refusal",
            args: 3,
            short_of_best: "",
        }],
        lost: "sends that a security module (SELinux, AppArmor, BPF LSM) refuses",
        remedy: POLICY,
    },
    Group {
        name: "wait for room",
        serves: waits::SERVES,
        kind: Kind::Fentry,
        attach: "sk_stream_wait_memory",
        need: Need::Optional,
        variants: &[
            Variant {
                program: "memory_wait",
                args: 2,
                short_of_best: "",
            },
            Variant {
                program: "memory_wait_any",
                args: 2,
                short_of_best: "",
            },
        ],
        lost: waits::MEMORY,
        remedy: waits::REMEDY,
    },
    Group {
        name: "wait to connect",
        serves: waits::SERVES,
        kind: Kind::Fentry,
        attach: "sk_stream_wait_connect",
        need: Need::Optional,
        variants: &[
            Variant {
                program: "connect_wait",
                args: 2,
                short_of_best: "",
            },
            Variant {
                program: "connect_wait_any",
                args: 2,
                short_of_best: "",
            },
        ],
        lost: waits::CONNECT,
        remedy: waits::REMEDY,
    },
    Group {
        name: "wait for a peer",
        serves: waits::SERVES,
        kind: Kind::Fentry,
        attach: "unix_wait_for_peer",
        need: Need::Optional,
        variants: &[Variant {
            program: "peer_wait",
            args: 2,
            short_of_best: "",
        }],
        lost: waits::PEER,
        remedy: waits::REMEDY,
    },
    Group {
        name: "dropped packet",
        serves: &[Purpose::Event(event_kind::DROP), Purpose::DeviceOwner],
        kind: Kind::TpBtf,
        attach: "kfree_skb",
        need: Need::Required,
        variants: &[
            Variant {
                program: "drop_rx_sk",
                args: 4,
                short_of_best: "",
            },
            Variant {
                program: "drop_reason",
                args: 3,
                short_of_best: "many packets dropped by the socket that received them: they are counted by reason, \
                                    not listed (the kernel does not name that socket)",
            },
            Variant {
                program: "drop_location",
                args: 2,
                short_of_best: "drop.reason is null, consumed packets cannot always be told from drops, \
                                    and many packets dropped by their receiving socket are not listed",
            },
        ],
        lost: "dropped packets",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "transmit error",
        serves: &[Purpose::Event(event_kind::DEVICE)],
        kind: Kind::TpBtf,
        attach: "net_dev_xmit",
        need: Need::Required,
        variants: &[Variant {
            program: "xmit",
            args: 4,
            short_of_best: "",
        }],
        lost: "packets that a network driver refuses",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "transmit timeout",
        serves: &[Purpose::Event(event_kind::DEVICE)],
        kind: Kind::TpBtf,
        attach: "net_dev_xmit_timeout",
        need: Need::Required,
        variants: &[Variant {
            program: "xmit_timeout",
            args: 2,
            short_of_best: "",
        }],
        lost: "transmit timeouts of network devices",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "reset sent",
        serves: &[Purpose::Event(event_kind::RESET)],
        kind: Kind::TpBtf,
        attach: "tcp_send_reset",
        need: Need::Required,
        variants: &[
            Variant {
                program: "reset_sent_reason",
                args: 3,
                short_of_best: "",
            },
            Variant {
                program: "reset_sent",
                args: 2,
                short_of_best: "why a RST is sent, and RSTs to closed ports",
            },
        ],
        lost: "RSTs that this host sends",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "reset received",
        serves: &[Purpose::Event(event_kind::RESET)],
        kind: Kind::TpBtf,
        attach: "tcp_receive_reset",
        need: Need::Required,
        variants: &[Variant {
            program: "reset_received",
            args: 1,
            short_of_best: "",
        }],
        lost: "RSTs that this host receives",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "connection state",
        serves: &[Purpose::Event(event_kind::CONNECTION), Purpose::Owner],
        kind: Kind::TpBtf,
        attach: "inet_sock_set_state",
        need: Need::Required,
        variants: &[Variant {
            program: "set_state",
            args: 3,
            short_of_best: "",
        }],
        lost: "connections that fail or die, and owners learnt at connect, listen and close",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "connect: TCP over IPv4",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::Fexit,
        attach: "tcp_v4_connect",
        need: Need::Optional,
        variants: &[Variant {
            program: "connect_tcp4",
            args: 3,
            short_of_best: "",
        }],
        lost: "connects of TCP over IPv4 that fail before a SYN is sent (no route, no free port)",
        remedy: CONNECT_ERRORS,
    },
    Group {
        name: "connect: TCP over IPv6",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::Fexit,
        attach: "tcp_v6_connect",
        need: Need::Optional,
        variants: &[Variant {
            program: "connect_tcp6",
            args: 3,
            short_of_best: "",
        }],
        lost: "connects of TCP over IPv6 that fail before a SYN is sent",
        remedy: CONNECT_ERRORS,
    },
    Group {
        name: "connect: IPv4 datagrams",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::Fexit,
        attach: "__ip4_datagram_connect",
        need: Need::Optional,
        variants: &[Variant {
            program: "connect_dgram4",
            args: 3,
            short_of_best: "",
        }],
        lost: "connects of IPv4 datagram sockets that fail",
        remedy: CONNECT_ERRORS,
    },
    Group {
        name: "connect: IPv6 datagrams",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::Fexit,
        attach: "__ip6_datagram_connect",
        need: Need::Optional,
        variants: &[Variant {
            program: "connect_dgram6",
            args: 3,
            short_of_best: "",
        }],
        lost: "connects of IPv6 datagram sockets that fail",
        remedy: CONNECT_ERRORS,
    },
    Group {
        name: "connect refused by policy",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::Fexit,
        attach: "__inet_stream_connect",
        need: Need::Optional,
        variants: &[Variant {
            program: "connect_stream",
            args: 5,
            short_of_best: "",
        }],
        lost: "connects that a cgroup's BPF program refuses",
        remedy: CONNECT_ERRORS,
    },
    Group {
        name: "connect(2) that fails",
        serves: &[Purpose::Event(event_kind::CONNECTION)],
        kind: Kind::CallExit,
        attach: CALL,
        need: Need::Required,
        variants: &[Variant {
            program: "connect_call",
            args: 0,
            short_of_best: "",
        }],
        lost: "connects that fail before a SYN is sent, which --connect-errors asks for",
        remedy: "a kernel with CONFIG_FTRACE_SYSCALLS and bpf_rdonly_cast (6.2), or one that allows fexit programs",
    },
    Group {
        name: "sockets already open",
        serves: &[Purpose::Owner],
        kind: Kind::Iter,
        attach: "task_file",
        need: Need::Required,
        variants: &[Variant {
            program: "open_sockets",
            args: 0,
            short_of_best: "",
        }],
        lost: "owners of sockets opened before the start, until they send or close (grade seeded), and who holds a \
               socket now: who connected, listened or accepted is shown as last_known",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "waiting sockets",
        serves: &[Purpose::Event(event_kind::WAITING)],
        kind: Kind::Iter,
        attach: "task_file",
        need: Need::Required,
        variants: &[Variant {
            program: WALK,
            args: 0,
            short_of_best: "",
        }],
        lost: "sockets that wait although nothing fails, and what each process sends to each host: `ss -tin` in every \
               network namespace shows it for the moment",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "accept",
        serves: &[Purpose::Owner],
        kind: Kind::Fexit,
        attach: "inet_csk_accept",
        need: Need::Optional,
        variants: &[
            Variant {
                program: "accept2",
                args: 2,
                short_of_best: "",
            },
            Variant {
                program: "accept4",
                args: 4,
                short_of_best: "",
            },
        ],
        lost: "grade at_accept: an accepted socket gets its owner at its first send, or by looking it up",
        remedy: POLICY,
    },
    Group {
        name: "end of a socket",
        serves: &[Purpose::OwnerEnd],
        kind: Kind::Fexit,
        attach: "inet_sock_destruct",
        need: Need::Optional,
        variants: &[Variant {
            program: "socket_end",
            args: 1,
            short_of_best: "",
        }],
        lost: "owners of UDP and raw sockets are not kept with them: they are looked up among open files, \
               and unknown once the socket is closed",
        remedy: POLICY,
    },
    Group {
        name: "end of a TCP socket",
        serves: &[Purpose::OwnerEnd],
        kind: Kind::TpBtf,
        attach: "tcp_destroy_sock",
        need: Need::Optional,
        variants: &[Variant {
            program: "tcp_socket_end",
            args: 1,
            short_of_best: "",
        }],
        lost: "owners of TCP sockets are not kept with them unless the end of every socket is seen",
        remedy: NEWER_KERNEL,
    },
    Group {
        name: "fork",
        serves: &[Purpose::Follow],
        kind: Kind::TpBtf,
        attach: "sched_process_fork",
        need: Need::Required,
        variants: &[Variant {
            program: "fork",
            args: 2,
            short_of_best: "",
        }],
        lost: "children of the wanted processes (--follow)",
        remedy: "name the children's pids, or filter by --cgroup or --comm",
    },
];

/// Tracepoints whose prototypes are looked up.
pub const TRACEPOINTS: &[&str] = &[
    "tcp_retransmit_skb",
    "tcp_retransmit_synack",
    "sock_send_length",
    "kfree_skb",
    "net_dev_xmit",
    "net_dev_xmit_timeout",
    "tcp_send_reset",
    "tcp_receive_reset",
    "inet_sock_set_state",
    "sched_process_fork",
    "tcp_destroy_sock",
];

/// Functions whose prototypes are looked up.
pub const FUNCTIONS: &[&str] = &[
    "inet_csk_accept",
    "tcp_v4_connect",
    "tcp_v6_connect",
    "__ip4_datagram_connect",
    "__ip6_datagram_connect",
    "__inet_stream_connect",
    "security_socket_sendmsg",
    "sk_stream_wait_memory",
    "sk_stream_wait_connect",
    "unix_wait_for_peer",
    "inet_sock_destruct",
    "inet_sendmsg",
    "inet6_sendmsg",
    "inet_sendpage",
    "unix_stream_sendmsg",
    "unix_stream_sendpage",
    "unix_dgram_sendmsg",
    "unix_seqpacket_sendmsg",
    "packet_sendmsg",
    "packet_sendmsg_spkt",
    "netlink_sendmsg",
    "__sock_sendmsg",
    "sock_sendmsg",
];

/// Programs that tell the end of sockets, and of which ones (bits of [`owner_end`]).
pub const OWNER_ENDS: &[(&str, u32)] = &[
    ("socket_end", owner_end::IP),
    ("tcp_socket_end", owner_end::TCP),
];
