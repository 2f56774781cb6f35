//! Who accepted a connection, where the kernel allows fexit programs.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use tracer_common::grade;

use crate::{
    kernel::{Arg, arg},
    owner,
};

/// `struct sock *inet_csk_accept(struct sock *sk, struct proto_accept_arg *arg)`, since 6.10.
#[fexit(function = "inet_csk_accept")]
pub fn accept2(ctx: FExitContext) -> i32 {
    accepted(arg(&ctx, 2))
}

/// `struct sock *inet_csk_accept(struct sock *sk, int flags, int *err, bool kern)`
#[fexit(function = "inet_csk_accept")]
pub fn accept4(ctx: FExitContext) -> i32 {
    accepted(arg(&ctx, 4))
}

#[inline(never)]
fn accepted(sk: Arg) -> i32 {
    if let Some(sk) = sk.get() {
        owner::opened(sk, grade::AT_ACCEPT);
    }
    0
}
