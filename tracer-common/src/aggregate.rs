//! What is counted instead of listed: keys and values of the aggregation maps.

use crate::{Flow, Head, Owner, wire};

/// Packs what distinguishes events of one kind into a `u32`, the `code` of the aggregation.
pub mod code {
    /// Retransmit: cause, whether the timer sent it, and the kernel's `err` (clamped to 16 bits).
    pub const fn retransmit(cause: u8, timer: bool, err: i32) -> u32 {
        (cause as u32) | ((timer as u32) << 8) | ((err as i16 as u16 as u32) << 16)
    }
    /// (cause, timer, err) of [`retransmit`].
    pub const fn retransmit_parts(code: u32) -> (u8, bool, i32) {
        (
            code as u8,
            code & 0x100 != 0,
            (code >> 16) as u16 as i16 as i32,
        )
    }
    /// Connection: old state, new state, errno.
    pub const fn connection(from: u8, to: u8, errno: u16) -> u32 {
        (from as u32) | ((to as u32) << 8) | ((errno as u32) << 16)
    }
    /// (from, to, errno) of [`connection`].
    pub const fn connection_parts(code: u32) -> (u8, u8, u16) {
        (code as u8, (code >> 8) as u8, (code >> 16) as u16)
    }
    /// Reset: direction and `enum sk_rst_reason` (clamped to 16 bits).
    pub const fn reset(direction: u8, reason: u32) -> u32 {
        (direction as u32) | ((reason as u16 as u32) << 16)
    }
    /// (direction, reason) of [`reset`].
    pub const fn reset_parts(code: u32) -> (u8, u32) {
        (code as u8, code >> 16)
    }
    /// The only code of a send that was taken.
    pub const SENT: u32 = 0;
    /// The send error code of a partial send: some, but not all bytes were taken.
    pub const PARTIAL_SEND: u32 = 0;
}

/// Where a connect that fails before its SYN is told.
pub mod connects_seen {
    /// Nowhere: without its errno, if its state changed.
    pub const NOWHERE: u32 = 0;
    /// At the return of the protocol's function.
    pub const AT_FUNCTION: u32 = 1;
    /// At the return of connect(2).
    pub const AT_CALL: u32 = 2;
}

/// Events over the rate limit, and would-block and partial sends, are counted under this key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AggregateKey {
    /// One of [`crate::event_kind`].
    pub event_kind: u32,
    /// What [`code`] packs; errno, reason or rc for send errors, drops and devices.
    pub code: u32,
    /// Process id of the stored owner, 0 when nobody is known.
    pub pid: u32,
    pub netns: u32,
    pub family: u16,
    pub protocol: u16,
    pub local_port: u16,
    pub remote_port: u16,
    pub local: [u8; 16],
    pub remote: [u8; 16],
}

/// The count of one key since the last delivery.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateValue {
    /// Events.
    pub count: u64,
    /// Bytes: retransmitted, dropped, sent, or (for a partial send) not taken.
    pub bytes: u64,
    /// Segments of retransmits.
    pub segments: u64,
    /// First event, nanoseconds of CLOCK_BOOTTIME.
    pub first_ns: u64,
    /// Last event, nanoseconds of CLOCK_BOOTTIME.
    pub last_ns: u64,
    /// Flow of the first event.
    pub flow: Flow,
    /// Owner of the first event.
    pub owner: Owner,
    /// [`crate::Head::file_refs`] of the first event.
    pub file_refs: u32,
    /// [`crate::Head::flags`] of the first event.
    pub flags: u32,
}

impl AggregateValue {
    /// What a record of the first event would have started with.
    pub const fn head(&self, event_kind: u32) -> Head {
        Head {
            boot_ns: self.first_ns,
            event_kind,
            flags: self.flags,
            file_refs: self.file_refs,
            pad: 0,
            owner: self.owner,
            flow: self.flow,
        }
    }
}

/// Bit of [`CodeKey::event_kind`]: the flow was known, but the aggregation map had no room for it.
pub const BEYOND_MAP: u32 = 1 << 31;

/// Key of what is counted without a flow: packets of no local socket, and flows beyond the map's size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CodeKey {
    /// One of [`crate::event_kind`], and perhaps [`BEYOND_MAP`].
    pub event_kind: u32,
    pub code: u32,
}

wire!(AggregateKey = 56, AggregateValue = 160, CodeKey = 8);
