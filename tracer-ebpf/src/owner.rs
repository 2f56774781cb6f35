//! Keeps the owner of each IP socket: written in process context, read anywhere.
//!
//! With the socket itself where the kernel lets tracing programs use its storage ([`storage`]), else in a map
//! keyed by the socket's address ([`by_address`]). Either way a digest tells what is half of one write and half
//! of another, on a processor that keeps the order of stores as on one that does not; a reader that meets it
//! reports nobody, and user space looks the holders up: never a mixture of two.

pub mod by_address;
mod storage;

use core::{
    mem::MaybeUninit,
    ptr::{read_volatile, write_volatile},
};
use tracer_common::{Head, Owner, ability, filter, grade, mix, owner_flag};

use crate::{
    debug::debug,
    kernel::{
        Ptr, Words, can, clear, current_task, load, load_bits, load_probed, load_ptr, load_task,
        load_task_ptr, probe, put,
    },
    maps::{SENDER_PLACES, SENDERS, TRACER, config},
    mptcp, socket,
};

const PF_KTHREAD: u32 = 0x0020_0000;

/// Does a kernel thread run now?
#[inline(always)]
pub fn is_kernel_thread(task: Ptr) -> bool {
    load_task!(task, task_flags: u32).unwrap_or(0) & PF_KTHREAD != 0
}

/// `PF_MEMALLOC`: set around a send by those that send on behalf of block devices (NBD, NVMe), in whatever
/// process happens to wait for the disk; a process's own send never has it when it returns.
const PF_MEMALLOC: u32 = 0x800;

/// Does the kernel send for itself? Its own sockets (NFS, whose socket has a file all the same), and sockets
/// that a process made and handed over (NBD).
#[inline(always)]
pub fn is_kernels_send(sk: Ptr, task: Ptr) -> bool {
    load_task!(task, task_flags: u32).unwrap_or(0) & PF_MEMALLOC != 0
        || load_bits!(sk, sk_kern_sock).unwrap_or(0) != 0
        || kernel_owned(sk)
}

/// Is this a kernel thread that works for a process: io_uring's, before they became threads of the process
/// (5.12)? Kernel threads are never renamed, so their names tell.
#[inline(always)]
pub fn works_for_others(task: Ptr) -> bool {
    const RING: u64 = u64::from_ne_bytes(*b"io_uring");
    const WORKER: u64 = u64::from_ne_bytes(*b"io_wqe_w");
    if !is_kernel_thread(task) {
        return false;
    }
    let name = load_task!(task, task_comm: [u64; 2]).unwrap_or([0; 2])[0];
    name == RING || name == WORKER
}

/// Makes a place on the stack an owner that is nobody; in place, because a copy costs a call.
#[inline(always)]
pub fn nobody(place: &mut MaybeUninit<Owner>) -> &mut Owner {
    // SAFETY: `clear` writes every byte, and all zeroes are valid.
    let owner = unsafe { &mut *place.as_mut_ptr() };
    clear(owner);
    owner
}

/// Describes the process of `task` in an empty place: its group leader's name and start, its own thread id.
#[inline(always)]
pub fn describe(task: Ptr, grade: u8, owner: &mut Owner) {
    owner.grade = grade;
    if is_kernel_thread(task) {
        owner.grade = grade::KERNEL;
        return;
    }
    owner.pid = load_task!(task, task_tgid: u32).unwrap_or(0);
    owner.tid = load_task!(task, task_pid: u32).unwrap_or(0);
    if let Some(leader) = load_task_ptr!(task, task_leader) {
        owner.start_ns = load_task!(leader, task_start: u64).unwrap_or(0);
        put(
            &mut owner.comm,
            load_task!(leader, task_comm: Words).unwrap_or([0; 4]),
        );
    }
    owner.uid = uid(can(ability::CURRENT_TASK), task);
    let Some(cgroup) = cgroup(task) else {
        return;
    };
    owner.cgroup = cgroup_id(cgroup);
    if config!(filters) & filter::CGROUP != 0 && cgroup_matches(cgroup) {
        owner.flags |= owner_flag::CGROUP_MATCH;
    }
}

/// Real user id, `u32::MAX` when unreadable.
#[inline(always)]
fn uid(typed: bool, task: Ptr) -> u32 {
    let uid = match load_task_ptr!(typed, task, task_cred) {
        Some(cred) if typed => load!(cred, cred_uid: u32),
        // Unlike elsewhere, 0 would say something that may not be so.
        Some(cred) => load_probed!(cred, cred_uid: u32),
        None => None,
    };
    uid.unwrap_or(u32::MAX)
}

/// The task's cgroup (v2).
#[inline(always)]
fn cgroup(task: Ptr) -> Option<Ptr> {
    let set = load_task_ptr!(task, task_cgroups)?;
    load_task_ptr!(set, css_set_dfl_cgrp)
}

/// Its id: the inode number of its directory, 0 when unreadable.
#[inline(always)]
fn cgroup_id(cgroup: Ptr) -> u64 {
    match load_task_ptr!(cgroup, cgroup_kn) {
        Some(kn) => load_task!(kn, kernfs_id: u64).unwrap_or(0),
        None => 0,
    }
}

/// Is `cgroup` the wanted one or below it? Each cgroup lists its ancestors by level, itself included.
#[inline(always)]
fn cgroup_matches(cgroup: Ptr) -> bool {
    let level = config!(cgroup_level);
    if (load_task!(cgroup, cgroup_level: u32).unwrap_or(0) as u64) < level || level > 64 {
        return false;
    }
    // SAFETY: a read of a static that nobody writes after loading.
    let base = unsafe { read_volatile(&raw const crate::maps::OFFSETS.cgroup_ancestors) };
    if base == tracer_common::UNRESOLVED {
        return false;
    }
    let slot = cgroup as u64 + base as u64 + level * 8;
    let Some(ancestor) = probe::<u64>(slot) else {
        return false;
    };
    if !can(ability::ANCESTOR_POINTERS) {
        return ancestor == config!(cgroup_id);
    }
    // SAFETY: as above.
    let kn = unsafe { read_volatile(&raw const crate::maps::OFFSETS.cgroup_kn) };
    // SAFETY: as above.
    let id = unsafe { read_volatile(&raw const crate::maps::OFFSETS.kernfs_id) };
    probe::<u64>(ancestor + kn as u64).and_then(|kn| probe::<u64>(kn + id as u64))
        == Some(config!(cgroup_id))
}

/// Who owns the socket, as far as the BPF programs know; `grade::NONE` when nobody is stored.
#[inline(always)]
pub fn stored(sk: Ptr, to: &mut Owner) {
    if can(ability::SOCKET_STORAGE) {
        storage::read(sk, to);
    } else {
        by_address::read(&by_address::identify(sk), to);
    }
    if to.grade == grade::NONE {
        debug!(
            "no owner is stored for the socket with cookie {}",
            load!(sk, sk_cookie: u64).unwrap_or(0)
        );
    }
}

/// Fills flow, file and owner of a full socket, of which `tcp` is the TCP socket or null. A subflow of MPTCP has neither
/// file nor owner of its own: both are those of the MPTCP socket.
#[inline(always)]
pub fn describe_socket(sk: Ptr, tcp: Ptr, head: &mut Head) {
    socket::describe(sk, head);
    if let Some(parent) = mptcp::parent(tcp) {
        mptcp::describe_file(parent, head);
        mptcp::stored(parent, &mut head.owner);
    } else {
        stored(sk, &mut head.owner);
    }
}

/// Writes `owner` for the socket: overwrites who is there when `overwrite`, else only fills an empty place.
#[inline(always)]
pub fn store(sk: Ptr, owner: &Owner, overwrite: bool) {
    if can(ability::SOCKET_STORAGE) {
        storage::write(sk, owner, overwrite);
    } else {
        by_address::write(&by_address::identify(sk), owner, overwrite);
    }
    mptcp::store(sk, owner);
}

/// A digest of an owner, see [`tracer_common::StoredOwner`].
#[inline(always)]
fn digest(owner: &Owner) -> u64 {
    // SAFETY: all its words.
    unsafe { digest_of(core::ptr::from_ref(owner).cast(), size_of::<Owner>() / 8) }
}

/// The digest of some words.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn digest_of(words: *const u64, count: usize) -> u64 {
    let mut digest = 0;
    let mut index = 0;
    while index < count {
        // SAFETY: the caller's promise.
        digest = mix(digest, unsafe { read_volatile(words.add(index)) });
        index += 1;
    }
    digest
}

/// A send returned in process context: the sender is the owner. The common case, the same thread on the same
/// socket as last time, is a few loads and one compare.
#[inline(always)]
pub fn sent(sk: Ptr) {
    if !can(ability::FAST_SEND) {
        sent_on_older_kernel(sk);
        return;
    }
    let cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    let word = sender_word(true, cookie, current_task());
    let place = sender_place(cookie);
    // SAFETY: inside the array; words are read and written whole.
    if cookie != 0 && unsafe { read_volatile(place) } == word {
        return;
    }
    remember_sender(sk);
}

/// As [`sent`] with probe reads where the current task has no type, and without cookies where owners are kept
/// by the socket's address.
#[inline(never)]
fn sent_on_older_kernel(sk: Ptr) -> i32 {
    let id = sender_id(sk);
    let typed = can(ability::CURRENT_TASK);
    let word = sender_word(typed, id, current_task());
    // SAFETY: inside the array; words are read and written whole.
    if id != 0 && unsafe { read_volatile(sender_place(id)) } == word {
        return 0;
    }
    remember_sender(sk);
    0
}

/// What tells a socket in [`SENDERS`]: its cookie, never given twice; or the inode of its file.
#[inline(always)]
fn sender_id(sk: Ptr) -> u64 {
    if can(ability::SOCKET_STORAGE) {
        load!(sk, sk_cookie: u64).unwrap_or(0)
    } else {
        by_address::inode(sk)
    }
}

/// What tells a sender, with what a process often changes while it has sockets: its name (prctl, execve) and
/// its user. As few loads as will do: a thread that is not the leader does not notice that its process was
/// renamed (user space does), and nobody notices a change of cgroup, until something else changes too. Sockets
/// are told apart for sure, so equal words mean the same sender of the same socket, but for a chance of one in
/// 2^64.
#[inline(always)]
fn sender_word(typed: bool, id: u64, task: Ptr) -> u64 {
    let pid = load_task!(typed, task, task_tgid: u32).unwrap_or(0) as u64;
    let tid = load_task!(typed, task, task_pid: u32).unwrap_or(0) as u64;
    let comm = load_task!(typed, task, task_comm: [u64; 2]).unwrap_or([0; 2]);
    let mixed = id ^ (comm[0] << 1) ^ (comm[1] << 2) ^ ((uid(typed, task) as u64) << 3);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (pid << 32 | tid)
}

#[inline(always)]
fn sender_place(id: u64) -> *mut u64 {
    let index = id as usize & (SENDER_PLACES - 1);
    // SAFETY: the mask keeps it inside the array.
    unsafe { (&raw mut SENDERS).cast::<u64>().add(index) }
}

/// Stores the sender. Its own function, so that the common case needs no registers saved.
#[inline(never)]
fn remember_sender(sk: Ptr) -> i32 {
    let task = current_task();
    if is_kernel_thread(task) || is_kernels_send(sk, task) {
        return 0;
    }
    let mut place = MaybeUninit::uninit();
    let owner = nobody(&mut place);
    describe(task, grade::AT_SEND, owner);
    store(sk, owner, true);
    // Where cookies can be made, the socket has one since its owner was stored.
    let id = sender_id(sk);
    let word = sender_word(can(ability::CURRENT_TASK), id, task);
    // SAFETY: inside the array; words are read and written whole.
    unsafe { write_volatile(sender_place(id), word) };
    0
}

/// A connection that nobody has accepted yet: an owner that is known already was another socket's, should its
/// end ever be missed.
#[inline(always)]
pub fn born(sk: Ptr) {
    if !can(ability::SOCKET_STORAGE) && load!(sk, sk_socket: u64).unwrap_or(0) == 0 {
        by_address::forget(sk as u64);
    }
}

/// The socket ends; its address may be given to another one next.
#[inline(always)]
pub fn ended(address: u64) {
    by_address::forget(address);
}

/// The process that connects or listens, seen in process context; the kernel itself when the socket has no
/// file.
#[inline(always)]
pub fn opened(sk: Ptr, grade_now: u8) {
    let mut place = MaybeUninit::uninit();
    let owner = nobody(&mut place);
    let parent = mptcp::parent(socket::tcp_sock(sk));
    if let Some(parent) = parent {
        // For packets: their hooks do not come from the subflow to the MPTCP socket.
        mptcp::stored(parent, owner);
    }
    if owner.grade == grade::NONE {
        if parent.is_none() && kernel_owned(sk) {
            owner.grade = grade::KERNEL;
        } else {
            describe(current_task(), grade_now, owner);
        }
    }
    store(sk, owner, true);
}

/// Remembers that current is the tracer.
#[inline(always)]
pub fn this_is_the_tracer() {
    let tgid = load_task!(current_task(), task_tgid: u32).unwrap_or(0);
    // SAFETY: a plain number, which only walks write, and each of them the same.
    unsafe { write_volatile(&raw mut TRACER, tgid) };
}

/// The process that closes or shuts down: it becomes the owner unless the sender is known.
#[inline(always)]
pub fn closed(sk: Ptr) {
    let task = current_task();
    let tgid = load_task!(task, task_tgid: u32).unwrap_or(0);
    // A walk holds a file while it looks at it. Who closes it meanwhile leaves it to the tracer to let go of it, which
    // closes the socket then, and has nothing to do with it.
    if is_kernel_thread(task)
        || kernel_owned(sk)
        // SAFETY: a plain number.
        || tgid == unsafe { read_volatile(&raw const TRACER) }
    {
        return;
    }
    let mut place = MaybeUninit::uninit();
    let owner = nobody(&mut place);
    stored(sk, owner);
    let (pid, grade) = (owner.pid, owner.grade);
    if grade != grade::NONE {
        let same = pid == tgid;
        if same || grade == grade::AT_SEND || grade == grade::KERNEL {
            return;
        }
    }
    clear(owner);
    describe(task, grade::AT_CLOSE, owner);
    store(sk, owner, true);
}

/// A socket that has a `struct socket` but no file was made by the kernel for itself.
#[inline(always)]
pub fn kernel_owned(sk: Ptr) -> bool {
    match load_ptr!(sk, sk_socket) {
        Some(socket) => load!(socket, socket_file: u64) == Some(0),
        None => false,
    }
}
