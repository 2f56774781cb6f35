//! TCP RST, sent and received.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Head, NO_U32, ResetRecord, code, direction, head_flag};

use crate::{
    emit::{self, EventSlot, RESET, Weight},
    kernel::{Arg, Ptr, arg, copy},
    maps::{EVENTS_RESET, Place},
    owner, packet,
    socket::{self, TCP_LISTEN},
};

/// `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb__nullable,
/// const enum sk_rst_reason reason)`, since 6.10. `skb` is what is answered.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent_reason(ctx: BtfTracePointContext) -> i32 {
    sent(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    0
}

/// `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    sent(arg(&ctx, 0), arg(&ctx, 1), NO_U32);
    0
}

/// `void tcp_receive_reset(struct sock *sk)`
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn reset_received(ctx: BtfTracePointContext) -> i32 {
    received(arg(&ctx, 0));
    0
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn received(sk: Arg) {
    let Some(sk) = sk.get() else {
        return;
    };
    let Some((slot, head)) = emit::begin(RESET, Place::ResetReceived) else {
        return;
    };
    owner::describe_socket(sk, socket::tcp_sock(sk), head);
    deliver(slot, head, sk, direction::RECEIVED, NO_U32);
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn sent(sk: Arg, skb: Arg, reason: u32) {
    let Some((slot, head)) = emit::begin(RESET, Place::ResetSent) else {
        return;
    };
    let mut of_socket = core::ptr::null();
    let mut listener = false;
    if let Some(sk) = sk.get()
        && socket::is_full(sk)
    {
        of_socket = sk;
        listener = socket::state(sk) == TCP_LISTEN;
        let tcp = socket::tcp_sock(sk);
        owner::describe_socket(sk, tcp, head);
        socket::keep_local_port(tcp, head);
    } else {
        head.flags |= head_flag::NO_SOCKET;
    }
    if (of_socket.is_null() || listener)
        && let Some(skb) = skb.get()
    {
        head.flow.netns = packet::netns(skb);
        let answered = packet::addresses(skb);
        if answered.known() {
            packet::complete(&mut head.flow, &answered, direction::RECEIVED as u32);
        }
    }
    deliver(slot, head, of_socket, direction::SENT, reason);
}

#[inline(always)]
fn deliver(slot: EventSlot, head: &mut Head, sk: Ptr, direction: u8, reason: u32) {
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let code = code::reset(direction, reason);
        return slot.aggregate(
            head,
            code,
            Weight {
                bytes: 0,
                segments: 0,
            },
        );
    }
    slot.emit(
        &EVENTS_RESET,
        #[inline(always)]
        |record: &mut ResetRecord| {
            copy(&mut record.head, head);
            let tcp = if sk.is_null() {
                sk
            } else {
                socket::tcp_sock(sk)
            };
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            record.direction = direction as u32;
            record.reason = reason;
        },
    );
}
