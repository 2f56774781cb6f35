//! connect(2) that fails before anything is sent, where the functions of [`super::connect`] cannot be hooked: at the
//! return of the system call.
//!
//! Attached on request only: while anything is attached to the end of one system call, every system call of the host
//! takes the slower way out of the kernel. What fails after a SYN was sent is told where the state changes, so the
//! sockets that have sent one are remembered there ([`SYN_SENT`]).

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use tracer_common::RET_IN_CALL;

use super::{connect::failed, send::Asked};
use crate::{
    emit::{self, CONNECTION},
    kernel::{Ptr, current_task, load, load_probed, typed},
    maps::{Place, SYN_SENT, config},
    socket::{self, IPPROTO_TCP, SOCK_STREAM},
    syscall,
};

const EINTR: u32 = 4;
const EBADF: u32 = 9;
const EFAULT: u32 = 14;
const ENOTSOCK: u32 = 88;
const EISCONN: u32 = 106;
const EALREADY: u32 = 114;
const EINPROGRESS: u32 = 115;
/// Beyond lie those that no program ever sees (`ERESTARTSYS`).
const LAST_ERRNO: u32 = 511;

/// `syscalls:sys_exit_connect` as a perf tracepoint.
#[tracepoint]
pub fn connect_call(ctx: TracePointContext) -> u32 {
    // SAFETY: the kernel checks the offset against the length of the event.
    let ret = unsafe {
        core::ptr::read_volatile(
            ctx.as_ptr()
                .cast::<u8>()
                .add(RET_IN_CALL as usize)
                .cast::<i64>(),
        )
    };
    returned(ret) as u32
}

#[inline(never)]
fn returned(ret: i64) -> i32 {
    let errno = ret.unsigned_abs() as u32;
    if ret >= 0 || errno > LAST_ERRNO || !emit::wanted(CONNECTION) {
        return 0;
    }
    // No socket, or none of its doing; and what is no failure.
    if matches!(errno, EBADF | ENOTSOCK | EFAULT)
        || matches!(errno, EINTR | EISCONN | EALREADY | EINPROGRESS)
    {
        return 0;
    }
    let call = syscall::connect(current_task());
    let Some(address) = load_probed!(call.socket, socket_sk: u64) else {
        return 0;
    };
    let sk = typed(address, config!(sock_type));
    // The descriptor may have been given to another file meanwhile.
    if call.socket == 0
        || load!(sk, sk_socket: u64) != Some(call.socket)
        || !socket::is_ip(socket::family(sk))
        || (load!(sk, sk_type: u16) == Some(SOCK_STREAM) && !fails_before_its_syn(sk))
    {
        return 0;
    }
    let asked = Asked {
        visible: true,
        bytes: 0,
        name: call.name,
        name_len: call.name_len,
        in_kernel: false,
    };
    failed::<false>(sk, asked, errno, Place::ConnectCall);
    0
}

/// Has this TCP socket sent no SYN since its last connect failed? Of MPTCP that is known of its subflows only.
#[inline(always)]
fn fails_before_its_syn(sk: Ptr) -> bool {
    if socket::protocol(sk) != Some(IPPROTO_TCP) {
        return false;
    }
    let cookie = load!(sk, sk_cookie: u64).unwrap_or(0);
    cookie == 0 || SYN_SENT.remove(&cookie).is_err()
}
