//! Sends that a security module refuses: neither the tracepoint nor the protocols see them.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::{Asked, failed, returns::has_program};
use crate::{
    emit::{self, SEND_ERROR},
    kernel::{Arg, arg, current_task, load_ptr},
    maps::{Place, config},
    socket,
};

/// `int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`
#[fexit(function = "security_socket_sendmsg")]
pub fn lsm_refusal(ctx: FExitContext) -> i32 {
    let (sock, msg): (Arg, Arg) = (arg(&ctx, 0), arg(&ctx, 1));
    let size: i32 = arg(&ctx, 2);
    let ret: i32 = arg(&ctx, 3);
    if ret >= 0 || !emit::wanted(SEND_ERROR) {
        return 0;
    }
    let (Some(sock), Some(msg)) = (sock.get(), msg.get()) else {
        return 0;
    };
    let Some(sk) = load_ptr!(sock, socket_sk) else {
        return 0;
    };
    if config!(other_sends) != 0 && !has_program(socket::family(sk)) {
        return 0;
    }
    let asked = Asked::from_msghdr(msg, size as u32 as u64);
    let errno = ret.unsigned_abs();
    failed::<true>(sk, errno, current_task(), asked, Place::LsmRefusal);
    0
}
