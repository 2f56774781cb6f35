//! The return of every send, where programs of tracepoints can be preempted (7.0 and later).
//!
//! The kernel skips a program that is already running on the same CPU. While a task is preempted in the middle
//! of one, that is every send of every other task there: half of them when eight processes send at once. The
//! perf form of the same tracepoint disables preemption around its programs, so this one ends before anybody
//! else can send. Its socket is a bare address: it gets its type here, and cannot be given to helpers. What
//! needs those, keeping the sender as the owner, is left to a typed program beside it, which may be skipped
//! without loss: the next send makes up for it.

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_common::{RET_IN_EVENT, SK_IN_EVENT};

use super::{Asked, blocked, failed, is_long, partial, sent, would_block};
use crate::{
    emit::{BLOCKED, SEND, SEND_ERROR},
    hooks::waits,
    kernel::{Arg, Ptr, arg, current_task, load, typed},
    maps::{Place, config},
    owner,
    socket::{self, IPPROTO_TCP, SOCK_STREAM},
    syscall,
};

/// `sock:sock_send_length` as a perf tracepoint.
#[tracepoint]
pub fn send_perf(ctx: TracePointContext) -> u32 {
    let event = ctx.as_ptr().cast::<u8>();
    // SAFETY: the kernel checks both against the length of the event; the plan knows that they lie there.

    let (sk, ret) = unsafe {
        (
            core::ptr::read_volatile(event.add(SK_IN_EVENT as usize).cast::<u64>()),
            core::ptr::read_volatile(event.add(RET_IN_EVENT as usize).cast::<i32>()),
        )
    };
    returned(sk, ret) as u32
}

/// The owner that goes with it, `void sock_send_length(struct sock *sk, int ret, int flags)`.
#[btf_tracepoint(function = "sock_send_length")]
pub fn send_owner(ctx: BtfTracePointContext) -> i32 {
    own(arg(&ctx, 0))
}

#[inline(never)]
fn own(sk: Arg) -> i32 {
    let Some(sk) = sk.get() else {
        return 0;
    };
    if socket::is_ip(socket::family(sk)) {
        owner::sent(sk);
    } else if config!(event_kinds) & (1 << SEND_ERROR | 1 << SEND) != 0
        && load!(sk, sk_cookie: u64) == Some(0)
    {
        socket::cookie(sk);
    }
    0
}

/// As [`socket::tcp_sock`].
#[inline(always)]
pub(super) fn tcp_sock(sk: Ptr) -> Ptr {
    if socket::is_ip(socket::family(sk))
        && load!(sk, sk_type: u16) == Some(SOCK_STREAM)
        && socket::protocol(sk) == Some(IPPROTO_TCP)
    {
        typed(sk as u64, config!(tcp_sock_type))
    } else {
        core::ptr::null()
    }
}

#[inline(never)]
fn returned(address: u64, ret: i32) -> i32 {
    // Read once: the verifier removes what is off, and a second load would stay.
    let event_kinds = config!(event_kinds);
    if ret < 0 {
        if event_kinds & (1 << SEND_ERROR) != 0 {
            send_failed(address, ret);
        }
        return 0;
    }
    if event_kinds & (1 << SEND_ERROR | 1 << BLOCKED) != 0 && waits::pending() {
        was_blocked(address, ret);
    }
    if event_kinds & (1 << SEND) != 0 {
        send_succeeded(address, ret);
    }
    if event_kinds & (1 << SEND_ERROR) != 0 {
        let sk = typed(address, config!(sock_type));
        let is_stream = load!(sk, sk_type: u16) == Some(SOCK_STREAM);
        if is_stream && syscall::may_be_partial(sk, ret as u32) {
            partly_sent(address, ret as u64);
        }
    }
    0
}

#[inline(never)]
fn send_failed(address: u64, ret: i32) -> i32 {
    let sk = typed(address, config!(sock_type));
    let task = current_task();
    let errno = ret.unsigned_abs();
    let blocked_ns = waits::of_failed(sk);
    // What would block is counted, and a stream has one destination: nothing to ask the caller for.
    let asked = if would_block(errno, blocked_ns) && load!(sk, sk_type: u16) == Some(SOCK_STREAM) {
        Asked::UNKNOWN
    } else {
        Asked::from_caller(syscall::request(task, sk))
    };
    failed::<false>(sk, errno, blocked_ns, task, asked, Place::Send);
    0
}

/// A send that succeeded after it was blocked.
#[inline(never)]
fn was_blocked(address: u64, ret: i32) -> i32 {
    let blocked_ns = waits::taken(address);
    if !is_long(blocked_ns) || config!(event_kinds) & (1 << BLOCKED) == 0 {
        return 0;
    }
    let sk = typed(address, config!(sock_type));
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    let sent = ret as u32 as u64;
    blocked::<false>(sk, sent, blocked_ns, task, asked, Place::Send);
    0
}

#[inline(never)]
fn send_succeeded(address: u64, ret: i32) -> i32 {
    let sk = typed(address, config!(sock_type));
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    sent::<false>(sk, ret as u32 as u64, task, asked, Place::Send);
    0
}

#[inline(never)]
fn partly_sent(address: u64, sent: u64) -> i32 {
    let sk = typed(address, config!(sock_type));
    let task = current_task();
    let asked = Asked::from_caller(syscall::request(task, sk));
    partial::<false>(sk, sent, task, asked, Place::Send);
    0
}
