//! Sends that fail, and sends that take only a part.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_user,
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use tracer_common::{Flow, Head, NO_U64, SendErrorRecord, code, grade, head_flag};

use crate::{
    emit::{self, SEND_ERROR, Weight},
    kernel::{Ptr, Words, clear, copy, current_task, load, probe, probe_user, put},
    maps::{EVENTS_SEND_ERROR, Place, config},
    owner,
    socket::{
        self, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, IPPROTO_TCP, SOCK_RAW, SOCK_STREAM,
    },
    syscall::{self, Request},
};

const EAGAIN: u32 = 11;
const SOCK_SEQPACKET: u16 = 5;
const SOCK_PACKET: u16 = 10;
/// `MAX_ERRNO` of the kernel.
const MAX_ERRNO: u32 = 4095;

/// `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3: the return of every send.
#[btf_tracepoint(function = "sock_send_length")]
pub fn send_length(ctx: BtfTracePointContext) -> i32 {
    let sk: Ptr = ctx.arg(0);
    let ret: i32 = ctx.arg(1);
    if socket::is_ip(socket::family(sk)) {
        owner::sent(sk);
    }
    if !emit::wanted(SEND_ERROR) {
        return 0;
    }
    if ret >= 0 {
        let is_stream = load!(sk, sk_type: u16) == Some(SOCK_STREAM);
        if is_stream && syscall::may_be_partial(sk, ret as u32) {
            partial(sk, ret as u64);
        }
        return 0;
    }
    send_failed(sk, ret);
    0
}

/// Its own function, so that a successful send needs no registers saved.
#[inline(never)]
fn send_failed(sk: Ptr, ret: i32) -> i32 {
    let task = current_task();
    let errno = ret.unsigned_abs();
    // What would block is counted, and a stream has one destination: nothing to ask the caller for.
    let request = if would_block(errno) && load!(sk, sk_type: u16) == Some(SOCK_STREAM) {
        None
    } else {
        syscall::request(task, sk)
    };
    failed(sk, errno, task, request, Place::Send);
    0
}

/// `int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)`: only a refusal by an
/// LSM, which `sock_send_length` does not see.
#[fexit(function = "security_socket_sendmsg")]
pub fn lsm_refusal(ctx: FExitContext) -> i32 {
    let sock: Ptr = ctx.arg(0);
    let size: i32 = ctx.arg(2);
    let ret: i32 = ctx.arg(3);
    if ret >= 0 || !emit::wanted(SEND_ERROR) {
        return 0;
    }
    let Some(sk) = load!(sock, socket_sk: Ptr) else {
        return 0;
    };
    if sk.is_null() {
        return 0;
    }
    let task = current_task();
    let request = syscall::request(task, sk).map(|request| Request {
        bytes: size as u32 as u64,
        ..request
    });
    failed(sk, ret.unsigned_abs(), task, request, Place::LsmRefusal);
    0
}

/// Counts a send that took less than it was given, per owner and destination.
#[inline(never)]
fn partial(sk: Ptr, sent: u64) -> i32 {
    let task = current_task();
    let Some(request) = syscall::request(task, sk) else {
        return 0;
    };
    if request.bytes == NO_U64 || request.bytes <= sent {
        return 0;
    }
    let Some((pass, head)) = emit::see(SEND_ERROR, Place::Send) else {
        return 0;
    };
    if emit::errno_unwanted(0) {
        pass.filtered();
        return 0;
    }
    describe(sk, task, Some(request), head);
    if emit::unwanted(head) {
        pass.filtered();
        return 0;
    }
    head.boot_ns = emit::now();
    let weight = Weight {
        bytes: request.bytes - sent,
        segments: 0,
    };
    pass.aggregate(head, code::PARTIAL_SEND, weight);
    0
}

/// Owner, flow and destination of a send by current.
#[inline(always)]
fn describe(sk: Ptr, task: Ptr, request: Option<Request>, head: &mut Head) {
    socket::describe(sk, head);
    if owner::kernel_owned(sk) {
        head.owner.grade = grade::KERNEL;
    } else {
        owner::describe(task, grade::AT_SEND, &mut head.owner);
    }
    head.flags |= head_flag::CURRENT;
    let flow = &mut head.flow;
    if flow.sock_type == SOCK_STREAM || flow.sock_type == SOCK_SEQPACKET {
        if flow.local_port == 0 {
            socket::keep_local_port(socket::tcp_sock(sk), head);
        }
        return;
    }
    match request {
        Some(request) if request.name != 0 && request.name_len >= 2 => {
            if named(&request, flow) {
                head.flags |= head_flag::NAMED_REMOTE;
            } else if flow.family != AF_UNIX {
                head.flags |= head_flag::NO_REMOTE;
            }
        }
        Some(_) if is_connected(flow) => {}
        // Neither named nor connected, or not visible what was named: the peer would be a guess.
        _ => head.flags |= head_flag::NO_REMOTE,
    }
    if flow.family == AF_NETLINK {
        // SAFETY: a read of a static that nobody writes after loading.
        let offset =
            unsafe { core::ptr::read_volatile(&raw const crate::maps::OFFSETS.netlink_portid) };
        put(
            &mut flow.local,
            socket::v4(socket::embedded_u32(sk, offset)),
        );
        if head.flags & (head_flag::NAMED_REMOTE | head_flag::NO_REMOTE) == 0 {
            // SAFETY: as above.
            let offset = unsafe {
                core::ptr::read_volatile(&raw const crate::maps::OFFSETS.netlink_dst_portid)
            };
            put(
                &mut flow.remote,
                socket::v4(socket::embedded_u32(sk, offset)),
            );
        }
    }
}

#[inline(always)]
fn is_connected(flow: &Flow) -> bool {
    match flow.family {
        AF_INET | AF_INET6 => flow.remote_port != 0 || flow.sock_type == SOCK_RAW,
        _ => true,
    }
}

/// Reads the destination that the caller named into the flow.
#[inline(always)]
fn named(request: &Request, flow: &mut Flow) -> bool {
    let Some(words) = probe_user::<[u32; 2]>(request.name) else {
        return false;
    };
    let family = words[0] as u16;
    let port = (words[0] >> 16) as u16;
    if flow.family == AF_INET && request.name_len >= 16 && (family == AF_INET || family == 0) {
        flow.remote_port = port;
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else if flow.family == AF_INET6 && family == AF_INET && request.name_len >= 16 {
        flow.remote_port = port;
        put(&mut flow.remote, socket::mapped_v4(words[1]));
        true
    } else if flow.family == AF_INET6 && family == AF_INET6 && request.name_len >= 24 {
        let Some(address) = probe_user::<Words>(request.name + 8) else {
            return false;
        };
        flow.remote_port = port;
        put(&mut flow.remote, address);
        true
    } else if flow.family == AF_PACKET && flow.sock_type != SOCK_PACKET && request.name_len >= 8 {
        // sockaddr_ll: family, protocol, ifindex. (SOCK_PACKET takes a name, in another structure.)
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else if flow.family == AF_NETLINK && request.name_len >= 8 {
        // sockaddr_nl: family, pad, pid.
        put(&mut flow.remote, socket::v4(words[1]));
        true
    } else {
        false
    }
}

/// Is this a send that is counted, not listed?
#[inline(always)]
fn would_block(errno: u32) -> bool {
    errno == EAGAIN && config!(list_would_block) == 0
}

/// One failed send.
#[inline(always)]
fn failed(sk: Ptr, errno: u32, task: Ptr, request: Option<Request>, place: Place) {
    if errno > MAX_ERRNO {
        return;
    }
    let Some((pass, head)) = emit::see(SEND_ERROR, place) else {
        return;
    };
    if emit::errno_unwanted(errno) {
        return pass.filtered();
    }
    describe(sk, task, request, head);
    if emit::unwanted(head) {
        return pass.filtered();
    }
    head.boot_ns = emit::now();
    let requested = request.map_or(NO_U64, |request| request.bytes);
    if would_block(errno) || !pass.within_rate(head.boot_ns) {
        let bytes = if requested == NO_U64 { 0 } else { requested };
        return pass.aggregate(head, errno, Weight { bytes, segments: 0 });
    }
    pass.emit(&EVENTS_SEND_ERROR, |record: &mut SendErrorRecord| {
        copy(&mut record.head, head);
        let tcp = if head.flow.protocol == IPPROTO_TCP {
            socket::tcp_sock(sk)
        } else {
            core::ptr::null()
        };
        socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
        record.errno = errno;
        record.pad = 0;
        record.requested_bytes = requested;
        clear(&mut record.path);
        if head.flow.family == AF_UNIX {
            unix_path(sk, request, record);
        }
    });
}

/// Where a unix send went: what the caller named, else the name that the peer is bound to.
#[inline(always)]
fn unix_path(sk: Ptr, request: Option<Request>, record: &mut SendErrorRecord) {
    if let Some(request) = request
        && request.name != 0
        && request.name_len > 2
    {
        let len = (request.name_len - 2).min(108);
        // SAFETY: writes at most the 108 bytes of the path, or fails.
        let result = unsafe {
            bpf_probe_read_user(
                record.path.path.as_mut_ptr().cast(),
                len,
                (request.name + 2) as *const _,
            )
        };
        if result == 0 {
            record.path.len = len;
            record.head.flags &= !head_flag::NO_REMOTE;
        }
        return;
    }
    // SAFETY: reads of a static that nobody writes after loading.
    let (peer, addr, len, name) = unsafe {
        (
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_peer),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_addr),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_address_len),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.unix_address_name),
        )
    };
    if [peer, addr, len, name].contains(&tracer_common::UNRESOLVED) {
        return;
    }
    let Some(other) = probe::<u64>(sk as u64 + peer as u64) else {
        return;
    };
    if other == 0 {
        return;
    }
    let Some(address) = probe::<u64>(other + addr as u64) else {
        return;
    };
    if address == 0 {
        return;
    }
    let Some(total) = probe::<u32>(address + len as u64) else {
        return;
    };
    if total <= 2 {
        return;
    }
    let total = (total - 2).min(108);
    // SAFETY: writes at most the 108 bytes of the path, or fails.
    let result = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(
            record.path.path.as_mut_ptr().cast(),
            total,
            (address + name as u64 + 2) as *const _,
        )
    };
    if result == 0 {
        record.path.len = total;
    }
}
