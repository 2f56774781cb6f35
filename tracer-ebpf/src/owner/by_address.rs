//! Owners by the address of their socket, for kernels without socket storage in tracing programs.
//!
//! An address is given to another socket as soon as one is freed, and a wrong owner is worse than none. So an
//! entry is deleted when its socket ends, and nothing is kept about sockets whose end is not seen
//! ([`OWNER_ENDS`]). Each entry also says whose it is: the inode of the socket's file, and its cookie when it
//! had one; what does not fit the socket that is asked about is nobody's. Entries are replaced whole while
//! others read them, and the map gives their places to other keys: a digest over all of the entry tells a
//! mixture of two.

use core::mem::MaybeUninit;
use tracer_common::{Owner, OwnerByAddress, grade, owner_end, owner_flag};

use super::digest_of;
use crate::{
    kernel::{Ptr, clear, copy, load, load_ptr, probe},
    maps::{OWNER_ENDS, OWNERS_BY_ADDRESS},
    socket::{self, IPPROTO_TCP, SOCK_STREAM},
};

const WORDS: usize = size_of::<OwnerByAddress>() / 8 - 1;

/// Identifies a socket among those that use one address in turn.
#[derive(Clone, Copy)]
pub struct Identity {
    /// Address of the `struct sock`. To the verifier it may be a pointer: nothing can be computed with it.
    pub address: u64,
    /// 0: it has none yet.
    pub cookie: u64,
    /// Inode of its file, 0 without one.
    pub inode: u64,
    /// Whether an owner may be kept for it.
    pub kept: bool,
}

/// As the kernel sees the socket now.
#[inline(always)]
pub fn identify(sk: Ptr) -> Identity {
    Identity {
        address: sk as u64,
        cookie: load!(sk, sk_cookie: u64).unwrap_or(0),
        inode: inode(sk),
        kept: may_keep(
            load!(sk, sk_type: u16).unwrap_or(0),
            socket::protocol(sk).unwrap_or(0),
        ),
    }
}

/// Inode of the socket's file, 0 without one. Never given twice while anybody may remember the first.
#[inline(always)]
pub fn inode(sk: Ptr) -> u64 {
    let Some(socket) = load_ptr!(sk, sk_socket) else {
        return 0;
    };
    let Some(file) = load_ptr!(socket, socket_file) else {
        return 0;
    };
    let Some(inode) = load_ptr!(file, file_inode) else {
        return 0;
    };
    load!(inode, inode_ino: u64).unwrap_or(0)
}

/// Is the end of such a socket seen?
#[inline(always)]
pub fn may_keep(sock_type: u16, protocol: u16) -> bool {
    let ends = OWNER_ENDS.get(0).copied().unwrap_or(0);
    let tcp = sock_type == SOCK_STREAM && protocol == IPPROTO_TCP;
    ends & owner_end::IP != 0 || (tcp && ends & owner_end::TCP != 0)
}

/// Reads the owner into an empty place, and leaves it empty when there is none or any doubt about it.
#[inline(always)]
pub fn read(id: &Identity, to: &mut Owner) {
    let Some(entry) = OWNERS_BY_ADDRESS.get_ptr(&id.address) else {
        return;
    };
    let mut place = MaybeUninit::<OwnerByAddress>::uninit();
    // SAFETY: `copy` writes every byte, and every bit pattern is valid; the entry lies in the map.
    let found = unsafe {
        copy(&mut *place.as_mut_ptr(), entry);
        &*place.as_ptr()
    };
    if entry_digest(found) == found.digest && is_of(found, id) {
        copy(to, &raw const found.owner);
    }
}

/// Does the entry belong to this very socket, and not to one that had its address before?
#[inline(always)]
fn is_of(entry: &OwnerByAddress, id: &Identity) -> bool {
    let same_cookie = entry.cookie == 0 || entry.cookie == id.cookie;
    // A socket gets its file when it is accepted, and loses it when it is closed; another's never.
    let same_file = entry.inode == id.inode
        || id.inode == 0
        || (entry.inode == 0 && entry.owner.grade == grade::AT_ACCEPT);
    entry.address == id.address && same_cookie && same_file
}

/// Of all of an entry but the digest itself.
#[inline(always)]
fn entry_digest(entry: &OwnerByAddress) -> u64 {
    // SAFETY: the words before the last one.
    unsafe { digest_of(core::ptr::from_ref(entry).cast(), WORDS) }
}

/// Writes `owner` for the socket: overwrites who is there when `overwrite`, else only fills an empty place.
#[inline(never)]
pub fn write(id: &Identity, owner: &Owner, overwrite: bool) -> i32 {
    if !id.kept {
        return 0;
    }
    let mut place = MaybeUninit::<OwnerByAddress>::uninit();
    // SAFETY: `clear` writes every byte, and all zeroes are valid.
    let entry = unsafe { &mut *place.as_mut_ptr() };
    clear(entry);
    read(id, &mut entry.owner);
    let before = (
        entry.owner.grade,
        entry.owner.pid,
        entry.owner.start_ns,
        entry.owner.flags,
    );
    let (grade, pid, start_ns, flags) = before;
    let same = pid == owner.pid && start_ns == owner.start_ns;
    if overwrite || grade == grade::NONE {
        copy(&mut entry.owner, owner);
        if (!same && grade == grade::AT_SEND) || (same && flags & owner_flag::SEVERAL != 0) {
            entry.owner.flags |= owner_flag::SEVERAL;
        }
    } else if same || flags & owner_flag::SEVERAL != 0 {
        return 0;
    } else {
        entry.owner.flags |= owner_flag::SEVERAL;
    }
    entry.cookie = id.cookie;
    entry.inode = id.inode;
    entry.address = id.address;
    // Read back as a number: the verifier does not compute with pointers.
    entry.address = probe::<u64>(&raw const entry.address as u64).unwrap_or(0);
    entry.digest = entry_digest(entry);
    // Where the map is full, whoever was asked about longest ago makes room.
    let _ = OWNERS_BY_ADDRESS.insert(&id.address, &*entry, 0);
    0
}

/// The socket at this address ends.
#[inline(always)]
pub fn forget(address: u64) {
    let _ = OWNERS_BY_ADDRESS.remove(&address);
}
