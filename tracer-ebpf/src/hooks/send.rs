//! Sends: those that fail, those that take only a part, and on request those that succeed.
//!
//! Each way of seeing the return of a send has its own file; what is made of it is here.

mod length;
mod name;
mod perf_tracepoint;
mod refusal;
mod returns;

use tracer_common::{
    BlockedRecord, Flow, Head, NO_U64, SendErrorRecord, SendRecord, code, grade, head_flag,
};

use crate::{
    emit::{self, BLOCKED, SEND, SEND_ERROR, Weight},
    kernel::{Ptr, clear, copy, load, put},
    maps::{EVENTS_BLOCKED, EVENTS_SEND, EVENTS_SEND_ERROR, Place, config},
    owner,
    socket::{self, AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_TCP, SOCK_RAW, SOCK_STREAM},
    syscall::Request,
};

const EAGAIN: u32 = 11;
const SOCK_SEQPACKET: u16 = 5;
/// `MAX_ERRNO` of the kernel.
const MAX_ERRNO: u32 = 4095;

/// What was asked of one send. A whole value for the reason of [`Request`].
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Whether it is visible at all.
    pub visible: bool,
    /// Bytes to send, [`NO_U64`] when not visible.
    pub bytes: u64,
    /// Address of the destination, 0 when none was named.
    pub name: u64,
    /// Its length.
    pub name_len: u32,
    /// Whether the destination lies in the kernel's memory, or in the caller's.
    pub in_kernel: bool,
}

impl Asked {
    /// Nothing was looked at.
    const UNKNOWN: Self = Self {
        visible: false,
        bytes: NO_U64,
        name: 0,
        name_len: 0,
        in_kernel: false,
    };

    /// As the registers of the system call have it.
    #[inline(always)]
    fn from_caller(request: Request) -> Self {
        Self {
            visible: request.visible,
            bytes: request.bytes,
            name: request.name,
            name_len: request.name_len,
            in_kernel: false,
        }
    }

    /// As a `struct msghdr` of the kernel has it, after the name was copied in.
    #[inline(always)]
    fn from_msghdr(msg: Ptr, bytes: u64) -> Self {
        let name = load!(msg, msghdr_name: u64).unwrap_or(0);
        let len = load!(msg, msghdr_namelen: u32).unwrap_or(0);
        Self {
            visible: true,
            bytes,
            name,
            name_len: if name == 0 { 0 } else { len },
            in_kernel: true,
        }
    }
}

/// Counts a send that took less than it was given, per owner and destination.
#[inline(always)]
fn partial<const TRUSTED: bool>(sk: Ptr, sent: u64, task: Ptr, asked: Asked, place: Place) {
    if asked.bytes == NO_U64 || asked.bytes <= sent {
        return;
    }
    let Some((slot, head)) = emit::begin(SEND_ERROR, place) else {
        return;
    };
    if emit::errno_filtered_out(0) {
        return slot.count_filtered();
    }
    describe::<TRUSTED>(sk, task, asked, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    let weight = Weight {
        bytes: asked.bytes - sent,
        segments: 0,
    };
    slot.aggregate(head, code::PARTIAL_SEND, weight);
}

/// One send that succeeded.
#[inline(always)]
fn sent<const TRUSTED: bool>(sk: Ptr, sent: u64, task: Ptr, asked: Asked, place: Place) {
    let Some((slot, head)) = emit::begin(SEND, place) else {
        return;
    };
    describe::<TRUSTED>(sk, task, asked, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let weight = Weight {
            bytes: sent,
            segments: 0,
        };
        return slot.aggregate(head, code::SENT, weight);
    }
    slot.emit(
        &EVENTS_SEND,
        #[inline(always)]
        |record: &mut SendRecord| {
            copy(&mut record.head, head);
            record.requested_bytes = asked.bytes;
            record.sent_bytes = sent;
            clear(&mut record.path);
            if !matches!(place, Place::OtherSend) && head.flow.family == AF_UNIX {
                name::unix_path(sk, asked, &mut record.head, &mut record.path);
            }
        },
    );
}

/// One send that was blocked for `blocked_ns`, and succeeded; no event when that is not long.
#[inline(always)]
fn blocked<const TRUSTED: bool>(
    sk: Ptr,
    sent: u64,
    blocked_ns: u64,
    task: Ptr,
    asked: Asked,
    place: Place,
) {
    let Some((slot, head)) = emit::begin(BLOCKED, place) else {
        return;
    };
    describe::<TRUSTED>(sk, task, asked, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let weight = Weight {
            bytes: sent,
            segments: 0,
        };
        return slot.aggregate(head, code::SENT, weight);
    }
    slot.emit(
        &EVENTS_BLOCKED,
        #[inline(always)]
        |record: &mut BlockedRecord| {
            copy(&mut record.head, head);
            let tcp = tcp_of::<TRUSTED>(sk, head);
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            record.blocked_ns = blocked_ns;
            record.requested_bytes = asked.bytes;
            record.sent_bytes = sent;
            clear(&mut record.path);
            if !matches!(place, Place::OtherSend) && head.flow.family == AF_UNIX {
                name::unix_path(sk, asked, &mut record.head, &mut record.path);
            }
        },
    );
}

/// Was a send blocked for so long that it is listed?
#[inline(always)]
fn is_long(blocked_ns: u64) -> bool {
    blocked_ns != NO_U64 && blocked_ns >= config!(blocked_ns)
}

/// Is this a send that is counted, not listed? One that has waited for its time-out is no event loop's.
#[inline(always)]
fn would_block(errno: u32, blocked_ns: u64) -> bool {
    errno == EAGAIN && config!(list_would_block) == 0 && !is_long(blocked_ns)
}

/// One failed send.
#[inline(always)]
fn failed<const TRUSTED: bool>(
    sk: Ptr,
    errno: u32,
    blocked_ns: u64,
    task: Ptr,
    asked: Asked,
    place: Place,
) {
    if errno > MAX_ERRNO {
        return;
    }
    let Some((slot, head)) = emit::begin(SEND_ERROR, place) else {
        return;
    };
    if emit::errno_filtered_out(errno) {
        return slot.count_filtered();
    }
    describe::<TRUSTED>(sk, task, asked, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    head.boot_ns = emit::now();
    let requested = asked.bytes;
    if would_block(errno, blocked_ns) || !slot.within_rate(head.boot_ns) {
        let bytes = if requested == NO_U64 { 0 } else { requested };
        return slot.aggregate(head, errno, Weight { bytes, segments: 0 });
    }
    slot.emit(
        &EVENTS_SEND_ERROR,
        #[inline(always)]
        |record: &mut SendErrorRecord| {
            copy(&mut record.head, head);
            let tcp = tcp_of::<TRUSTED>(sk, head);
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            record.errno = errno;
            record.pad = 0;
            record.requested_bytes = requested;
            record.blocked_ns = blocked_ns;
            clear(&mut record.path);
            if !matches!(place, Place::OtherSend) && head.flow.family == AF_UNIX {
                name::unix_path(sk, asked, &mut record.head, &mut record.path);
            }
        },
    );
}

/// The TCP socket behind `sk`, null when the flow is of another protocol.
#[inline(always)]
fn tcp_of<const TRUSTED: bool>(sk: Ptr, head: &Head) -> Ptr {
    if head.flow.protocol == IPPROTO_TCP {
        tcp_sock::<TRUSTED>(sk)
    } else {
        core::ptr::null()
    }
}

/// The TCP socket behind `sk`, null when it is none.
#[inline(always)]
pub(super) fn tcp_sock<const TRUSTED: bool>(sk: Ptr) -> Ptr {
    if TRUSTED {
        socket::tcp_sock(sk)
    } else {
        perf_tracepoint::tcp_sock(sk)
    }
}

/// Owner, flow and destination of a send by current. `TRUSTED`: the verifier lets helpers have the socket.
#[inline(always)]
fn describe<const TRUSTED: bool>(sk: Ptr, task: Ptr, asked: Asked, head: &mut Head) {
    if TRUSTED {
        socket::describe(sk, head);
    } else {
        socket::describe_borrowed(sk, head);
    }
    if owner::works_for_others(task) {
        // The one it works for is not visible: whoever is stored, or found among the open files.
        if TRUSTED {
            owner::stored(sk, &mut head.owner);
        }
    } else {
        by_current(sk, task, grade::AT_SEND, head);
    }
    let (sock_type, port) = (head.flow.sock_type, head.flow.local_port);
    if sock_type == SOCK_STREAM || sock_type == SOCK_SEQPACKET {
        if port == 0 {
            socket::keep_local_port(tcp_sock::<TRUSTED>(sk), head);
        }
        return;
    }
    if asked.name != 0 && asked.name_len >= 2 {
        named(&asked, head);
    } else if !is_connected(&head.flow) || !(asked.visible || socket::is_ip(head.flow.family)) {
        // Neither named nor connected, or not visible what was named: the peer would be a guess. A connected IP
        // socket sends to its peer, but for the rare call that names another one.
        head.flags |= head_flag::NO_REMOTE;
    }
    let flow = &mut head.flow;
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

/// The remote end is what the caller named.
#[inline(always)]
pub(super) fn named(asked: &Asked, head: &mut Head) {
    if name::named(asked, &mut head.flow) {
        head.flags |= head_flag::NAMED_REMOTE;
    } else if head.flow.family != AF_UNIX {
        head.flags |= head_flag::NO_REMOTE;
    }
}

/// The owner of a connect by current, or by whoever it works for.
#[inline(always)]
pub(super) fn describe_caller<const TRUSTED: bool>(sk: Ptr, task: Ptr, head: &mut Head) {
    if owner::works_for_others(task) {
        if TRUSTED {
            owner::stored(sk, &mut head.owner);
        }
    } else {
        by_current(sk, task, grade::AT_CONNECT, head);
    }
}

#[inline(always)]
fn by_current(sk: Ptr, task: Ptr, grade: u8, head: &mut Head) {
    if owner::is_kernels_send(sk, task) {
        head.owner.grade = grade::KERNEL;
    } else {
        owner::describe(task, grade, &mut head.owner);
    }
    head.flags |= head_flag::CURRENT;
}

#[inline(always)]
fn is_connected(flow: &Flow) -> bool {
    match flow.family {
        AF_INET | AF_INET6 => flow.remote_port != 0 || flow.sock_type == SOCK_RAW,
        _ => true,
    }
}
