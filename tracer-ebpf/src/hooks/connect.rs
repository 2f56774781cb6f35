//! connect(2) that fails before anything is sent: no state changes, so no other hook sees it.
//!
//! Each failure is told once. A function that another one of these calls for the same connect leaves its failures to
//! that one: those of IPv6 for an IPv4 destination. What a cgroup program refuses is seen at the function of the
//! socket alone, which is where `EPERM` comes from.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use tracer_common::{ConnectionRecord, NO_U32, code};

use super::send::{Asked, describe_caller, named, tcp_sock};
use crate::{
    emit::{self, CONNECTION, Weight},
    kernel::{Arg, Ptr, arg, copy, current_task, load, load_ptr, probe},
    maps::{EVENTS_CONNECTION, Place},
    socket::{self, AF_INET, AF_INET6, TCP_CLOSE, TCP_SYN_SENT},
};

const EPERM: u32 = 1;
const EADDRNOTAVAIL: u32 = 99;
const EINPROGRESS: u32 = 115;
const MAX_ERRNO: u32 = 4095;

/// `int tcp_v4_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)`
#[fexit(function = "tcp_v4_connect")]
pub fn connect_tcp4(ctx: FExitContext) -> i32 {
    let (sk, address, len): (Arg, u64, u32) = (arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    connected(sk, address, len, arg(&ctx, 3), Place::ConnectTcp4)
}

/// `int tcp_v6_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)`
#[fexit(function = "tcp_v6_connect")]
pub fn connect_tcp6(ctx: FExitContext) -> i32 {
    let (sk, address, len): (Arg, u64, u32) = (arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    connected(sk, address, len, arg(&ctx, 3), Place::ConnectTcp6)
}

/// `int __ip4_datagram_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)`: UDP, ICMP and raw sockets.
#[fexit(function = "__ip4_datagram_connect")]
pub fn connect_dgram4(ctx: FExitContext) -> i32 {
    let (sk, address, len): (Arg, u64, u32) = (arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    connected(sk, address, len, arg(&ctx, 3), Place::ConnectDgram4)
}

/// `int __ip6_datagram_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)`
#[fexit(function = "__ip6_datagram_connect")]
pub fn connect_dgram6(ctx: FExitContext) -> i32 {
    let (sk, address, len): (Arg, u64, u32) = (arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    connected(sk, address, len, arg(&ctx, 3), Place::ConnectDgram6)
}

/// `int __inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags, int is_sendmsg)`
#[fexit(function = "__inet_stream_connect")]
pub fn connect_stream(ctx: FExitContext) -> i32 {
    let (sock, address, len): (Arg, u64, u32) = (arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    stream_connected(sock, address, len, arg(&ctx, 5))
}

#[inline(never)]
fn stream_connected(sock: Arg, address: u64, len: u32, ret: i32) -> i32 {
    if ret.unsigned_abs() != EPERM || !emit::wanted(CONNECTION) {
        return 0;
    }
    let Some(sock) = sock.get() else {
        return 0;
    };
    if let Some(sk) = load_ptr!(sock, socket_sk) {
        failed::<true>(sk, in_kernel(address, len), EPERM, Place::ConnectStream);
    }
    0
}

#[inline(never)]
fn connected(sk: Arg, address: u64, len: u32, ret: i32, place: Place) -> i32 {
    let errno = ret.unsigned_abs();
    let is_stream = matches!(place, Place::ConnectTcp4 | Place::ConnectTcp6);
    if ret >= 0
        || errno > MAX_ERRNO
        || errno == EINPROGRESS
        || (is_stream && errno == EPERM)
        || !emit::wanted(CONNECTION)
    {
        return 0;
    }
    let Some(sk) = sk.get() else {
        return 0;
    };
    if matches!(place, Place::ConnectTcp6 | Place::ConnectDgram6) && is_ipv4(address) {
        return 0;
    }
    failed::<true>(sk, in_kernel(address, len), errno, place);
    0
}

/// A destination that was copied in.
#[inline(always)]
fn in_kernel(name: u64, name_len: u32) -> Asked {
    Asked {
        visible: true,
        bytes: 0,
        name,
        name_len,
        in_kernel: true,
    }
}

/// Is this an IPv4 destination, or one mapped into IPv6?
#[inline(always)]
fn is_ipv4(address: u64) -> bool {
    let Some(words) = probe::<[u32; 5]>(address) else {
        return false;
    };
    let family = words[0] as u16;
    family == AF_INET
        || (family == AF_INET6 && [words[2], words[3], words[4]] == [0, 0, 0xffff_u32.to_be()])
}

/// One failed connect by current. `TRUSTED`: the verifier lets helpers have the socket.
#[inline(always)]
pub(super) fn failed<const TRUSTED: bool>(sk: Ptr, asked: Asked, errno: u32, place: Place) {
    let tcp = tcp_sock::<TRUSTED>(sk);
    // The send that opens the connection (TCP_FASTOPEN) fails with it, and says so itself.
    if !tcp.is_null() && load!(tcp, tcp_fastopen_req: u64).unwrap_or(0) != 0 {
        return;
    }
    let Some((slot, head)) = emit::begin(CONNECTION, place) else {
        return;
    };
    if emit::errno_filtered_out(errno) {
        return slot.count_filtered();
    }
    if TRUSTED {
        socket::describe(sk, head);
    } else {
        socket::describe_borrowed(sk, head);
    }
    describe_caller::<TRUSTED>(sk, current_task(), head);
    named(&asked, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    // Of TCP, only a port that cannot be had is found out after the state was set.
    let (from, to) = match tcp.is_null() {
        true => (NO_U32, NO_U32),
        false if errno == EADDRNOTAVAIL => (TCP_SYN_SENT as u32, TCP_CLOSE as u32),
        false => (TCP_CLOSE as u32, TCP_CLOSE as u32),
    };
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let code = code::connection(from as u8, to as u8, errno as u16);
        let weight = Weight {
            bytes: 0,
            segments: 0,
        };
        return slot.aggregate(head, code, weight);
    }
    slot.emit(
        &EVENTS_CONNECTION,
        #[inline(always)]
        |record: &mut ConnectionRecord| {
            copy(&mut record.head, head);
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            record.from = from;
            record.to = to;
            record.errno = errno;
            record.pad = 0;
        },
    );
}
