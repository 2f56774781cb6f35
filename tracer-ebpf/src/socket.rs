//! Reads a socket: its flow, its file and its TCP state.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_jiffies64, bpf_skc_to_tcp_sock};
use tracer_common::{Head, NO_U32, TcpSnapshot, ability, head_flag, protocol_of_byte};

use crate::{
    kernel::{Ptr, Words, can, clear, load, load_bits, load_ptr, non_null, probe, put},
    maps::config,
};

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const AF_NETLINK: u16 = 16;
pub const AF_PACKET: u16 = 17;

pub const SOCK_STREAM: u16 = 1;
pub const SOCK_RAW: u16 = 3;

pub const TCP_ESTABLISHED: u8 = 1;
pub const TCP_SYN_SENT: u8 = 2;
pub const TCP_SYN_RECV: u8 = 3;
pub const TCP_FIN_WAIT1: u8 = 4;
pub const TCP_FIN_WAIT2: u8 = 5;
pub const TCP_TIME_WAIT: u8 = 6;
pub const TCP_CLOSE: u8 = 7;
pub const TCP_CLOSE_WAIT: u8 = 8;
pub const TCP_LAST_ACK: u8 = 9;
pub const TCP_LISTEN: u8 = 10;
pub const TCP_CLOSING: u8 = 11;
pub const TCP_NEW_SYN_RECV: u8 = 12;

pub const IPPROTO_TCP: u16 = 6;
pub const IPPROTO_UDP: u16 = 17;
pub const IPPROTO_UDPLITE: u16 = 136;

/// `sk_family`, 0 when unreadable.
#[inline(always)]
pub fn family(sk: Ptr) -> u16 {
    load!(sk, sk_family: u16).unwrap_or(0)
}

/// `sk_state`.
#[inline(always)]
pub fn state(sk: Ptr) -> u8 {
    load!(sk, sk_state: u8).unwrap_or(0)
}

/// `sk_protocol`, in the width that it has here: the verifier removes the other load.
#[inline(always)]
pub fn protocol(sk: Ptr) -> Option<u16> {
    match load!(sk, sk_protocol: u16) {
        None => load!(sk, sk_protocol_byte: u8).map(protocol_of_byte),
        protocol => protocol,
    }
}

/// `sk_fullsock`: neither TIME_WAIT nor a request socket, which are smaller structures.
#[inline(always)]
pub fn is_full(sk: Ptr) -> bool {
    let state = state(sk);
    state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV
}

/// Is this socket of a family whose owner is stored?
#[inline(always)]
pub fn is_ip(family: u16) -> bool {
    family == AF_INET || family == AF_INET6
}

/// Fills the flow and the file's facts of a full socket, and gives it a cookie when it has none yet.
#[inline(always)]
pub fn describe(sk: Ptr, head: &mut Head) {
    describe_borrowed(sk, head);
    if head.flow.cookie == 0 {
        head.flow.cookie = cookie(sk);
    }
}

/// The id that `ss -e` prints as `sk:`; made now when the socket has none. Where the kernel does not let a
/// tracing program make one, it is 0 until somebody else asks for it.
#[inline(always)]
pub fn cookie(sk: Ptr) -> u64 {
    if !can(ability::SOCKET_COOKIE) {
        return load!(sk, sk_cookie: u64).unwrap_or(0);
    }
    // SAFETY: a full socket, trusted by the verifier.
    unsafe { bpf_get_socket_cookie(sk as *mut _) }
}

/// As [`describe`] for a socket that was reached through a packet: the verifier does not trust it enough for
/// helpers, so its cookie is 0 when nobody has asked for it before.
#[inline(always)]
pub fn describe_borrowed(sk: Ptr, head: &mut Head) {
    let flow = &mut head.flow;
    let family = family(sk);
    flow.family = family;
    flow.sock_type = load!(sk, sk_type: u16).unwrap_or(0);
    flow.protocol = protocol(sk).unwrap_or(0);
    flow.netns = netns(sk);
    flow.cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    if is_ip(family) {
        // The kernel keeps the local port in host order, the remote one in network order.
        flow.local_port = load!(sk, sk_num: u16).unwrap_or(0).to_be();
        flow.remote_port = load!(sk, sk_dport: u16).unwrap_or(0);
    }
    if family == AF_INET {
        put(
            &mut flow.local,
            v4(load!(sk, sk_rcv_saddr: u32).unwrap_or(0)),
        );
        put(&mut flow.remote, v4(load!(sk, sk_daddr: u32).unwrap_or(0)));
    } else if family == AF_INET6 {
        put(
            &mut flow.local,
            load!(sk, sk_v6_rcv_saddr: Words).unwrap_or([0; 4]),
        );
        put(
            &mut flow.remote,
            load!(sk, sk_v6_daddr: Words).unwrap_or([0; 4]),
        );
    }
    describe_file(sk, head);
}

/// Inode and number of references of the socket's file.
#[inline(always)]
fn describe_file(sk: Ptr, head: &mut Head) {
    head.file_refs = NO_U32;
    let Some(socket) = load!(sk, sk_socket: u64) else {
        return;
    };
    let Some(socket) = non_null(socket as Ptr) else {
        head.flags |= head_flag::ORPHAN;
        return;
    };
    let Some(file) = load!(socket, socket_file: u64) else {
        return;
    };
    let Some(file) = non_null(file as Ptr) else {
        // A socket without a file was made by the kernel for itself.
        head.file_refs = 0;
        return;
    };
    // The inode tells a socket without a cookie; with one it is not worth the cache line.
    if head.flow.cookie == 0
        && let Some(inode) = load_ptr!(file, file_inode)
    {
        head.flow.inode = load!(inode, inode_ino: u64).unwrap_or(0);
    }
    if let Some(refs) = load!(file, file_refs: u64) {
        let refs = refs.wrapping_add(config!(file_refs_bias)) as u32;
        // During the last close a plain `f_count` is 0 already, and `file_ref_t` reads as 1: one holder, who
        // closes it.
        head.file_refs = if refs == 0 { 1 } else { refs };
    }
}

/// Inode number of the socket's network namespace.
#[inline(always)]
pub fn netns(sk: Ptr) -> u32 {
    match load_ptr!(sk, sk_net) {
        Some(net) => load!(net, net_inum: u32).unwrap_or(0),
        None => 0,
    }
}

/// IPv4 goes into the first four bytes.
#[inline(always)]
pub const fn v4(address: u32) -> Words {
    [address, 0, 0, 0]
}

/// IPv4 as a v6 socket shows it: `::ffff:a.b.c.d`.
#[inline(always)]
pub const fn mapped_v4(address: u32) -> Words {
    [0, 0, 0xffff_u32.to_be(), address]
}

/// Local port id of a netlink socket, peer of a unix one: the families whose own structure embeds `sock`
/// first. Only on the error path, by probe reads: the pointer's type is plain `sock`.
#[inline(always)]
pub fn embedded_u32(sk: Ptr, offset: u32) -> u32 {
    if offset == tracer_common::UNRESOLVED {
        return 0;
    }
    probe::<u32>(sk as u64 + offset as u64).unwrap_or(0)
}

/// The TCP socket behind `sk`, null when it is none.
#[inline(always)]
pub fn tcp_sock(sk: Ptr) -> Ptr {
    // SAFETY: the helper checks the type of what it is given.
    unsafe { bpf_skc_to_tcp_sock(sk as *mut _) as Ptr }
}

/// A closed socket has given its port back, but its source port stays.
#[inline(always)]
pub fn keep_local_port(tcp: Ptr, head: &mut Head) {
    if head.flow.local_port == 0 && !tcp.is_null() {
        head.flow.local_port = load!(tcp, tcp_sport: u16).unwrap_or(0);
    }
}

/// Takes the TCP state into a record, in 18 direct loads; clears its place when `tcp` is null.
#[inline(always)]
pub fn tcp_state(sk: Ptr, tcp: Ptr, head: &mut Head, to: &mut TcpSnapshot) {
    if tcp.is_null() {
        return clear(to);
    }
    head.flags |= head_flag::TCP;
    // SAFETY: no arguments, cannot fail; the low half is what the kernel calls tcp_jiffies32.
    let now = unsafe { bpf_jiffies64() } as u32;
    to.state = state(sk) as u32;
    to.sndbuf_bytes = load!(sk, sk_sndbuf: u32).unwrap_or(NO_U32);
    to.wmem_queued_bytes = load!(sk, sk_wmem_queued: u32).unwrap_or(NO_U32);
    to.ca_state = load_bits!(tcp, tcp_ca_state).unwrap_or(NO_U32);
    to.send_queue_bytes = match (load!(tcp, tcp_write_seq: u32), load!(tcp, tcp_snd_una: u32)) {
        (Some(write_seq), Some(snd_una)) => write_seq.wrapping_sub(snd_una),
        _ => NO_U32,
    };
    to.cwnd_segments = load!(tcp, tcp_cwnd: u32).unwrap_or(NO_U32);
    to.ssthresh_segments = load!(tcp, tcp_ssthresh: u32).unwrap_or(NO_U32);
    to.srtt_us8 = load!(tcp, tcp_srtt: u32).unwrap_or(NO_U32);
    to.rto_jiffies = load!(tcp, tcp_rto: u32).unwrap_or(NO_U32);
    to.backoff = load_bits!(tcp, tcp_backoff).unwrap_or(NO_U32);
    to.mss_bytes = load!(tcp, tcp_mss: u32).unwrap_or(NO_U32);
    to.pmtu_bytes = load!(tcp, tcp_pmtu: u32).unwrap_or(NO_U32);
    to.peer_window_bytes = load!(tcp, tcp_snd_wnd: u32).unwrap_or(NO_U32);
    to.unacked_segments = load!(tcp, tcp_packets_out: u32).unwrap_or(NO_U32);
    to.lost_segments = load!(tcp, tcp_lost_out: u32).unwrap_or(NO_U32);
    to.last_send_jiffies_ago = ago(now, load!(tcp, tcp_lsndtime: u32));
    to.last_ack_jiffies_ago = ago(now, load!(tcp, tcp_rcv_tstamp: u32));
    to.pad = 0;
}

/// 0 stands for "never" in the kernel's fields.
#[inline(always)]
fn ago(now: u32, then: Option<u32>) -> u32 {
    match then {
        Some(then) if then != 0 => now.wrapping_sub(then),
        _ => NO_U32,
    }
}
