//! Reasons of drops at a receiving socket: duplicates, no socket, full buffers, TCP's checks and signatures.

use super::drop::Group;
use crate::rule::Layer;

pub static GROUPS: &[Group] = &[
    Group {
        from: "Not a drop: the packet was used, or its data was there already. Counted as benign, not listed.",
        points_to: None,
        not_layer: Some("No layer: nothing is lost."),
        next: "Many duplicates on a receiver: its peer retransmits without need (reordering, a delay spike, lost ACKs).",
        worse: None,
        reasons: &[
            (
                "NOT_DROPPED_YET",
                "The packet has not been dropped (a value inside the kernel).",
            ),
            ("CONSUMED", "The packet was consumed, as it should be."),
            (
                "TCP_OLD_DATA",
                "TCP data that had been received before: a retransmit that was not needed, or its copy.",
            ),
            (
                "TCP_OLD_SEQUENCE",
                "A TCP segment from before the window: an old duplicate.",
            ),
            (
                "TCP_OFOMERGE",
                "TCP data that already waits in the out-of-order queue.",
            ),
            ("TCP_OLD_ACK", "A TCP ACK that says nothing new."),
        ],
    },
    Group {
        from: "The look-up of a socket or protocol for a packet that came in.",
        points_to: Some(Layer::App),
        not_layer: Some("Not the network: the packet arrived."),
        next: "The local port of the packet: should somebody listen there (ss -lntu)? Was the service just restarted?",
        worse: Some("A client that tries again without a pause."),
        reasons: &[
            (
                "NO_SOCKET",
                "No socket for the packet: a closed port, or a connection that is gone.",
            ),
            (
                "SOCKET_CLOSE",
                "The socket was closed while the packet was still queued for it.",
            ),
            ("TCP_CLOSE", "The TCP socket is in state CLOSE."),
            (
                "IP_NOPROTO",
                "No support for this IP protocol on this host.",
            ),
            (
                "UNHANDLED_PROTO",
                "Nothing on this host handles this protocol.",
            ),
            (
                "UNIX_DISCONNECT",
                "A unix datagram socket connected to somebody else, or its peer closed: what was queued is gone.",
            ),
            (
                "UNIX_SKIP_OOB",
                "Out-of-band data of a unix socket that was skipped by a plain read.",
            ),
            (
                "QUEUE_PURGE",
                "A whole queue was thrown away, usually because its socket or device went.",
            ),
        ],
    },
    Group {
        from: "The queues of a receiving socket on this host.",
        points_to: Some(Layer::App),
        not_layer: Some(
            "Not the network: the packet arrived and was thrown away at the last step.",
        ),
        next: "ss -tunm of that socket (Recv-Q, skmem: d is drops); does its process read fast enough, and has it CPU? \
               Counters RcvbufErrors, TCPRcvQDrop, TCPBacklogDrop, ListenOverflows in the samples.",
        worse: Some(
            "A larger buffer for a process that is too slow on average: it only delays the loss.",
        ),
        reasons: &[
            (
                "SOCKET_RCVBUFF",
                "The receive buffer of the socket is full.",
            ),
            (
                "PROTO_MEM",
                "The memory limit of the protocol is reached (tcp_mem, udp_mem).",
            ),
            (
                "SOCKET_BACKLOG",
                "The backlog of a socket that its process was just using is full.",
            ),
            (
                "TCP_ZEROWINDOW",
                "TCP data came although this side offers no window: the process does not read.",
            ),
            (
                "TCP_OFO_QUEUE_PRUNE",
                "Out-of-order data was thrown away for want of memory; it will be sent again.",
            ),
            (
                "TCP_LISTEN_OVERFLOW",
                "The accept queue of the listener is full: the application accepts too slowly.",
            ),
            (
                "PACKET_SOCK_ERROR",
                "A packet socket (a capture) could not take a copy. The traffic itself is not concerned.",
            ),
            (
                "PFMEMALLOC",
                "The packet came in memory kept for emergencies, and its socket has no right to that.",
            ),
        ],
    },
    Group {
        from: "TCP's checks of a segment that came in (tcp_validate_incoming(), tcp_ack(), tcp_rcv_state_process()).",
        points_to: Some(Layer::Network),
        not_layer: Some("Not this host's buffers. Single ones are old duplicates, and harmless."),
        next: "Many on one flow: a capture. A box in between that rewrites sequence numbers or timestamps, ports that a \
               NAT uses again too early, or an attack.",
        worse: None,
        reasons: &[
            ("TCP_FLAGS", "Flags that do not fit the state."),
            (
                "TCP_OVERWINDOW",
                "Data beyond the window that this side offers.",
            ),
            (
                "TCP_RFC7323_PAWS",
                "A timestamp older than the last one (PAWS): an old duplicate, or hosts behind one address.",
            ),
            (
                "TCP_RFC7323_PAWS_ACK",
                "The same, on a pure ACK: mostly reordering.",
            ),
            (
                "TCP_RFC7323_TW_PAWS",
                "The same, for a connection in TIME_WAIT.",
            ),
            (
                "TCP_RFC7323_TSECR",
                "An echoed timestamp that this host never sent.",
            ),
            (
                "TCP_INVALID_SEQUENCE",
                "A sequence number outside of the window.",
            ),
            (
                "TCP_INVALID_END_SEQUENCE",
                "A segment that ends outside of the window.",
            ),
            (
                "TCP_INVALID_ACK_SEQUENCE",
                "An ACK of something outside of what is in flight.",
            ),
            (
                "TCP_RESET",
                "A RST: the one that ended the connection, or one that did not fit and was ignored.",
            ),
            (
                "TCP_INVALID_SYN",
                "A SYN in the middle of a connection: the peer restarted, or somebody else uses its port.",
            ),
            (
                "TCP_FASTOPEN",
                "A segment for a fast open connection that is not ready for it.",
            ),
            (
                "TCP_TOO_OLD_ACK",
                "An ACK far below what has been acknowledged.",
            ),
            (
                "TCP_ACK_UNSENT_DATA",
                "An ACK of data that was not sent yet.",
            ),
            (
                "TCP_OFO_DROP",
                "Out-of-order data that is already in the receive queue.",
            ),
            (
                "TCP_ABORT_ON_DATA",
                "Data for a socket that its application has already closed; answered with RST.",
            ),
        ],
    },
    Group {
        from: "TCP's checks of signatures (MD5 of RFC 2385, TCP-AO of RFC 5925) and of the hop count.",
        points_to: Some(Layer::Peer),
        not_layer: Some("Not congestion: such a session fails until both ends agree."),
        next: "Keys and key ids on both ends (BGP and the like); a NAT in between breaks them.",
        worse: Some("Retrying: without the right key every segment is dropped in silence."),
        reasons: &[
            (
                "TCP_AUTH_HDR",
                "The signature options are malformed, or given twice.",
            ),
            ("TCP_MD5NOTFOUND", "No MD5 signature, and one is required."),
            (
                "TCP_MD5UNEXPECTED",
                "An MD5 signature, and none is expected.",
            ),
            ("TCP_MD5FAILURE", "The MD5 signature is wrong."),
            (
                "TCP_AONOTFOUND",
                "No TCP-AO signature, and one is required.",
            ),
            (
                "TCP_AOUNEXPECTED",
                "A TCP-AO signature, and none is expected.",
            ),
            ("TCP_AOKEYNOTFOUND", "The TCP-AO key is not known here."),
            ("TCP_AOFAILURE", "The TCP-AO signature is wrong."),
            (
                "TCP_MINTTL",
                "The hop count is below what the socket demands (IP_MINTTL).",
            ),
        ],
    },
];
