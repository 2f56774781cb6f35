//! Where owners are kept by the address of their socket: forgets them in time.

use aya_ebpf::{
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use tracer_common::owner_end;

use crate::{
    kernel::{Arg, arg},
    maps::OWNER_ENDS,
    owner,
};

/// `void inet_sock_destruct(struct sock *sk)`: the last that every IP socket goes through, `sk->sk_destruct`,
/// once nothing refers to it and before it is freed.
#[fexit(function = "inet_sock_destruct")]
pub fn socket_end(ctx: FExitContext) -> i32 {
    owner::ended(arg::<Arg>(&ctx, 0).address());
    0
}

/// `void tcp_destroy_sock(struct sock *sk)`: TCP is done with the socket, though packets of it may be left.
/// Only where the above is refused.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_socket_end(ctx: BtfTracePointContext) -> i32 {
    if OWNER_ENDS.get(0).copied().unwrap_or(0) & owner_end::IP == 0 {
        owner::ended(arg::<Arg>(&ctx, 0).address());
    }
    0
}
