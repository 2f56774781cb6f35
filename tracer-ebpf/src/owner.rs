//! Keeps the owner of each IP socket: written in process context, read anywhere.
//!
//! A write is guarded by a sequence number (`Owner::pad`): odd while it is under way. A reader that meets
//! an odd or changing number reports nobody, and user space looks the holders up: never a mixture of two.
//! Volatile accesses keep their order in the compiler; x86 keeps it among stores and among loads.

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated::bpf_sk_storage_get};
use core::{
    mem::MaybeUninit,
    ptr::{null_mut, read_volatile, write_volatile},
};
use tracer_common::{Owner, filter, grade, owner_flag};

use crate::{
    kernel::{Ptr, Words, clear, copy, current_task, load, load_bits, put},
    maps::{OWNERS, SENDER_PLACES, SENDERS, config},
};

const PF_KTHREAD: u32 = 0x0020_0000;

/// Does a kernel thread run now?
#[inline(always)]
pub fn is_kernel_thread(task: Ptr) -> bool {
    load!(task, task_flags: u32).unwrap_or(0) & PF_KTHREAD != 0
}

/// `PF_MEMALLOC`: set around a send by those that send on behalf of block devices (NBD, NVMe), in whatever
/// process happens to wait for the disk; a process's own send never has it when it returns.
const PF_MEMALLOC: u32 = 0x800;

/// Does the kernel send for itself? Its own sockets (NFS, whose socket has a file all the same), and sockets
/// that a process made and handed over (NBD).
#[inline(always)]
pub fn is_kernels_send(sk: Ptr, task: Ptr) -> bool {
    load!(task, task_flags: u32).unwrap_or(0) & PF_MEMALLOC != 0
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
    let name = load!(task, task_comm: [u64; 2]).unwrap_or([0; 2])[0];
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
    owner.pid = load!(task, task_tgid: u32).unwrap_or(0);
    owner.tid = load!(task, task_pid: u32).unwrap_or(0);
    if let Some(leader) = load!(task, task_leader: Ptr) {
        owner.start_ns = load!(leader, task_start: u64).unwrap_or(0);
        put(
            &mut owner.comm,
            load!(leader, task_comm: Words).unwrap_or([0; 4]),
        );
    }
    owner.uid = uid(task);
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
fn uid(task: Ptr) -> u32 {
    match load!(task, task_cred: Ptr) {
        Some(cred) => load!(cred, cred_uid: u32).unwrap_or(u32::MAX),
        None => u32::MAX,
    }
}

/// The task's cgroup (v2).
#[inline(always)]
fn cgroup(task: Ptr) -> Option<Ptr> {
    let set = load!(task, task_cgroups: Ptr)?;
    load!(set, css_set_dfl_cgrp: Ptr)
}

/// Its id: the inode number of its directory, 0 when unreadable.
#[inline(always)]
fn cgroup_id(cgroup: Ptr) -> u64 {
    match load!(cgroup, cgroup_kn: Ptr) {
        Some(kn) => load!(kn, kernfs_id: u64).unwrap_or(0),
        None => 0,
    }
}

/// Is `cgroup` the wanted one or below it? Each cgroup lists its ancestors by level, itself included.
#[inline(always)]
fn cgroup_matches(cgroup: Ptr) -> bool {
    let level = config!(cgroup_level);
    if (load!(cgroup, cgroup_level: u32).unwrap_or(0) as u64) < level || level > 64 {
        return false;
    }
    // SAFETY: a read of a static that nobody writes after loading.
    let base = unsafe { read_volatile(&raw const crate::maps::OFFSETS.cgroup_ancestors) };
    if base == tracer_common::UNRESOLVED {
        return false;
    }
    let slot = cgroup as u64 + base as u64 + level * 8;
    let Some(ancestor) = crate::kernel::probe::<u64>(slot) else {
        return false;
    };
    // SAFETY: as above.
    let kn = unsafe { read_volatile(&raw const crate::maps::OFFSETS.cgroup_kn) };
    // SAFETY: as above.
    let id = unsafe { read_volatile(&raw const crate::maps::OFFSETS.kernfs_id) };
    crate::kernel::probe::<u64>(ancestor + kn as u64)
        .and_then(|kn| crate::kernel::probe::<u64>(kn + id as u64))
        == Some(config!(cgroup_id))
}

/// The stored owner's place, null when there is none.
#[inline(always)]
fn slot(sk: Ptr) -> *mut Owner {
    // SAFETY: the verifier checks the socket; without CREATE nothing is allocated.
    unsafe { bpf_sk_storage_get((&raw const OWNERS) as *mut _, sk as *mut _, null_mut(), 0) }.cast()
}

/// Who owns the socket, as far as the kernel half knows; `grade::NONE` when nobody is stored.
#[inline(always)]
pub fn stored(sk: Ptr, to: &mut Owner) {
    let slot = slot(sk);
    if slot.is_null() {
        return;
    }
    // SAFETY: the slot lives as long as the program runs.
    unsafe {
        let before = read_volatile(&raw const (*slot).pad);
        copy(to, slot);
        let after = read_volatile(&raw const (*slot).pad);
        if before != after || before & 1 != 0 {
            to.grade = grade::NONE;
        }
        to.pad = 0;
    }
}

/// Writes `owner` for the socket: overwrites who is there when `overwrite`, else only fills an empty place.
#[inline(always)]
pub fn store(sk: Ptr, owner: &Owner, overwrite: bool) {
    let slot = slot(sk);
    if slot.is_null() {
        // Packets of this socket will be told apart by its cookie.
        crate::socket::cookie(sk);
        // SAFETY: the verifier checks the socket and the initial value.
        unsafe {
            bpf_sk_storage_get(
                (&raw const OWNERS) as *mut _,
                sk as *mut _,
                core::ptr::from_ref(owner) as *mut _,
                BPF_SK_STORAGE_GET_F_CREATE as u64,
            )
        };
        return;
    }
    // SAFETY: the slot lives as long as the program runs.
    unsafe {
        let same = (*slot).pid == owner.pid && (*slot).start_ns == owner.start_ns;
        let sequence = read_volatile(&raw const (*slot).pad);
        if sequence & 1 != 0 {
            // Another process writes at this moment: both have used the socket.
            write_volatile(&raw mut (*slot).flags, (*slot).flags | owner_flag::SEVERAL);
            return;
        }
        if !overwrite {
            if !same && (*slot).grade != grade::NONE {
                write_volatile(&raw mut (*slot).flags, (*slot).flags | owner_flag::SEVERAL);
            }
            return;
        }
        let mut flags = owner.flags;
        if !same && (*slot).grade == grade::AT_SEND {
            flags |= owner_flag::SEVERAL;
        }
        if same {
            flags |= (*slot).flags & owner_flag::SEVERAL;
        }
        write_volatile(&raw mut (*slot).pad, sequence.wrapping_add(1));
        write_volatile(&raw mut (*slot).start_ns, owner.start_ns);
        write_volatile(&raw mut (*slot).cgroup, owner.cgroup);
        write_volatile(&raw mut (*slot).pid, owner.pid);
        write_volatile(&raw mut (*slot).tid, owner.tid);
        write_volatile(&raw mut (*slot).uid, owner.uid);
        write_volatile(&raw mut (*slot).comm, owner.comm);
        write_volatile(&raw mut (*slot).flags, flags);
        write_volatile(&raw mut (*slot).grade, owner.grade);
        write_volatile(&raw mut (*slot).pad, sequence.wrapping_add(2));
    }
}

/// A send returned in process context: the sender is the owner. The common case, the same thread on the same
/// socket as last time, is a few loads and one compare.
#[inline(always)]
pub fn sent(sk: Ptr) {
    let cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    let word = sender_word(cookie, current_task());
    let place = sender_place(cookie);
    // SAFETY: inside the array; words are read and written whole.
    if cookie != 0 && unsafe { read_volatile(place) } == word {
        return;
    }
    remember_sender(sk);
}

/// What tells a sender, with what a process often changes while it has sockets: its name (prctl, execve) and
/// its user. As few loads as will do: a thread that is not the leader does not notice that its process was
/// renamed (user space does), and nobody notices a change of cgroup, until something else changes too. Cookies
/// are never given twice, so equal words mean the same sender of the same socket, but for a chance of one in
/// 2^64.
#[inline(always)]
fn sender_word(cookie: u64, task: Ptr) -> u64 {
    let pid = load!(task, task_tgid: u32).unwrap_or(0) as u64;
    let tid = load!(task, task_pid: u32).unwrap_or(0) as u64;
    let comm = load!(task, task_comm: [u64; 2]).unwrap_or([0; 2]);
    let mixed = cookie ^ (comm[0] << 1) ^ (comm[1] << 2) ^ ((uid(task) as u64) << 3);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (pid << 32 | tid)
}

#[inline(always)]
fn sender_place(cookie: u64) -> *mut u64 {
    let index = cookie as usize & (SENDER_PLACES - 1);
    // SAFETY: the mask keeps it inside the array.
    unsafe { (&raw mut SENDERS).cast::<u64>().add(index) }
}

/// Is the stored sender the same in all but the thread?
///
/// # Safety
/// `slot` is a stored owner.
#[inline(always)]
unsafe fn is_thread_of(slot: *const Owner, owner: &Owner) -> bool {
    // SAFETY: the caller's promise; `comm` lies on a multiple of 8 in both.
    unsafe {
        let (theirs, ours) = (
            (&raw const (*slot).comm).cast::<u64>(),
            (&raw const owner.comm).cast::<u64>(),
        );
        (*slot).grade == grade::AT_SEND
            && (*slot).pid == owner.pid
            && (*slot).start_ns == owner.start_ns
            && (*slot).uid == owner.uid
            && (*slot).cgroup == owner.cgroup
            && *theirs == *ours
            && *theirs.add(1) == *ours.add(1)
    }
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
    let slot = slot(sk);
    // SAFETY: the slot lives as long as the program runs.
    if !slot.is_null() && unsafe { is_thread_of(slot, owner) } {
        // SAFETY: as above.
        unsafe { (*slot).tid = owner.tid };
    } else {
        store(sk, owner, true);
    }
    // The socket has a cookie since its owner was stored.
    let cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    let word = sender_word(cookie, task);
    // SAFETY: inside the array; words are read and written whole.
    unsafe { write_volatile(sender_place(cookie), word) };
    0
}

/// The process that connects or listens, seen in process context; the kernel itself when the socket has no
/// file.
#[inline(always)]
pub fn opened(sk: Ptr, grade_now: u8) {
    let mut place = MaybeUninit::uninit();
    let owner = nobody(&mut place);
    if kernel_owned(sk) {
        owner.grade = grade::KERNEL;
    } else {
        describe(current_task(), grade_now, owner);
    }
    store(sk, owner, true);
}

/// The process that closes or shuts down: it becomes the owner unless the sender is known.
#[inline(always)]
pub fn closed(sk: Ptr) {
    let task = current_task();
    if is_kernel_thread(task) || kernel_owned(sk) {
        return;
    }
    let slot = slot(sk);
    if !slot.is_null() {
        // SAFETY: the slot lives as long as the program runs.
        let (pid, grade) = unsafe { ((*slot).pid, (*slot).grade) };
        let same = pid == load!(task, task_tgid: u32).unwrap_or(0);
        if same || grade == grade::AT_SEND || grade == grade::KERNEL {
            return;
        }
    }
    let mut place = MaybeUninit::uninit();
    let owner = nobody(&mut place);
    describe(task, grade::AT_CLOSE, owner);
    store(sk, owner, true);
}

/// A socket that has a `struct socket` but no file was made by the kernel for itself.
#[inline(always)]
pub fn kernel_owned(sk: Ptr) -> bool {
    match load!(sk, sk_socket: Ptr) {
        Some(socket) if !socket.is_null() => {
            load!(socket, socket_file: Ptr).is_some_and(|file| file.is_null())
        }
        _ => false,
    }
}
