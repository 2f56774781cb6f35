//! Owners in the kernel's own socket storage: freed with their sockets.
//!
//! A write is guarded by a sequence number (`Owner::pad`): odd while it is under way. A reader that meets
//! an odd or changing number reports nobody, and user space looks the holders up: never a mixture of two.
//! Volatile accesses keep their order in the compiler; x86 keeps it among stores and among loads.

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated::bpf_sk_storage_get};
use core::ptr::{null_mut, read_volatile, write_volatile};
use tracer_common::{Owner, grade, owner_flag};

use crate::{
    kernel::{Ptr, copy},
    maps::OWNERS,
};

/// The stored owner's place, null when there is none.
#[inline(always)]
pub fn slot(sk: Ptr) -> *mut Owner {
    // SAFETY: the verifier checks the socket; without CREATE nothing is allocated.
    unsafe { bpf_sk_storage_get((&raw const OWNERS) as *mut _, sk as *mut _, null_mut(), 0) }.cast()
}

/// Reads the stored owner into an empty place, and leaves it empty when there is none.
#[inline(always)]
pub fn read(sk: Ptr, to: &mut Owner) {
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
pub fn write(sk: Ptr, owner: &Owner, overwrite: bool) {
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
