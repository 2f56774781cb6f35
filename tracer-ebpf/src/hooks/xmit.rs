//! Drivers that do not take a packet.

use core::ptr::read_volatile;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{DeviceRecord, Head, NO_U32, head_flag};

use crate::{
    emit::{self, DEVICE, EventSlot, Weight},
    kernel::{Arg, Ptr, arg, clear, copy, load, load_ptr, put},
    maps::{EVENTS_DEVICE, LAST_DROP, Place},
    owner, packet, socket,
};

const NETDEV_TX_BUSY: i32 = 0x10;
const ETIMEDOUT: i32 = 110;
/// A driver's refusal is reported within microseconds of its free, but the clock goes on while a virtual processor
/// stands still: for longer than 10 ms where its host is crowded. An older one was of another packet. (A packet at
/// the same address that is freed in between makes it forgotten.)
const JUST_BEFORE_NS: u64 = 1_000_000_000;

/// `void net_dev_xmit(struct sk_buff *skb, int rc, struct net_device *dev, unsigned int skb_len)`
#[btf_tracepoint(function = "net_dev_xmit")]
pub fn xmit(ctx: BtfTracePointContext) -> i32 {
    let rc: i32 = arg(&ctx, 1);
    if rc == 0 {
        return 0;
    }
    refused(arg(&ctx, 0), rc, arg(&ctx, 2), arg(&ctx, 3))
}

/// Its own function, so that a packet that was taken needs no registers saved.
#[inline(never)]
fn refused(skb: Arg, rc: i32, dev: Arg, bytes: u32) -> i32 {
    let Some(dev) = dev.get() else {
        return 0;
    };
    let Some((slot, head)) = emit::begin(DEVICE, Place::Xmit) else {
        return 0;
    };
    head.flags |= head_flag::NO_SOCKET;
    head.flow.netns = netns(dev);
    if rc == NETDEV_TX_BUSY {
        // The packet goes back to the queue, so it still exists.
        if let Some(skb) = skb.get()
            && let Some(sk) = load_ptr!(skb, skb_sk)
            && socket::is_full(sk)
        {
            head.flags &= !head_flag::NO_SOCKET;
            socket::describe_borrowed(sk, head);
            owner::stored(sk, &mut head.owner);
        }
    } else {
        recall(skb.address(), head);
    }
    deliver(slot, head, rc, dev, bytes, NO_U32);
    0
}

/// The packet is freed by now: its drop, just before on this CPU, told whose it was.
#[inline(always)]
fn recall(skb: u64, head: &mut Head) {
    let Some(last) = LAST_DROP.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: this CPU's own place.
    unsafe {
        let write = read_volatile(&raw const (*last).begun);
        if (*last).skb != skb
            || emit::now().wrapping_sub((*last).at_ns) > JUST_BEFORE_NS
            || read_volatile(&raw const (*last).finished) != write
        {
            return;
        }
        (*last).skb = 0;
        let (flags, netns) = (head.flags, head.flow.netns);
        copy(&mut head.owner, &raw const (*last).owner);
        copy(&mut head.flow, &raw const (*last).flow);
        head.flags = read_volatile(&raw const (*last).flags);
        head.file_refs = read_volatile(&raw const (*last).file_refs);
        if read_volatile(&raw const (*last).begun) != write {
            // Another drop came in between.
            clear(&mut head.owner);
            clear(&mut head.flow);
            head.flow.netns = netns;
            head.flags = flags;
            head.file_refs = NO_U32;
        }
    }
}

/// `void net_dev_xmit_timeout(struct net_device *dev, int queue_index)`
#[btf_tracepoint(function = "net_dev_xmit_timeout")]
pub fn xmit_timeout(ctx: BtfTracePointContext) -> i32 {
    timed_out(arg(&ctx, 0), arg(&ctx, 1));
    0
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn timed_out(dev: Arg, queue: u32) {
    let Some(dev) = dev.get() else {
        return;
    };
    let Some((slot, head)) = emit::begin(DEVICE, Place::XmitTimeout) else {
        return;
    };
    head.flags |= head_flag::NO_SOCKET;
    head.flow.netns = netns(dev);
    deliver(slot, head, -ETIMEDOUT, dev, NO_U32, queue);
}

#[inline(always)]
fn netns(dev: Ptr) -> u32 {
    match load_ptr!(dev, dev_net) {
        Some(net) => load!(net, net_inum: u32).unwrap_or(0),
        None => 0,
    }
}

#[inline(always)]
fn deliver(slot: EventSlot, head: &mut Head, rc: i32, dev: Ptr, bytes: u32, queue: u32) {
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let weight = if bytes == NO_U32 { 0 } else { bytes as u64 };
        return slot.aggregate(
            head,
            rc as u32,
            Weight {
                bytes: weight,
                segments: 0,
            },
        );
    }
    slot.emit(
        &EVENTS_DEVICE,
        #[inline(always)]
        |record: &mut DeviceRecord| {
            copy(&mut record.head, head);
            record.rc = rc;
            let (ifindex, name) = packet::device(dev);
            record.ifindex = ifindex;
            put(&mut record.interface, name);
            record.bytes = bytes;
            record.queue = queue;
        },
    );
}
