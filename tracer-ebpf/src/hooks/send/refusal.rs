//! Sends that a security module refuses: neither the tracepoint nor the protocols see them.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::{Asked, failed, returns::has_program};
use crate::{
    emit::{self, SEND_ERROR},
    kernel::{Ptr, current_task, load},
    maps::{Place, config},
    socket,
};

/// `int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`
#[fexit(function = "security_socket_sendmsg")]
pub fn lsm_refusal(ctx: FExitContext) -> i32 {
    let sock: Ptr = ctx.arg(0);
    let msg: Ptr = ctx.arg(1);
    let size: i32 = ctx.arg(2);
    let ret: i32 = ctx.arg(3);
    if ret >= 0 || !emit::wanted(SEND_ERROR) {
        return 0;
    }
    let Some(sk) = load!(sock, socket_sk: Ptr) else {
        return 0;
    };
    if sk.is_null() || (config!(other_sends) != 0 && !has_program(socket::family(sk))) {
        return 0;
    }
    let asked = Asked::by_message(msg, size as u32 as u64);
    let errno = ret.unsigned_abs();
    failed::<true>(sk, errno, current_task(), Some(asked), Place::LsmRefusal);
    0
}
