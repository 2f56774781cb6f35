//! Wire types: what the BPF programs write and user space reads.
//!
//! Everything here is `#[repr(C)]`, free of padding that is not named, and valid for any bit pattern, so
//! that user space can read it from bytes. Enumerations travel as integers and are converted by `match`.
//! Addresses and ports are in network byte order, everything else in host byte order.
#![no_std]

mod aggregate;
mod config;
mod counters;
pub mod event_kind;
mod flow;
mod offsets;
mod owner;
mod record;
pub mod selftest;
mod walk;

pub use aggregate::{AggregateKey, AggregateValue, BEYOND_MAP, CodeKey, code, connects_seen};
pub use config::{
    Config, ERRNO_WORDS, RET_IN_CALL, RET_IN_EVENT, SK_IN_EVENT, SystemCalls, TYPED_CALL, ability,
    filter, owner_end,
};
pub use counters::Counters;
pub use flow::{Flow, protocol_of_byte};
pub use offsets::{FIELDS, Field, Form, OFFSET_COUNT, Offsets, UNRESOLVED, form};
pub use owner::{
    EXACT_START, Holder, Owner, OwnerByAddress, START_TICK_NS, StoredOwner, grade, is_start, mix,
    owner_flag,
};
pub use record::{
    BlockedRecord, ConnectionRecord, DestinationPath, DeviceRecord, DropRecord, Head, NO_U32,
    NO_U64, ResetRecord, RetransmitRecord, SendErrorRecord, SendRecord, TcpSnapshot, cause,
    direction, head_flag,
};
pub use walk::{
    EndRow, PeerKey, PeerSums, RowHead, TrafficRow, WaitingRow, WalkState, Walked, row, timer,
    wait, walked_flag,
};

/// A plain wire type: `repr(C)`, no implicit padding, every bit pattern valid.
///
/// # Safety
/// The implementor promises exactly that; [`from_bytes`] relies on it.
pub unsafe trait Wire: Copy + 'static {}

/// Reads a wire type from bytes that are at least as long; `None` when they are shorter.
pub fn from_bytes<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, `Wire` promises that every bit pattern is valid, and the read is unaligned.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a wire type, as the BPF programs write them.
pub fn as_bytes<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: `Wire` promises that there is no padding, so every byte is initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Declares that types are [`Wire`] and asserts each size: a change of the wire is never an accident.
macro_rules! wire {
    ($($t:ty = $size:expr),+ $(,)?) => {$(
        // SAFETY: repr(C), integers and arrays of integers only, padding named; the size is asserted here.
        unsafe impl $crate::Wire for $t {}
        const _: () = assert!(size_of::<$t>() == $size);
    )+};
}
pub(crate) use wire;
