//! The BPF programs of `sendtrace selftest`: they make faults in a network namespace and a cgroup of the test's own,
//! and counts each one, so that what the tracer says is compared with what happened. It shares nothing with the
//! tracer's programs, and asks for no field of the kernel.
//!
//! * `wire` (XDP on `lo`) loses TCP segments on their way in, as a bad network does.
//! * `refuse4`, `refuse6` (cgroup, sendmsg) make sends fail with ECOMM, as a policy of the host does; `deny4` and
//!   `deny6` with EPERM, where the kernel cannot choose the errno (before 5.18).
//! * `drop_sent` (cgroup, egress) drops datagrams inside the host, after the send.
//! * `xmit` counts what network drivers say, as a second opinion.
//! * `switches` counts how often process 1 was left for another task, where the kernel runs it then.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features)]

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_set_retval;
use aya_ebpf::macros::{cgroup_skb, cgroup_sock_addr, map, raw_tracepoint, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::{RawTracePointContext, SkBuffContext, SockAddrContext, XdpContext};
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use tracer_common::selftest::{
    DENIED_PORT, EGRESS_PORT, FIRST_PORT, OVERSIZED_BYTES, PORTS, REFUSED_PORT, counter, segment,
};

/// What is lost, by destination port from [`FIRST_PORT`]: kinds ([`segment`]), how many more of them, and how many
/// were.
#[map]
pub static RULES: Array<[u32; 3]> = Array::with_max_entries(PORTS, 0);

/// See [`counter`].
#[map]
pub static COUNTS: Array<u64> = Array::with_max_entries(counter::COUNT, 0);

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN_OR_RST: u8 = 0x05;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

#[xdp]
pub fn wire(ctx: XdpContext) -> u32 {
    const DROP: u32 = 1;
    const PASS: u32 = 2;
    match tcp(&ctx) {
        Some(packet) if is_lost(&packet) => DROP,
        _ => PASS,
    }
}

struct Segment {
    port: u32,
    kind: u32,
}

/// The bytes at this place of the packet.
#[inline(always)]
fn bytes<const N: usize>(ctx: &XdpContext, at: usize) -> Option<[u8; N]> {
    let start = ctx.data() + at;
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: inside the packet; a byte array has no alignment.
    Some(unsafe { core::ptr::read_unaligned(start as *const [u8; N]) })
}

#[inline(always)]
fn tcp(ctx: &XdpContext) -> Option<Segment> {
    // IP headers of the test carry no options.
    match u16::from_be_bytes(bytes(ctx, 12)?) {
        0x0800 => {
            let protocol = bytes::<1>(ctx, ETHERNET + 9)?[0];
            let total = u16::from_be_bytes(bytes(ctx, ETHERNET + 2)?) as u32;
            segment(
                ctx,
                ETHERNET + IPV4,
                protocol,
                total.wrapping_sub(IPV4 as u32),
            )
        }
        0x86dd => {
            let protocol = bytes::<1>(ctx, ETHERNET + 6)?[0];
            let length = u16::from_be_bytes(bytes(ctx, ETHERNET + 4)?) as u32;
            segment(ctx, ETHERNET + IPV6, protocol, length)
        }
        _ => None,
    }
}

/// `length`: bytes of TCP header and payload.
#[inline(always)]
fn segment(ctx: &XdpContext, at: usize, protocol: u8, length: u32) -> Option<Segment> {
    if protocol != TCP {
        return None;
    }
    let port = u16::from_be_bytes(bytes(ctx, at + 2)?) as u32;
    let [offset, flags] = bytes(ctx, at + 12)?;
    let payload = length.wrapping_sub((offset >> 4) as u32 * 4);
    let kind = if flags & SYN != 0 {
        if flags & ACK != 0 {
            segment::SYN_ACK
        } else {
            segment::SYN
        }
    } else if payload != 0 {
        segment::DATA
    } else if flags & FIN_OR_RST != 0 {
        0
    } else {
        segment::ACK
    };
    Some(Segment { port, kind })
}

#[inline(always)]
fn is_lost(packet: &Segment) -> bool {
    let Some(rule) = RULES.get_ptr_mut(packet.port.wrapping_sub(FIRST_PORT as u32)) else {
        return false;
    };
    // SAFETY: the pointer comes from the map. Segments towards one port come one after the other: each port
    // serves one connection.
    unsafe {
        let kinds = core::ptr::read_volatile(&raw const (*rule)[0]);
        let left = core::ptr::read_volatile(&raw const (*rule)[1]);
        if kinds & packet.kind == 0 || left == 0 {
            return false;
        }
        core::ptr::write_volatile(&raw mut (*rule)[1], left - 1);
        let lost = core::ptr::read_volatile(&raw const (*rule)[2]);
        core::ptr::write_volatile(&raw mut (*rule)[2], lost + 1);
    }
    true
}

#[inline(always)]
fn count(index: u32) {
    if let Some(count) = COUNTS.get_ptr_mut(index) {
        // SAFETY: the pointer comes from the map, aligned.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    }
}

#[inline(always)]
fn is_to(ctx: &SockAddrContext, port: u16) -> bool {
    // SAFETY: the kernel hands a valid context.
    unsafe { (*ctx.sock_addr).user_port as u16 == port.to_be() }
}

/// 1: the send may go on.
#[inline(always)]
fn refuse(ctx: &SockAddrContext) -> i32 {
    if !is_to(ctx, REFUSED_PORT) {
        return 1;
    }
    count(counter::REFUSED);
    // SAFETY: takes an integer.
    unsafe { bpf_set_retval(-tracer_common::selftest::ECOMM) };
    0
}

#[cgroup_sock_addr(sendmsg4)]
pub fn refuse4(ctx: SockAddrContext) -> i32 {
    refuse(&ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn refuse6(ctx: SockAddrContext) -> i32 {
    refuse(&ctx)
}

#[inline(always)]
fn deny(ctx: &SockAddrContext) -> i32 {
    if !is_to(ctx, DENIED_PORT) {
        return 1;
    }
    count(counter::DENIED);
    0
}

#[cgroup_sock_addr(sendmsg4)]
pub fn deny4(ctx: SockAddrContext) -> i32 {
    deny(&ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn deny6(ctx: SockAddrContext) -> i32 {
    deny(&ctx)
}

/// 0: dropped; the packet starts at its IP header.
#[cgroup_skb(egress)]
pub fn drop_sent(ctx: SkBuffContext) -> i32 {
    match udp_port(&ctx) {
        Some(EGRESS_PORT) => {
            count(counter::DROPPED_SENT);
            0
        }
        _ => 1,
    }
}

#[inline(always)]
fn udp_port(ctx: &SkBuffContext) -> Option<u16> {
    let version = ctx.load::<u8>(0).ok()? >> 4;
    let (protocol, header) = if version == 4 { (9, IPV4) } else { (6, IPV6) };
    if ctx.load::<u8>(protocol).ok()? != UDP {
        return None;
    }
    ctx.load::<u16>(header + 2).ok().map(u16::from_be)
}

/// `void net_dev_xmit(struct sk_buff *skb, int rc, struct net_device *dev, unsigned int skb_len)`: packets of the
/// one length that the test sends to a device.
#[raw_tracepoint(tracepoint = "net_dev_xmit")]
pub fn xmit(ctx: RawTracePointContext) -> i32 {
    let (rc, bytes): (i32, u32) = (ctx.arg(1), ctx.arg(3));
    if bytes == OVERSIZED_BYTES[0] || bytes == OVERSIZED_BYTES[1] {
        count(if rc == 0 {
            counter::XMIT_TAKEN
        } else {
            counter::XMIT_REFUSED
        });
    }
    0
}

/// Fires in the task that is left.
#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn switches(_ctx: RawTracePointContext) -> i32 {
    if bpf_get_current_pid_tgid() >> 32 == 1 {
        count(counter::SWITCHES_OF_PROCESS_1);
    }
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // Unreachable: the verifier refuses a program that could get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
