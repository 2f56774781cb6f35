//! MPTCP: packets belong to subflows, TCP sockets that the kernel makes and that no process ever sees. Their owner is
//! that of the MPTCP socket.

use tracer_common::{Head, Owner, head_flag};

use crate::{
    kernel::{Ptr, copy, load, load_bits, load_probed},
    maps::{MPTCP_OWNERS, config},
    socket,
};

const IPPROTO_MPTCP: u16 = 262;

/// Address of the MPTCP socket that `tcp` is a subflow of; `None` when it is none.
#[inline(always)]
pub fn parent(tcp: Ptr) -> Option<u64> {
    if tcp.is_null() || load_bits!(tcp, tcp_is_mptcp)? == 0 {
        return None;
    }
    let context = load!(tcp, tcp_ulp_data: u64).filter(|context| *context != 0)?;
    load_probed!(context, subflow_conn: u64).filter(|parent| *parent != 0)
}

/// Who owns an MPTCP socket, into an empty place.
#[inline(always)]
pub fn stored(parent: u64, to: &mut Owner) {
    let cookie = load_probed!(parent, sk_cookie: u64).unwrap_or(0);
    if let Some(owner) = MPTCP_OWNERS.get_ptr(&cookie) {
        copy(to, owner);
    }
}

/// Keeps the owner of a socket where it is one of MPTCP.
#[inline(always)]
pub fn store(sk: Ptr, owner: &Owner) {
    if socket::protocol(sk) != Some(IPPROTO_MPTCP) {
        return;
    }
    let cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    if cookie != 0 {
        let _ = MPTCP_OWNERS.insert(&cookie, owner, 0);
    }
}

/// Puts the file of the MPTCP socket into the place of the subflow's.
#[inline(always)]
pub fn describe_file(parent: u64, head: &mut Head) {
    head.flags = (head.flags & !head_flag::ORPHAN) | head_flag::SUBFLOW;
    let socket = load_probed!(parent, sk_socket: u64).unwrap_or(0);
    if socket == 0 {
        head.flags |= head_flag::ORPHAN;
        return;
    }
    let file = load_probed!(socket, socket_file: u64).unwrap_or(0);
    if file == 0 {
        head.file_refs = 0;
        return;
    }
    let inode = load_probed!(file, file_inode: u64).unwrap_or(0);
    head.flow.inode = load_probed!(inode, inode_ino: u64).unwrap_or(0);
    let refs = load_probed!(file, file_refs: u64).unwrap_or(0);
    let refs = refs.wrapping_add(config!(file_refs_bias)) as u32;
    head.file_refs = if refs == 0 { 1 } else { refs };
}
