//! Owners in the kernel's own socket storage: freed with their sockets.
//!
//! Two CPUs may write at once, and a third read meanwhile; none of them can ask for an order of its loads and
//! stores, and arm64 keeps none by itself. A digest over all words tells a mixture of two writes, whoever is
//! first: a reader that meets one reports nobody, and user space looks the holders up. Should two writers leave
//! one behind, the next write mends it.

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated::bpf_sk_storage_get};
use core::{
    mem::MaybeUninit,
    ptr::{null_mut, read_volatile, write_volatile},
};
use tracer_common::{Owner, StoredOwner, grade, owner_flag};

use super::digest;
use crate::{
    debug::debug,
    kernel::{Ptr, copy},
    maps::OWNERS,
};

/// The stored owner's place, null when there is none.
#[inline(always)]
fn slot(sk: Ptr) -> *mut StoredOwner {
    // SAFETY: the verifier checks the socket; without CREATE nothing is allocated.
    unsafe { bpf_sk_storage_get((&raw const OWNERS) as *mut _, sk as *mut _, null_mut(), 0) }.cast()
}

/// Copies what lies in a slot; is it whole?
///
/// # Safety
/// `slot` is a stored owner.
#[inline(always)]
unsafe fn take(slot: *const StoredOwner, to: &mut Owner) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        copy(to, &raw const (*slot).owner);
        read_volatile(&raw const (*slot).digest) == digest(to)
    }
}

/// Reads the stored owner into an empty place, and leaves its grade empty when there is none.
#[inline(always)]
pub fn read(sk: Ptr, to: &mut Owner) {
    let slot = slot(sk);
    // SAFETY: the slot lives as long as the program runs.
    if !slot.is_null() && unsafe { !take(slot, to) } {
        debug!("the stored owner is being written at this moment");
        to.grade = grade::NONE;
    }
}

/// Writes `owner` for the socket: overwrites who is there when `overwrite`, else only fills an empty place.
#[inline(always)]
pub fn write(sk: Ptr, owner: &Owner, overwrite: bool) {
    let slot = slot(sk);
    let mut place = MaybeUninit::<StoredOwner>::uninit();
    // SAFETY: every word is written before it is read: by `copy`, and the digest.
    let new = unsafe { &mut *place.as_mut_ptr() };
    if slot.is_null() {
        // Packets of this socket will be told apart by its cookie.
        crate::socket::cookie(sk);
        copy(&mut new.owner, owner);
        new.digest = digest(&new.owner);
        // SAFETY: the verifier checks the socket and the initial value.
        unsafe {
            bpf_sk_storage_get(
                (&raw const OWNERS) as *mut _,
                sk as *mut _,
                core::ptr::from_ref(new) as *mut _,
                BPF_SK_STORAGE_GET_F_CREATE as u64,
            )
        };
        return;
    }
    // SAFETY: the slot lives as long as the program runs.
    let whole = unsafe { take(slot, &mut new.owner) };
    let there = &mut new.owner;
    let same = there.pid == owner.pid && there.start_ns == owner.start_ns;
    let several = if overwrite {
        // What is not whole was written by others at this moment, or by two at once.
        let several = !whole
            || (!same && there.grade == grade::AT_SEND)
            || (same && there.flags & owner_flag::SEVERAL != 0);
        copy(there, owner);
        several
    } else if !whole || same || there.flags & owner_flag::SEVERAL != 0 {
        return;
    } else {
        true
    };
    if several {
        there.flags |= owner_flag::SEVERAL;
    }
    // SAFETY: as above.
    unsafe {
        copy(&mut (*slot).owner, &raw const new.owner);
        write_volatile(&raw mut (*slot).digest, digest(&new.owner));
    }
}
