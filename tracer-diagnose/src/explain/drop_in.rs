//! Reasons of drops on the way in, before any socket: checksums, addresses, fragments, tunnels.

use super::drop::Group;
use crate::rule::Layer;

pub static GROUPS: &[Group] = &[
    Group {
        from: "Checks of headers and checksums on the way in.",
        points_to: Some(Layer::Network),
        not_layer: Some(
            "Not the application: the packet was damaged or malformed before it got there.",
        ),
        next: "Counters of the interface (ethtool -S: crc, align), InCsumErrors; one destination only: a box on that \
               path. A virtual device or offload that has just been changed is the usual cause inside a host.",
        worse: None,
        reasons: &[
            ("TCP_CSUM", "A wrong TCP checksum."),
            ("UDP_CSUM", "A wrong UDP checksum."),
            ("IP_CSUM", "A wrong IP header checksum."),
            ("ICMP_CSUM", "A wrong ICMP checksum."),
            (
                "PKT_TOO_SMALL",
                "The packet is shorter than its headers say.",
            ),
            ("HDR_TRUNC", "A header is cut off."),
            (
                "IP_INHDR",
                "Something is wrong with the IP header (counter InHdrErrors).",
            ),
            ("IPV6_BAD_EXTHDR", "A malformed IPv6 extension header."),
            (
                "IPV6_TOO_MANY_EXTHDRS",
                "More IPv6 extension headers than this host allows.",
            ),
            (
                "INVALID_PROTO",
                "The packet does not follow its protocol (a broadcast ICMP timestamp, for one).",
            ),
            (
                "DEV_HDR",
                "The header that a device or driver adds is malformed.",
            ),
        ],
    },
    Group {
        from: "Checks of addresses on the way in (ip_route_input_slow(), the bridge, neighbour discovery).",
        points_to: Some(Layer::Network),
        not_layer: Some(
            "Not the application. On a shared segment most of it is other people's traffic.",
        ),
        next: "For packets of local sockets: routes in both directions (ip route get), rp_filter, and the addresses of \
               this host. Otherwise nothing.",
        worse: Some(
            "Switching rp_filter off without knowing why packets arrive on another interface.",
        ),
        reasons: &[
            (
                "OTHERHOST",
                "The packet is for another host (the interface listens to all).",
            ),
            (
                "UNICAST_IN_L2_MULTICAST",
                "A packet for one host in a frame for many.",
            ),
            (
                "IP_RPFILTER",
                "The way back to its source leads elsewhere: rp_filter refuses it (asymmetric routes).",
            ),
            (
                "IP_INADDRERRORS",
                "The destination address is not acceptable here.",
            ),
            ("IP_INNOROUTES", "No route for a packet that came in."),
            (
                "IP_LOCAL_SOURCE",
                "The source is an address of this host itself.",
            ),
            (
                "IP_INVALID_SOURCE",
                "The source is no address of one host (multicast, broadcast, 0).",
            ),
            ("IP_LOCALNET", "A loopback address came in from outside."),
            (
                "IP_INVALID_DEST",
                "The destination is no valid address (0).",
            ),
            ("MAC_INVALID_SOURCE", "The source MAC address is not valid."),
            (
                "LOCAL_MAC",
                "The source MAC address is this host's own: a loop in the segment.",
            ),
            (
                "MAC_IEEE_MAC_CONTROL",
                "A frame for the MAC layer itself (pause frames and the like).",
            ),
            (
                "ARP_PVLAN_DISABLE",
                "Proxy ARP inside a private VLAN is not enabled.",
            ),
            (
                "BRIDGE_INGRESS_STP_STATE",
                "The bridge port does not forward: spanning tree blocks or still learns.",
            ),
            (
                "IPV6_NDISC_FRAG",
                "Neighbour discovery in a fragment is refused.",
            ),
            (
                "IPV6_NDISC_HOP_LIMIT",
                "Neighbour discovery from beyond the segment is refused.",
            ),
            (
                "IPV6_NDISC_BAD_CODE",
                "Neighbour discovery with a wrong code.",
            ),
            (
                "IPV6_NDISC_BAD_OPTIONS",
                "Neighbour discovery with malformed options.",
            ),
            (
                "IPV6_NDISC_NS_OTHERHOST",
                "A neighbour solicitation for another host.",
            ),
        ],
    },
    Group {
        from: "Reassembly of fragments.",
        points_to: Some(Layer::Network),
        not_layer: Some("Not the application, but for its choice of large datagrams."),
        next: "Who sends datagrams above the path's MTU; ReasmFails in the samples. One lost fragment loses the whole.",
        worse: Some(
            "Larger datagrams; a larger reassembly memory for a path that loses fragments.",
        ),
        reasons: &[
            (
                "DUP_FRAG",
                "A fragment that came twice, or overlaps another.",
            ),
            (
                "FRAG_REASM_TIMEOUT",
                "The other fragments did not come in time.",
            ),
            (
                "FRAG_TOO_FAR",
                "Fragments of too many packets of one sender are mixed (ipfrag_max_dist).",
            ),
        ],
    },
    Group {
        from: "Tunnels and CAN interfaces, on the way in or out.",
        points_to: Some(Layer::Kernel),
        not_layer: Some("Not the application."),
        next: "The configuration of that device on both ends (ip -d link show, bridge fdb for VXLAN, bitrate for CAN).",
        worse: None,
        reasons: &[
            ("VXLAN_INVALID_HDR", "A VXLAN header that is not valid."),
            (
                "VXLAN_VNI_NOT_FOUND",
                "No VXLAN device for this network id.",
            ),
            (
                "VXLAN_ENTRY_EXISTS",
                "An address would move that is pinned in the forwarding table.",
            ),
            (
                "VXLAN_NO_REMOTE",
                "The VXLAN device knows no remote end for the packet (named NO_TX_TARGET later).",
            ),
            (
                "IP_TUNNEL_ECN",
                "The congestion marks of the inner and outer header contradict each other (RFC 6040).",
            ),
            (
                "TUNNEL_TXINFO",
                "A packet without tunnel information reached a tunnel that takes it from each packet.",
            ),
            (
                "CAN_RX_INVALID_FRAME",
                "A frame that is no CAN frame, or a device that cannot take it.",
            ),
            (
                "CANFD_RX_INVALID_FRAME",
                "A frame that is no CAN FD frame, or a device that cannot take it.",
            ),
            (
                "CANXL_RX_INVALID_FRAME",
                "A frame that is no CAN XL frame, or a device that cannot take it.",
            ),
        ],
    },
];
