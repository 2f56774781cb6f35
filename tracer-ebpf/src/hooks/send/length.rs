//! The return of every send, where the kernel has a tracepoint for it (6.3 and later).

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use super::{Asked, blocked, failed, is_long, partial, sent, would_block};
use crate::{
    emit::{BLOCKED, SEND, SEND_ERROR},
    hooks::waits,
    kernel::{Arg, Ptr, arg, current_task, load},
    maps::{Place, config},
    owner,
    socket::{self, SOCK_STREAM},
    syscall,
};

/// `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3: the return of every send.
#[btf_tracepoint(function = "sock_send_length")]
pub fn send_length(ctx: BtfTracePointContext) -> i32 {
    returned(arg(&ctx, 0), arg(&ctx, 1))
}

#[inline(never)]
fn returned(sk: Arg, ret: i32) -> i32 {
    let Some(sk) = sk.get() else {
        return 0;
    };
    if socket::is_ip(socket::family(sk)) {
        owner::sent(sk);
    }
    // Read once: the verifier removes what is off, and a second load would stay.
    let event_kinds = config!(event_kinds);
    if ret < 0 {
        if event_kinds & (1 << SEND_ERROR) != 0 {
            send_failed(sk, ret);
        }
        return 0;
    }
    if event_kinds & (1 << SEND_ERROR | 1 << BLOCKED) != 0 && waits::pending() {
        was_blocked(sk, ret);
    }
    if event_kinds & (1 << SEND) != 0 {
        send_succeeded(sk, ret);
    }
    if event_kinds & (1 << SEND_ERROR) != 0 {
        let is_stream = load!(sk, sk_type: u16) == Some(SOCK_STREAM);
        if is_stream && syscall::may_be_partial(sk, ret as u32) {
            partly_sent(sk, ret as u64);
        }
    }
    0
}

/// Its own function, so that a successful send needs no registers saved.
#[inline(never)]
fn send_failed(sk: Ptr, ret: i32) -> i32 {
    let task = current_task();
    let errno = ret.unsigned_abs();
    let blocked_ns = waits::of_failed(sk);
    // What would block is counted, and a stream has one destination: nothing to ask the caller for.
    let asked = if would_block(errno, blocked_ns) && load!(sk, sk_type: u16) == Some(SOCK_STREAM) {
        Asked::UNKNOWN
    } else {
        Asked::from_caller(syscall::request(task, sk))
    };
    failed::<true>(sk, errno, blocked_ns, task, asked, Place::Send);
    0
}

/// A send that succeeded after it was blocked.
#[inline(never)]
fn was_blocked(sk: Ptr, ret: i32) -> i32 {
    let blocked_ns = waits::taken(sk as u64);
    if !is_long(blocked_ns) || config!(event_kinds) & (1 << BLOCKED) == 0 {
        return 0;
    }
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    let sent = ret as u32 as u64;
    blocked::<true>(sk, sent, blocked_ns, task, asked, Place::Send);
    0
}

#[inline(never)]
fn send_succeeded(sk: Ptr, ret: i32) -> i32 {
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    sent::<true>(sk, ret as u32 as u64, task, asked, Place::Send);
    0
}

#[inline(never)]
fn partly_sent(sk: Ptr, sent: u64) -> i32 {
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    partial::<true>(sk, sent, task, asked, Place::Send);
    0
}
