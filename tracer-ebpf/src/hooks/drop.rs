//! Packets freed before they were delivered.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{DropRecord, Head, NO_U32, direction, head_flag};

use crate::{
    emit::{self, DROP, EventSlot, Weight},
    kernel::{Arg, Ptr, arg, copy, load, load_ptr, put},
    maps::{BENIGN_REASONS, EVENTS_DROP, LAST_DROP, Place},
    owner, packet,
    socket::{self, IPPROTO_TCP, TCP_LISTEN},
};

/// `void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk)`,
/// since 6.11.
#[btf_tracepoint(function = "kfree_skb")]
pub fn drop_rx_sk(ctx: BtfTracePointContext) -> i32 {
    dropped(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2), arg(&ctx, 3));
    0
}

/// `void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, since 5.17.
#[btf_tracepoint(function = "kfree_skb")]
pub fn drop_reason(ctx: BtfTracePointContext) -> i32 {
    dropped(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2), Arg::NONE);
    0
}

/// `void kfree_skb(struct sk_buff *skb, void *location)`: no reason.
#[btf_tracepoint(function = "kfree_skb")]
pub fn drop_location(ctx: BtfTracePointContext) -> i32 {
    dropped(arg(&ctx, 0), arg(&ctx, 1), NO_U32, Arg::NONE);
    0
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn dropped(skb: Arg, location: u64, reason: u32, rx_sk: Arg) {
    let Some(skb) = skb.get() else {
        return;
    };
    let Some((slot, head)) = emit::begin(DROP, Place::Drop) else {
        return;
    };
    // Duplicates lose nothing, and neither does an empty packet: the FIN that a closed socket leaves in its
    // receive queue.
    let benign =
        // SAFETY: a lookup of a plain value.
        load!(skb, skb_len: u32) == Some(0) || unsafe { BENIGN_REASONS.get(reason) }.is_some();
    if let Some(rx_sk) = rx_sk.get() {
        if !benign && socket::is_full(rx_sk) {
            return of_socket(slot, head, skb, location, reason, rx_sk, true);
        }
    } else if let Some(sk) = load_ptr!(skb, skb_sk)
        && !benign
        && socket::is_full(sk)
    {
        return of_socket(slot, head, skb, location, reason, sk, false);
    }
    forget(skb);
    if emit::needs_socket() || !emit::wanted(DROP) {
        slot.count_filtered();
    } else {
        slot.count_code(reason);
    }
}

/// A packet that belongs to a local socket.
#[inline(always)]
fn of_socket(
    slot: EventSlot,
    head: &mut Head,
    skb: Ptr,
    location: u64,
    reason: u32,
    sk: Ptr,
    received: bool,
) {
    socket::describe_borrowed(sk, head);
    owner::stored(sk, &mut head.owner);
    let sent_here = !received && load!(skb, skb_iif: u32).unwrap_or(0) == 0;
    // A closed socket has given its port back, a listening one has many peers: the packet knows.
    let connected = head.flow.protocol == IPPROTO_TCP
        && head.flow.local_port != 0
        && socket::state(sk) != TCP_LISTEN;
    let packet = if socket::is_ip(head.flow.family) && !(connected && (received || sent_here)) {
        packet::addresses(skb)
    } else {
        packet::Addresses::NONE
    };
    let direction = if received {
        direction::RECEIVED as u32
    } else {
        packet::direction(skb, &head.flow, &packet)
    };
    if !connected && socket::is_ip(head.flow.family) {
        if packet.are_of(&head.flow, direction) {
            packet::complete(&mut head.flow, &packet, direction);
        } else if head.flow.remote_port == 0 {
            head.flags |= head_flag::NO_REMOTE;
        }
    }
    head.boot_ns = emit::now();
    if direction == direction::SENT as u32 {
        remember(skb, head);
    } else {
        forget(skb);
    }
    if !emit::wanted(DROP) || emit::filtered_out(head) {
        return slot.count_filtered();
    }
    let bytes = load!(skb, skb_len: u32).unwrap_or(NO_U32);
    if !slot.within_rate(head.boot_ns) {
        return slot.aggregate(
            head,
            reason,
            Weight {
                bytes: bytes as u64,
                segments: 0,
            },
        );
    }
    slot.emit(
        &EVENTS_DROP,
        #[inline(always)]
        |record: &mut DropRecord| {
            copy(&mut record.head, head);
            record.location = location;
            record.reason = reason;
            let (ifindex, name) = packet::interface(skb);
            record.ifindex = ifindex;
            put(&mut record.interface, name);
            record.bytes = bytes;
            record.direction = direction;
        },
    );
}

/// Keeps whose packet it was, for the device error that may follow.
#[inline(always)]
fn remember(skb: Ptr, head: &Head) {
    if !emit::wanted(emit::DEVICE) {
        return;
    }
    if let Some(last) = LAST_DROP.get_ptr_mut(0) {
        // SAFETY: this CPU's own place.
        unsafe {
            let write = read_volatile(&raw const (*last).begun).wrapping_add(1);
            write_volatile(&raw mut (*last).begun, write);
            write_volatile(&raw mut (*last).skb, skb as u64);
            write_volatile(&raw mut (*last).at_ns, head.boot_ns);
            copy(&mut (*last).owner, &head.owner);
            copy(&mut (*last).flow, &head.flow);
            write_volatile(&raw mut (*last).flags, head.flags);
            write_volatile(&raw mut (*last).file_refs, head.file_refs);
            write_volatile(&raw mut (*last).finished, write);
        }
    }
}

/// Another packet was freed at the address that is kept: whose that one was says nothing about this one.
#[inline(always)]
fn forget(skb: Ptr) {
    if !emit::wanted(emit::DEVICE) {
        return;
    }
    if let Some(last) = LAST_DROP.get_ptr_mut(0) {
        // SAFETY: this CPU's own place.
        unsafe {
            if (*last).skb == skb as u64 {
                (*last).skb = 0;
            }
        }
    }
}
