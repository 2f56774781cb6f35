//! Connections that fail or die; and who opened, listened and closed.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{ConnectionRecord, code, connects_seen, grade};

use crate::{
    emit::{self, CONNECTION, Weight},
    kernel::{Arg, Ptr, arg, copy, current_task, load},
    maps::{CONNECTS_SEEN, EVENTS_CONNECTION, Place, SYN_SENT, config},
    owner, peers,
    socket::{
        self, IPPROTO_TCP, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LAST_ACK,
        TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT,
    },
    syscall,
};

/// `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
///
/// The steps to SYN_SENT and LISTEN, those to FIN_WAIT1 and LAST_ACK (`tcp_close_state`), and that from an
/// open connection straight to CLOSE without an error (`__tcp_close` with unread data or SO_LINGER of 0) are
/// only ever taken by the process that calls connect, listen, close or shutdown: there `current` is the owner.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn set_state(ctx: BtfTracePointContext) -> i32 {
    state_set(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2))
}

#[inline(never)]
fn state_set(sk: Arg, from: u32, to: u32) -> i32 {
    let Some(sk) = sk.get() else {
        return 0;
    };
    // One after the other: the stack of a function is added to that of its caller, of which there are 512 bytes.
    own(sk, from, to);
    if to == TCP_ESTABLISHED as u32 || to == TCP_CLOSE as u32 {
        peers::state_set(sk, from, to);
    }
    if to == TCP_CLOSE as u32 && emit::wanted(CONNECTION) {
        tell_end(sk, from);
    }
    0
}

/// Who opened, listened or closed.
#[inline(never)]
fn own(sk: Ptr, from: u32, to: u32) -> i32 {
    // Each way of keeping an owner stands here once: the verifier walks through every copy.
    let open = from == TCP_ESTABLISHED as u32 || from == TCP_CLOSE_WAIT as u32;
    if to == TCP_SYN_SENT as u32 || to == TCP_LISTEN as u32 {
        let listens = to == TCP_LISTEN as u32;
        owner::opened(
            sk,
            if listens {
                grade::AT_LISTEN
            } else {
                grade::AT_CONNECT
            },
        );
        if !listens && connects_seen_at_call() {
            syn_sent(sk);
        }
    } else if from == TCP_SYN_RECV as u32 && to == TCP_ESTABLISHED as u32 {
        owner::born(sk);
    } else if from == TCP_SYN_SENT as u32 && to == TCP_ESTABLISHED as u32 {
        if connects_seen_at_call() {
            syn_answered(sk);
        }
    } else if to == TCP_FIN_WAIT1 as u32
        || to == TCP_LAST_ACK as u32
        || (to == TCP_CLOSE as u32
            && open
            && load!(sk, sk_err: u32) == Some(0)
            && load!(sk, sk_socket: u64).unwrap_or(0) != 0)
    {
        owner::closed(sk);
    }
    0
}

#[inline(never)]
fn tell_end(sk: Ptr, from: u32) -> i32 {
    ended(sk, from);
    0
}

/// Where connects that fail before their SYN are told.
#[inline(always)]
fn connects_seen() -> u32 {
    CONNECTS_SEEN
        .get(0)
        .copied()
        .unwrap_or(connects_seen::NOWHERE)
}

/// Are they told at the end of the system call? That program needs types of its own, so that the verifier removes all
/// this where it cannot run.
#[inline(always)]
fn connects_seen_at_call() -> bool {
    config!(sock_type) != 0 && connects_seen() == connects_seen::AT_CALL
}

// Functions of their own, or their stack is added to that of every way through the caller.
#[inline(never)]
fn syn_sent(sk: Ptr) -> i32 {
    let _ = SYN_SENT.insert(&socket::cookie(sk), &1, 0);
    0
}

#[inline(never)]
fn syn_answered(sk: Ptr) -> i32 {
    let _ = SYN_SENT.remove(&load!(sk, sk_cookie: u64).unwrap_or(0));
    0
}

#[inline(never)]
fn fails_in_connect() -> i32 {
    i32::from(syscall::is_in_connect(current_task()))
}

/// A connection ended: an event when it never came to be, or when the socket carries an error.
#[inline(always)]
fn ended(sk: Ptr, from: u32) {
    let errno = load!(sk, sk_err: u32).unwrap_or(0);
    if errno == 0 && from != TCP_SYN_SENT as u32 {
        return;
    }
    if socket::protocol(sk) != Some(IPPROTO_TCP) {
        return;
    }
    let tcp = socket::tcp_sock(sk);
    // A connect that fails before its SYN: told, with its errno, when connect(2) returns.
    if errno == 0 && !tcp.is_null() && load!(tcp, tcp_packets_out: u32) == Some(0) {
        if connects_seen() == connects_seen::AT_FUNCTION {
            return;
        }
        if connects_seen_at_call() {
            syn_answered(sk);
            if fails_in_connect() != 0 {
                return;
            }
        }
    }
    let Some((slot, head)) = emit::begin(CONNECTION, Place::SetState) else {
        return;
    };
    if emit::errno_filtered_out(errno) {
        return slot.count_filtered();
    }
    owner::describe_socket(sk, tcp, head);
    socket::keep_local_port(tcp, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let code = code::connection(from as u8, TCP_CLOSE, errno as u16);
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
        &EVENTS_CONNECTION,
        #[inline(always)]
        |record: &mut ConnectionRecord| {
            copy(&mut record.head, head);
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            // The state is set after this tracepoint.
            record.tcp.state = from;
            record.from = from;
            record.to = TCP_CLOSE as u32;
            record.errno = errno;
            record.pad = 0;
        },
    );
}
