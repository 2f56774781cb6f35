//! What the absence of a kernel field means to the user.

use tracer_common::Field;

use crate::kernel::facts::BtfFacts;

/// A list of programs with those of [`super::sends`] in its middle.
macro_rules! around_sends {
    ([$($before:literal),*] [$($after:literal),*]) => {
        &[
            $($before,)*
            "inet_send",
            "inet6_send",
            "inet_page",
            "unix_send",
            "unix_page",
            "unix_dgram",
            "unix_seq",
            "packet_send",
            "packet_old",
            "netlink_send",
            "other_send",
            $($after,)*
        ]
    };
}

/// Programs that make sense of a `struct sock`.
const SOCKET_PROGRAMS: &[&str] = around_sends!(
    ["retransmit_err", "retransmit", "send_length", "send_owner", "send_perf", "lsm_refusal", "connect_call"]
    ["drop_rx_sk", "drop_reason", "drop_location", "reset_sent_reason", "reset_sent", "reset_received", "set_state"]
);
/// Programs that may meet a socket in TIME_WAIT or a request, which are smaller structures: without the state
/// they would read beyond them.
const ANY_SOCKET_PROGRAMS: &[&str] = &[
    "drop_rx_sk",
    "drop_reason",
    "drop_location",
    "reset_sent_reason",
    "reset_sent",
    "xmit",
];
/// Programs that would call every packet a sent one.
const DROP_PROGRAMS: &[&str] = &["drop_rx_sk", "drop_reason", "drop_location"];

/// What one absent field costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLoss {
    pub field: &'static Field,
    /// Fields of the JSON output that become null (or a sentence, where it is not a field).
    pub becomes_null: &'static [&'static str],
    /// Programs that cannot run without it.
    pub needed_by: &'static [&'static str],
}

struct Rule(
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// A line per field: what becomes null, which programs cannot run.
const RULES: &[Rule] = &[
    Rule("sk_family", &["flow"], SOCKET_PROGRAMS),
    Rule(
        "sk_state",
        &["tcp.state", "retransmit.cause syn"],
        ANY_SOCKET_PROGRAMS,
    ),
    Rule("sk_num", &["port of flow.local"], &[]),
    Rule("sk_dport", &["port of flow.remote"], &[]),
    Rule("sk_rcv_saddr", &["flow.local of IPv4"], &[]),
    Rule("sk_daddr", &["flow.remote of IPv4"], &[]),
    Rule("sk_v6_rcv_saddr", &["flow.local of IPv6"], &[]),
    Rule("sk_v6_daddr", &["flow.remote of IPv6"], &[]),
    Rule("sk_net", &["flow.netns (and --netns matches nothing)"], &[]),
    Rule(
        "sk_cookie",
        &["owners that are looked up among open files"],
        &[],
    ),
    Rule(
        "sk_type",
        &["flow.remote of an unconnected send"],
        &["unix_dgram"],
    ),
    Rule(
        "sk_protocol",
        &["flow.proto", "every connection event"],
        &[],
    ),
    Rule(
        "sk_protocol_byte",
        &["flow.proto", "every connection event"],
        &[],
    ),
    Rule(
        "sk_socket",
        &[
            "flow.socket",
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &["connect_call"],
    ),
    Rule("sk_err", &["connection.errno", "connections that die"], &[]),
    Rule("sk_err_soft", &["waiting.soft_errno"], &[]),
    Rule(
        "sk_write_pending",
        &["waiting.blocked_writers", "waits of a blocked writer"],
        &[],
    ),
    Rule("sk_ack_backlog", &["waits of a full accept queue"], &[]),
    Rule("sk_max_ack_backlog", &["waits of a full accept queue"], &[]),
    Rule("sk_rcvbuf", &["waits of a full receive buffer"], &[]),
    Rule("sk_rmem_alloc", &["waits of a full receive buffer"], &[]),
    Rule(
        "sk_wmem_alloc",
        &["waits of a full send buffer of datagrams"],
        &[],
    ),
    Rule(
        "sk_receive_qlen",
        &["waits of a full queue of a unix socket"],
        &[],
    ),
    Rule("sk_timer_pprev", &["waiting.timer keepalive"], &[]),
    Rule("sk_sndbuf", &["tcp.sndbuf_bytes"], &[]),
    Rule("sk_wmem_queued", &["memory of the send queue"], &[]),
    Rule(
        "proto_sendpage",
        &["sends by sendfile and splice"],
        &["inet_page"],
    ),
    Rule("sk_prot", &["sends by sendfile and splice"], &["inet_page"]),
    Rule(
        "sk_dst_cache",
        &["that a UDP sendfile to a device without scatter-gather counts once"],
        &[],
    ),
    Rule(
        "tcp_fastopen_req",
        &["that a failed send of TCP Fast Open counts once"],
        &[],
    ),
    Rule("tcp_is_mptcp", &["owners of MPTCP subflows"], &[]),
    Rule("tcp_ulp_data", &["owners of MPTCP subflows"], &[]),
    Rule("subflow_conn", &["owners of MPTCP subflows"], &[]),
    Rule("sk_kern_sock", &["owner grade kernel of NFS's sends"], &[]),
    Rule(
        "net_inum",
        &["flow.netns (and --netns matches nothing)"],
        &[],
    ),
    Rule("socket_file", &["flow.socket", "owner grade kernel"], &[]),
    Rule(
        "socket_sk",
        &[
            "owners of sockets opened before the start",
            "sends refused by policy",
        ],
        around_sends!(["open_sockets", "walk_sockets", "lsm_refusal", "connect_call"][]),
    ),
    Rule(
        "file_inode",
        &["flow.socket", "owners that are looked up among open files"],
        &[],
    ),
    Rule(
        "file_private",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &["connect_call"],
    ),
    Rule(
        "file_refs",
        &["whether a socket is shared, without looking it up"],
        &[],
    ),
    Rule(
        "inode_ino",
        &["flow.socket", "owners that are looked up among open files"],
        &[],
    ),
    Rule(
        "inode_sb",
        &["owners of sockets opened before the start, where bpf_sock_from_file is missing"],
        &[],
    ),
    Rule(
        "sb_magic",
        &["owners of sockets opened before the start, where bpf_sock_from_file is missing"],
        &[],
    ),
    Rule("tcp_ca_state", &["retransmit.cause rto, fast and mtu"], &[]),
    Rule("tcp_pending", &["retransmit.cause rto and tlp"], &[]),
    Rule(
        "tcp_retransmits",
        &["retransmit.attempt", "retransmit.cause mtu"],
        &[],
    ),
    Rule("tcp_backoff", &["tcp.backoff"], &[]),
    Rule("tcp_rto", &["tcp.rto_us"], &[]),
    Rule("tcp_pmtu", &["tcp.pmtu_bytes"], &[]),
    Rule("tcp_write_seq", &["tcp.send_queue_bytes"], &[]),
    Rule("tcp_snd_una", &["tcp.send_queue_bytes"], &[]),
    Rule("tcp_cwnd", &["tcp.cwnd_segments"], &[]),
    Rule("tcp_ssthresh", &["tcp.ssthresh_segments"], &[]),
    Rule("tcp_srtt", &["tcp.srtt_us"], &[]),
    Rule("tcp_mss", &["tcp.mss_bytes"], &[]),
    Rule(
        "tcp_snd_wnd",
        &[
            "tcp.peer_window_bytes",
            "retransmit.attempt, but for a SYN's",
        ],
        &[],
    ),
    Rule("tcp_packets_out", &["tcp.unacked_segments"], &[]),
    Rule("tcp_lost_out", &["tcp.lost_segments"], &[]),
    Rule("tcp_lsndtime", &["tcp.last_send_us_ago"], &[]),
    Rule("tcp_rcv_tstamp", &["tcp.last_ack_us_ago"], &[]),
    Rule("tcp_undo_marker", &["retransmit.cause mtu"], &[]),
    Rule("tcp_prior_ssthresh", &["retransmit.cause mtu"], &[]),
    Rule("tcp_mtu_info", &["retransmit.cause mtu"], &[]),
    Rule("tcp_snd_nxt", &["waits of connections"], &[]),
    Rule(
        "tcp_rcv_nxt",
        &["waits for a reader after the peer has closed"],
        &[],
    ),
    Rule(
        "tcp_copied_seq",
        &["waits for a reader after the peer has closed"],
        &[],
    ),
    Rule("tcp_segs_out", &["waiting.sent_segments", "traffic"], &[]),
    Rule("tcp_bytes_sent", &["traffic.sent_bytes"], &[]),
    Rule(
        "tcp_bytes_acked",
        &["waiting.acked_bytes", "traffic.acked_bytes"],
        &[],
    ),
    Rule(
        "tcp_total_retrans",
        &[
            "waiting.retransmitted_segments",
            "traffic.retransmitted_segments",
        ],
        &[],
    ),
    Rule("tcp_reordering", &["waiting.reordering_segments"], &[]),
    Rule("tcp_delivered", &["traffic.delivered_segments"], &[]),
    Rule("tcp_dsack_dups", &["traffic.dsack_dups"], &[]),
    Rule("tcp_probes_out", &["waits for an answer to keepalive"], &[]),
    Rule(
        "tcp_retrans_stamp",
        &["the begin of a wait between two walks"],
        &[],
    ),
    Rule(
        "tcp_usec_ts",
        &["the begin of a wait, with time stamps in microseconds"],
        &[],
    ),
    Rule(
        "tcp_chrono_start",
        &["the begin of a wait between two walks"],
        &[],
    ),
    Rule("tcp_chrono_stat", &["waiting.busy_us"], &[]),
    Rule(
        "tcp_chrono_type",
        &["the begin of a wait between two walks"],
        &[],
    ),
    Rule("tcp_ca_ops", &["waiting.congestion_control"], &[]),
    Rule("ca_name", &["waiting.congestion_control"], &[]),
    Rule(
        "tcp_sport",
        &["port of flow.local of a closed connection"],
        &[],
    ),
    Rule("req_num_retrans", &["retransmit.attempt of a SYN-ACK"], &[]),
    Rule(
        "req_timer_pprev",
        &["retransmit.trigger ack of a SYN-ACK"],
        &[],
    ),
    Rule("req_family", &["flow of a SYN-ACK"], &["synack"]),
    Rule("req_num", &["port of flow.local of a SYN-ACK"], &[]),
    Rule("req_dport", &["port of flow.remote of a SYN-ACK"], &[]),
    Rule("req_rcv_saddr", &["flow.local of an IPv4 SYN-ACK"], &[]),
    Rule("req_daddr", &["flow.remote of an IPv4 SYN-ACK"], &[]),
    Rule("req_v6_rcv_saddr", &["flow.local of an IPv6 SYN-ACK"], &[]),
    Rule("req_v6_daddr", &["flow.remote of an IPv6 SYN-ACK"], &[]),
    Rule(
        "skb_sk",
        &["drops of sent packets (counted by reason only)"],
        &["drop_reason", "drop_location"],
    ),
    Rule("skb_dev", &["drop.interface"], &[]),
    Rule("skb_len", &["drop.bytes", "retransmit.bytes"], &[]),
    Rule("skb_iif", &["drop.direction"], DROP_PROGRAMS),
    Rule(
        "skb_head",
        &["flow of a packet without a connected socket"],
        &[],
    ),
    Rule("skb_cb", &["retransmit.segments"], &[]),
    Rule(
        "skb_protocol",
        &["flow of a packet without a connected socket"],
        &[],
    ),
    Rule(
        "skb_network_header",
        &["flow of a packet without a connected socket"],
        &[],
    ),
    Rule(
        "skb_transport_header",
        &["flow of a packet without a connected socket"],
        &[],
    ),
    Rule("tcp_skb_cb_gso_segs", &["retransmit.segments"], &[]),
    Rule("dev_ifindex", &["index of the interface"], &[]),
    Rule("dev_name", &["drop.interface", "device.interface"], &[]),
    Rule(
        "dev_features",
        &["that a UDP sendfile to a device without scatter-gather counts once"],
        &[],
    ),
    Rule(
        "dst_dev",
        &["that a UDP sendfile to a device without scatter-gather counts once"],
        &[],
    ),
    Rule("dev_net", &["flow.netns of device errors"], &[]),
    Rule("task_tgid", &["owner"], &["open_sockets", "fork"]),
    Rule("task_pid", &["owner.tid"], &[]),
    Rule("task_flags", &["owner grade kernel"], &[]),
    Rule(
        "task_stack",
        &["send_error.requested_bytes, where bpf_task_pt_regs is missing"],
        &[],
    ),
    Rule(
        "task_leader",
        &["owner.started", "owner.comm", "--pid matches nothing"],
        &["fork"],
    ),
    Rule(
        "task_start",
        &["owner.started", "--pid matches nothing"],
        &["fork"],
    ),
    Rule(
        "task_comm",
        &["owner.comm (and --comm matches nothing)"],
        &[],
    ),
    Rule("task_cred", &["owner.uid"], &[]),
    Rule(
        "task_files",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "task_cgroups",
        &["owner.cgroup (and --cgroup matches nothing)"],
        &[],
    ),
    Rule("cred_uid", &["owner.uid"], &[]),
    Rule(
        "css_set_dfl_cgrp",
        &["owner.cgroup (and --cgroup matches nothing)"],
        &[],
    ),
    Rule(
        "cgroup_kn",
        &["owner.cgroup (and --cgroup matches nothing)"],
        &[],
    ),
    Rule("cgroup_level", &["--cgroup matches nothing"], &[]),
    Rule("cgroup_ancestors", &["--cgroup matches nothing"], &[]),
    Rule(
        "kernfs_id",
        &["owner.cgroup (and --cgroup matches nothing)"],
        &[],
    ),
    Rule(
        "files_fdt",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "fdt_max_fds",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "fdt_fd",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_number",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_running",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_mode",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_arg0",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_arg1",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &["connect_call"],
    ),
    Rule(
        "regs_arg2",
        &[
            "send_error.requested_bytes",
            "flow.remote of an unconnected send",
        ],
        &[],
    ),
    Rule(
        "regs_arg4",
        &["send_error.requested_bytes and flow.remote of an unconnected sendto"],
        &[],
    ),
    Rule(
        "regs_arg5",
        &["send_error.requested_bytes and flow.remote of an unconnected sendto"],
        &[],
    ),
    Rule("msghdr_name", &["flow.remote of an unconnected send"], &[]),
    Rule(
        "msghdr_namelen",
        &["flow.remote of an unconnected send"],
        &[],
    ),
    Rule("netlink_portid", &["flow.local of netlink"], &[]),
    Rule(
        "netlink_dst_portid",
        &["flow.remote of a connected netlink socket"],
        &[],
    ),
    Rule(
        "unix_peer",
        &["flow.remote of a connected unix socket"],
        &[],
    ),
    Rule(
        "unix_addr",
        &["flow.remote of a connected unix socket"],
        &[],
    ),
    Rule(
        "unix_address_len",
        &["flow.remote of a connected unix socket"],
        &[],
    ),
    Rule(
        "unix_address_name",
        &["flow.remote of a connected unix socket"],
        &[],
    ),
];

/// The losses of a kernel, in the order of [`tracer_common::FIELDS`].
pub fn field_losses(btf: &BtfFacts) -> Vec<FieldLoss> {
    let is_asked_for = |field: &&Field| match field.name {
        // Before 6.7 time stamps are in milliseconds.
        "tcp_usec_ts" => false,
        // What only a function that is not there would have asked for is no loss.
        "proto_sendpage" => btf.functions.contains_key("inet_sendpage"),
        // One field in two widths.
        "sk_protocol" => btf.lacks("sk_protocol_byte"),
        "sk_protocol_byte" => false,
        _ => true,
    };
    btf.unresolved()
        .filter(is_asked_for)
        .map(|field| {
            let rule = RULES.iter().find(|rule| rule.0 == field.name);
            FieldLoss {
                field,
                becomes_null: rule.map_or(&[], |rule| rule.1),
                needed_by: rule.map_or(&[], |rule| rule.2),
            }
        })
        .collect()
}

/// Fields without which a program cannot run.
pub(super) fn needed_by(program: &str) -> impl Iterator<Item = &'static str> {
    RULES
        .iter()
        .filter(move |rule| rule.2.contains(&program))
        .map(|rule| rule.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_common::FIELDS;

    #[test]
    fn every_field_has_one_line_and_every_line_a_field() {
        let mut ruled: Vec<_> = RULES.iter().map(|rule| rule.0).collect();
        let mut named: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        ruled.sort_unstable();
        named.sort_unstable();
        assert_eq!(ruled, named);
        assert!(RULES.iter().all(|rule| !rule.1.is_empty()));
    }
}
