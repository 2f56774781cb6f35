//! For how long a send is blocked: seen at the functions in which it sleeps, which no other send gets to.
//!
//! What a thread waits in one send adds up in [`WAITS`], and whoever sees the return of that send takes it away. Where
//! sends wait for room in the send buffer of a datagram or unix stream socket (`sock_wait_for_wmem`) there is nothing to
//! hook: the compiler builds that into a function that every such send runs.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use core::ptr::{read_volatile, write_volatile};
use tracer_common::NO_U64;

use crate::{
    emit::{add, now},
    kernel::{Arg, Ptr, arg, load, probe},
    maps::{WAITED, WAITED_PLACES, WAITING, WAITS, WAITS_SEEN, Wait},
    socket::{self, SOCK_STREAM, TCP_LISTEN},
};

/// `int sk_stream_wait_memory(struct sock *sk, long *timeo_p)`: TCP and MPTCP, for room in the send buffer.
#[fentry(function = "sk_stream_wait_memory")]
pub fn memory_wait(ctx: FEntryContext) -> i32 {
    stream_waits(arg(&ctx, 0), arg(&ctx, 1))
}

/// The same where the verifier lets nobody have a pointer to a number (5.10): the time-out is not looked at.
#[fentry(function = "sk_stream_wait_memory")]
pub fn memory_wait_any(ctx: FEntryContext) -> i32 {
    any_waits(arg(&ctx, 0))
}

/// Its return.
#[fexit(function = "sk_stream_wait_memory")]
pub fn memory_waited(_ctx: FExitContext) -> i32 {
    ends()
}

/// `int sk_stream_wait_connect(struct sock *sk, long *timeo_p)`: a send on a connection that is being opened.
#[fentry(function = "sk_stream_wait_connect")]
pub fn connect_wait(ctx: FEntryContext) -> i32 {
    stream_waits(arg(&ctx, 0), arg(&ctx, 1))
}

/// As [`memory_wait_any`].
#[fentry(function = "sk_stream_wait_connect")]
pub fn connect_wait_any(ctx: FEntryContext) -> i32 {
    any_waits(arg(&ctx, 0))
}

/// Its return.
#[fexit(function = "sk_stream_wait_connect")]
pub fn connect_waited(_ctx: FExitContext) -> i32 {
    ends()
}

/// `long unix_wait_for_peer(struct sock *other, long timeo)`: unix datagrams, for room in the queue of the peer.
#[fentry(function = "unix_wait_for_peer")]
pub fn peer_wait(ctx: FEntryContext) -> i32 {
    peer_waits(arg(&ctx, 0))
}

/// Its return.
#[fexit(function = "unix_wait_for_peer")]
pub fn peer_waited(_ctx: FExitContext) -> i32 {
    ends()
}

/// A non-blocking socket comes here too, to be told that it would block: it has no time to wait.
#[inline(never)]
fn stream_waits(sk: u64, timeout: u64) -> i32 {
    if probe::<u64>(timeout) != Some(0) {
        begins(sk);
    }
    0
}

#[inline(never)]
fn any_waits(sk: u64) -> i32 {
    begins(sk);
    0
}

/// A connect waits for room in the backlog of a listener in the same function.
#[inline(never)]
fn peer_waits(other: Arg) -> i32 {
    if let Some(other) = other.get()
        && socket::state(other) != TCP_LISTEN
    {
        begins(0);
    }
    0
}

#[inline(always)]
fn thread() -> u64 {
    // SAFETY: no arguments, cannot fail.
    unsafe { bpf_get_current_pid_tgid() }
}

#[inline(always)]
fn place(thread: u64) -> *mut u64 {
    let index = thread as usize & (WAITED_PLACES - 1);
    // SAFETY: the mask keeps it inside the array.
    unsafe { (&raw mut WAITED).cast::<u64>().add(index) }
}

#[inline(always)]
fn begins(sk: u64) {
    let thread = thread();
    let Some(wait) = WAITS.get_ptr_mut(&thread) else {
        let first = Wait {
            sk,
            since_ns: now(),
            total_ns: 0,
            depth: 1,
        };
        if WAITS.insert(&thread, &first, 0).is_ok() {
            add(&raw mut WAITING, 1);
            add(place(thread), 1);
        }
        return;
    };
    // SAFETY: the pointer comes from the map, and nobody but this thread writes there.
    unsafe {
        let depth = read_volatile(&raw const (*wait).depth);
        if depth == 0 {
            write_volatile(&raw mut (*wait).since_ns, now());
            // The return of an earlier send was not seen.
            if read_volatile(&raw const (*wait).sk) != sk {
                write_volatile(&raw mut (*wait).sk, sk);
                write_volatile(&raw mut (*wait).total_ns, 0);
            }
        }
        write_volatile(&raw mut (*wait).depth, depth + 1);
    }
}

#[inline(never)]
fn ends() -> i32 {
    let Some(wait) = WAITS.get_ptr_mut(&thread()) else {
        return 0;
    };
    // SAFETY: as above.
    unsafe {
        let depth = read_volatile(&raw const (*wait).depth);
        if depth == 1 {
            let more = now().wrapping_sub(read_volatile(&raw const (*wait).since_ns));
            let total = read_volatile(&raw const (*wait).total_ns);
            write_volatile(&raw mut (*wait).total_ns, total.wrapping_add(more));
        }
        if depth != 0 {
            write_volatile(&raw mut (*wait).depth, depth - 1);
        }
    }
    0
}

/// May the send of the current thread have been blocked? One load when nobody is.
#[inline(always)]
pub fn pending() -> bool {
    // SAFETY: words are read and written whole.
    unsafe { read_volatile(&raw const WAITING) != 0 && read_volatile(place(thread())) != 0 }
}

/// For how long the send of the current thread that returns was blocked, nanoseconds; [`NO_U64`] when it was not, or is
/// not one on this socket. What is asked for is gone.
#[inline(never)]
pub fn taken(sk: u64) -> u64 {
    let thread = thread();
    let Some(wait) = WAITS.get_ptr(&thread) else {
        return NO_U64;
    };
    // SAFETY: the pointer comes from the map.
    let (own, total) = unsafe {
        (
            read_volatile(&raw const (*wait).sk),
            read_volatile(&raw const (*wait).total_ns),
        )
    };
    if WAITS.remove(&thread).is_ok() {
        add(&raw mut WAITING, u64::MAX);
        add(place(thread), u64::MAX);
    }
    if own == 0 || own == sk { total } else { NO_U64 }
}

/// The same of a send that failed: 0 when it was not blocked and that is known.
#[inline(always)]
pub fn of_failed(sk: Ptr) -> u64 {
    if pending() {
        let blocked = taken(sk as u64);
        if blocked != NO_U64 {
            return blocked;
        }
    }
    let sees_all = load!(sk, sk_type: u16) == Some(SOCK_STREAM)
        && socket::is_ip(socket::family(sk))
        && WAITS_SEEN.get(0).copied() == Some(1);
    if sees_all { 0 } else { NO_U64 }
}
