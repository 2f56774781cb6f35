//! Sends that a security module refuses: neither the tracepoint nor the protocols see them.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::{Asked, NO_U64, failed, returns::has_program};
use crate::{
    emit::{self, SEND_ERROR},
    kernel::{Arg, arg, current_task, load_ptr},
    maps::{Place, config},
    socket,
};

/// `int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`
#[fexit(function = "security_socket_sendmsg")]
pub fn lsm_refusal(ctx: FExitContext) -> i32 {
    returned(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2), arg(&ctx, 3));
    0
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn returned(sock: Arg, msg: Arg, size: i32, ret: i32) {
    if ret >= 0 || !emit::wanted(SEND_ERROR) {
        return;
    }
    let (Some(sock), Some(msg)) = (sock.get(), msg.get()) else {
        return;
    };
    let Some(sk) = load_ptr!(sock, socket_sk) else {
        return;
    };
    if config!(other_sends) != 0 && !has_program(socket::family(sk)) {
        return;
    }
    let asked = Asked::from_msghdr(msg, size as u32 as u64);
    let errno = ret.unsigned_abs();
    // Refused before it could wait.
    failed::<true>(sk, errno, NO_U64, current_task(), asked, Place::LsmRefusal);
}
