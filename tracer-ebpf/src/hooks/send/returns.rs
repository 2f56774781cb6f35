//! The return of a send on kernels without `sock_send_length`: of the functions that protocols put into
//! `struct proto_ops`. They are called through that table, so the compiler cannot inline a call of them.
//!
//! Every send is seen exactly once. Where one of these functions calls another for the same send, the socket
//! itself tells which of the two counts, never a mark left behind by the first: such marks are wrong as soon
//! as a program is skipped. Each program has a place of its own for its event: a fexit program may be
//! preempted, and another one then run on the same CPU (the kernel keeps only the same program from that).

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::{Asked, SOCK_SEQPACKET, blocked, failed, is_long, partial, sent};
use crate::{
    emit::{BLOCKED, SEND, SEND_ERROR},
    hooks::waits,
    kernel::{Arg, Ptr, arg, current_task, load, load_ptr},
    maps::{Place, config},
    owner,
    socket::{
        self, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, IPPROTO_UDP, IPPROTO_UDPLITE,
        SOCK_STREAM,
    },
    syscall,
};

const EAGAIN: i64 = 11;
/// `NETIF_F_SG`: the device takes packets in pieces.
const NETIF_F_SG: u64 = 1;

/// `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`: IPv4, and raw IPv6.
#[fexit(function = "inet_sendmsg")]
pub fn inet_send(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::InetSend,
    )
}

/// `int inet6_sendmsg(…)`: IPv6 but for raw. It calls the protocol, never [`inet_send`]'s function.
#[fexit(function = "inet6_sendmsg")]
pub fn inet6_send(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::Inet6Send,
    )
}

/// `int unix_stream_sendmsg(…)`
#[fexit(function = "unix_stream_sendmsg")]
pub fn unix_send(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::UnixSend,
    )
}

/// `int unix_dgram_sendmsg(…)`: called by [`unix_seq`]'s function, too.
#[fexit(function = "unix_dgram_sendmsg")]
pub fn unix_dgram(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::UnixDgram,
    )
}

/// `int unix_seqpacket_sendmsg(…)`
#[fexit(function = "unix_seqpacket_sendmsg")]
pub fn unix_seq(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::UnixSeq,
    )
}

/// `int packet_sendmsg(…)`
#[fexit(function = "packet_sendmsg")]
pub fn packet_send(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::PacketSend,
    )
}

/// `int packet_sendmsg_spkt(…)`: sockets of type SOCK_PACKET.
#[fexit(function = "packet_sendmsg_spkt")]
pub fn packet_old(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::PacketOld,
    )
}

/// `int netlink_sendmsg(…)`
#[fexit(function = "netlink_sendmsg")]
pub fn netlink_send(ctx: FExitContext) -> i32 {
    message(
        arg(&ctx, 0),
        arg(&ctx, 1),
        arg(&ctx, 2),
        arg(&ctx, 3),
        Place::NetlinkSend,
    )
}

/// `ssize_t inet_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int flags)`:
/// sendfile(2) and splice(2), piece by piece.
#[fexit(function = "inet_sendpage")]
pub fn inet_page(ctx: FExitContext) -> i32 {
    page(arg(&ctx, 0), arg(&ctx, 3), arg(&ctx, 5), Place::InetPage)
}

/// `ssize_t unix_stream_sendpage(…)`. The other unix sockets, packet and netlink have none: the kernel calls
/// their `sendmsg` instead.
#[fexit(function = "unix_stream_sendpage")]
pub fn unix_page(ctx: FExitContext) -> i32 {
    page(arg(&ctx, 0), arg(&ctx, 3), arg(&ctx, 5), Place::UnixPage)
}

/// Was this piece not passed on to `inet_sendmsg` or `inet6_sendmsg` (by `sock_no_sendpage`), which has counted
/// it?
#[inline(always)]
fn is_page_of_its_own(sk: Ptr, ret: i64) -> bool {
    let Some(prot) = load_ptr!(sk, sk_prot) else {
        return false;
    };
    if load!(prot, proto_sendpage: u64).unwrap_or(0) == 0 {
        // The protocol has none (raw, MPTCP, IPv6 UDP): passed on, unless no port could be bound before.
        return ret == -EAGAIN && load!(sk, sk_num: u16) == Some(0);
    }
    let protocol = socket::protocol(sk).unwrap_or(0);
    if protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE {
        return true;
    }
    // UDP passes on what the device would not take in pieces.
    let Some(route) = load_ptr!(sk, sk_dst_cache) else {
        return true;
    };
    let Some(device) = load_ptr!(route, dst_dev) else {
        return true;
    };
    load!(device, dev_features: u64).is_none_or(|features| features & NETIF_F_SG != 0)
}

/// `int __sock_sendmsg(struct socket *sock, struct msghdr *msg)`, or `sock_sendmsg` where there is no other:
/// every family that has no program of its own here (CAN, vsock, Bluetooth…). Refusals by a security module
/// are among its results, so [`super::refusal`] leaves these families out when this program is there.
#[fexit(function = "__sock_sendmsg")]
pub fn other_send(ctx: FExitContext) -> i32 {
    other(arg(&ctx, 0), arg(&ctx, 2))
}

#[inline(never)]
fn other(sock: Arg, ret: i32) -> i32 {
    let Some(sk) = socket_of(sock) else {
        return 0;
    };
    if has_program(socket::family(sk)) {
        return 0;
    }
    let event_kinds = config!(event_kinds);
    if event_kinds & (1 << SEND_ERROR | 1 << SEND) != 0 {
        other_returned(sk, ret);
    }
    0
}

/// Do the programs above see the sends of this family?
#[inline(always)]
pub(super) fn has_program(family: u16) -> bool {
    family == AF_INET
        || family == AF_INET6
        || family == AF_UNIX
        || family == AF_NETLINK
        || family == AF_PACKET
}

#[inline(never)]
fn other_returned(sk: Ptr, ret: i32) -> i32 {
    let task = current_task();
    let event_kinds = config!(event_kinds);
    let asked = Asked::from_caller(syscall::request(task, sk));
    if ret < 0 {
        if event_kinds & (1 << SEND_ERROR) != 0 {
            let (errno, blocked_ns) = (ret.unsigned_abs(), waits::of_failed(sk));
            failed::<true>(sk, errno, blocked_ns, task, asked, Place::OtherSend);
        }
        return 0;
    }
    let taken = ret as u32 as u64;
    if event_kinds & (1 << SEND) != 0 {
        sent::<true>(sk, taken, task, asked, Place::OtherSend);
    }
    if event_kinds & (1 << SEND_ERROR) != 0 && load!(sk, sk_type: u16) == Some(SOCK_STREAM) {
        partial::<true>(sk, taken, task, asked, Place::OtherSend);
    }
    0
}

/// `sock->sk`.
#[inline(always)]
fn socket_of(sock: Arg) -> Option<Ptr> {
    let sock = sock.get()?;
    load_ptr!(sock, socket_sk)
}

/// The return of a `sendmsg`.
#[inline(never)]
fn message(sock: Arg, msg: Arg, size: u64, ret: i32, place: Place) -> i32 {
    let (Some(sk), Some(msg)) = (socket_of(sock), msg.get()) else {
        return 0;
    };
    // The function of SOCK_SEQPACKET calls that of datagrams.
    if matches!(place, Place::UnixDgram) && load!(sk, sk_type: u16) == Some(SOCK_SEQPACKET) {
        return 0;
    }
    returned::<true>(sk, msg, size, ret as i64, place)
}

/// The return of a `sendpage`, which names no destination.
#[inline(never)]
fn page(sock: Arg, size: u64, ret: i64, place: Place) -> i32 {
    let Some(sk) = socket_of(sock) else {
        return 0;
    };
    if matches!(place, Place::InetPage) && !is_page_of_its_own(sk, ret) {
        return 0;
    }
    returned::<false>(sk, core::ptr::null(), size, ret, place)
}

#[inline(always)]
fn returned<const MESSAGE: bool>(sk: Ptr, msg: Ptr, size: u64, ret: i64, place: Place) -> i32 {
    if socket::is_ip(socket::family(sk)) {
        owner::sent(sk);
    }
    let event_kinds = config!(event_kinds);
    if ret < 0 {
        if event_kinds & (1 << SEND_ERROR) != 0 {
            send_failed::<MESSAGE>(sk, msg, size, ret, place);
        }
        return 0;
    }
    if event_kinds & (1 << SEND_ERROR | 1 << BLOCKED) != 0 && waits::pending() {
        was_blocked::<MESSAGE>(sk, msg, size, ret, place);
    }
    if event_kinds & (1 << SEND) != 0 {
        send_succeeded::<MESSAGE>(sk, msg, size, ret, place);
    }
    if event_kinds & (1 << SEND_ERROR) != 0
        && (ret as u64) < size
        && load!(sk, sk_type: u16) == Some(SOCK_STREAM)
    {
        partly_sent::<MESSAGE>(sk, msg, size, ret, place);
    }
    0
}

#[inline(always)]
fn asked<const MESSAGE: bool>(msg: Ptr, bytes: u64) -> Asked {
    if MESSAGE {
        Asked::from_msghdr(msg, bytes)
    } else {
        Asked {
            visible: true,
            bytes,
            name: 0,
            name_len: 0,
            in_kernel: true,
        }
    }
}

#[inline(never)]
fn send_failed<const MESSAGE: bool>(sk: Ptr, msg: Ptr, size: u64, ret: i64, place: Place) -> i32 {
    let asked = asked::<MESSAGE>(msg, size);
    let errno = (ret as i32).unsigned_abs();
    let blocked_ns = waits::of_failed(sk);
    failed::<true>(sk, errno, blocked_ns, current_task(), asked, place);
    0
}

/// A send that succeeded after it was blocked.
#[inline(never)]
fn was_blocked<const MESSAGE: bool>(sk: Ptr, msg: Ptr, size: u64, ret: i64, place: Place) -> i32 {
    let blocked_ns = waits::taken(sk as u64);
    if !is_long(blocked_ns) || config!(event_kinds) & (1 << BLOCKED) == 0 {
        return 0;
    }
    let (asked, task) = (asked::<MESSAGE>(msg, size), current_task());
    blocked::<true>(sk, ret as u64, blocked_ns, task, asked, place);
    0
}

#[inline(never)]
fn send_succeeded<const MESSAGE: bool>(
    sk: Ptr,
    msg: Ptr,
    size: u64,
    ret: i64,
    place: Place,
) -> i32 {
    let asked = asked::<MESSAGE>(msg, size);
    sent::<true>(sk, ret as u64, current_task(), asked, place);
    0
}

#[inline(never)]
fn partly_sent<const MESSAGE: bool>(sk: Ptr, msg: Ptr, size: u64, ret: i64, place: Place) -> i32 {
    let asked = asked::<MESSAGE>(msg, size);
    partial::<true>(sk, ret as u64, current_task(), asked, place);
    0
}
