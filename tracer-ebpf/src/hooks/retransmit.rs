//! TCP retransmits.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Head, NO_U32, RetransmitRecord, ability, cause, code};

use crate::{
    emit::{self, RETRANSMIT, Weight},
    kernel::{self, Arg, Ptr, Words, arg, can, clear, copy, load, load_bits, put},
    maps::{EVENTS_RETRANSMIT, Place},
    owner,
    socket::{self, AF_INET6, TCP_SYN_SENT},
};

const TCP_CA_RECOVERY: u32 = 3;
const TCP_CA_LOSS: u32 = 4;
/// `icsk_pending`: nothing armed; `tcp_write_timer_handler` clears it before the RTO handler runs.
const PENDING_NONE: u32 = 0;
const PENDING_LOSS_PROBE: u32 = 5;

/// `void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb, int err)`, since 6.17.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit_err(ctx: BtfTracePointContext) -> i32 {
    retransmitted(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2));
    0
}

/// `void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb)`: only successes.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit(ctx: BtfTracePointContext) -> i32 {
    retransmitted(arg(&ctx, 0), arg(&ctx, 1), 0);
    0
}

/// Why, and whether a timer did it, from the state that each path of net/ipv4/tcp_{timer,output,input}.c
/// leaves at this point: the RTO handler runs with nothing armed and in Loss; a tail loss probe runs with
/// itself armed outside of recovery; `tcp_xmit_retransmit_queue` runs on an ACK in Recovery or Loss;
/// `tcp_simple_retransmit` enters Loss with neither a marker nor a threshold to go back to, after an ICMP
/// message. (A time-out leaves the threshold, also where an undone recovery before it took the marker.)
/// Without that message it was something else that takes the same way (`tcp_non_congestion_loss_retransmit`):
/// the data of a SYN that the peer did not take.
#[inline(always)]
fn why(sk: Ptr, tcp: Ptr) -> (u8, bool) {
    let pending = load_bits!(tcp, tcp_pending).unwrap_or(NO_U32);
    if socket::state(sk) == TCP_SYN_SENT {
        return (cause::SYN, pending == PENDING_NONE);
    }
    let state = load_bits!(tcp, tcp_ca_state).unwrap_or(NO_U32);
    let undo_marker = load!(tcp, tcp_undo_marker: u32).unwrap_or(1);
    let prior_ssthresh = load!(tcp, tcp_prior_ssthresh: u32).unwrap_or(0);
    let retransmits = load_bits!(tcp, tcp_retransmits).unwrap_or(1);
    if state == TCP_CA_LOSS {
        if pending == PENDING_NONE {
            (cause::RTO, true)
        } else if undo_marker == 0 && prior_ssthresh == 0 && retransmits == 0 {
            match load!(tcp, tcp_mtu_info: u32).unwrap_or(0) {
                0 => (cause::UNKNOWN, false),
                _ => (cause::MTU, false),
            }
        } else {
            (cause::RTO, false)
        }
    } else if state == TCP_CA_RECOVERY {
        (cause::FAST, false)
    } else if pending == PENDING_LOSS_PROBE {
        (cause::TLP, true)
    } else {
        (cause::UNKNOWN, false)
    }
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn retransmitted(sk: Arg, skb: Arg, err: i32) {
    let (Some(sk), Some(skb)) = (sk.get(), skb.get()) else {
        return;
    };
    if !emit::wanted(RETRANSMIT) {
        return;
    }
    let Some((slot, head)) = emit::begin(RETRANSMIT, Place::Retransmit) else {
        return;
    };
    let tcp = socket::tcp_sock(sk);
    owner::describe_socket(sk, tcp, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    let (cause, timer) = if tcp.is_null() {
        (cause::UNKNOWN, false)
    } else {
        why(sk, tcp)
    };
    let bytes = load!(skb, skb_len: u32).unwrap_or(NO_U32);
    let segments = segments(skb);
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let weight = Weight {
            bytes: bytes as u64,
            segments: segments as u64,
        };
        return slot.aggregate(head, code::retransmit(cause, timer, err), weight);
    }
    slot.emit(
        &EVENTS_RETRANSMIT,
        #[inline(always)]
        |record: &mut RetransmitRecord| {
            copy(&mut record.head, head);
            socket::tcp_state(sk, tcp, &mut record.head, &mut record.tcp);
            record.cause = cause as u32;
            record.timer = timer as u32;
            record.err = err;
            record.attempt = if timer && cause != cause::TLP && !tcp.is_null() {
                attempt(sk, tcp)
            } else {
                NO_U32
            };
            record.segments = segments;
            record.bytes = bytes;
        },
    );
}

/// Which of the time-outs in a row this is, as `tcp_retransmit_timer` counts them. Where the peer has taken its
/// window back, what it sends is a probe that it does not count.
#[inline(always)]
fn attempt(sk: Ptr, tcp: Ptr) -> u32 {
    if socket::state(sk) != TCP_SYN_SENT && load!(tcp, tcp_snd_wnd: u32).unwrap_or(0) == 0 {
        return NO_U32;
    }
    match load_bits!(tcp, tcp_retransmits) {
        Some(counted) if can(ability::TIMEOUT_COUNTED_BEFORE) => counted,
        Some(counted) if can(ability::TIMEOUT_COUNTED_AFTER) => counted + 1,
        _ => NO_U32,
    }
}

/// `tcp_skb_pcount`: the tracepoint fires per skb, which may hold many segments.
#[inline(always)]
fn segments(skb: Ptr) -> u32 {
    // SAFETY: reads of a static that nobody writes after loading.
    let (cb, inner) = unsafe {
        (
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.skb_cb),
            core::ptr::read_volatile(&raw const crate::maps::OFFSETS.tcp_skb_cb_gso_segs),
        )
    };
    if cb == tracer_common::UNRESOLVED || inner == tracer_common::UNRESOLVED {
        return NO_U32;
    }
    // SAFETY: the verifier proves pointer, offset and size; the skb is not null.
    u32::from(unsafe { kernel::read::<u16>(skb, cb + inner) })
}

/// `void tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`: `sk` is the listener.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn synack(ctx: BtfTracePointContext) -> i32 {
    synack_retransmitted(arg(&ctx, 0), arg(&ctx, 1));
    0
}

#[cfg_attr(feature = "debug", inline(never))]
#[cfg_attr(not(feature = "debug"), inline(always))]
fn synack_retransmitted(sk: Arg, req: Arg) {
    if !emit::wanted(RETRANSMIT) {
        return;
    }
    let (Some(sk), Some(req)) = (sk.get(), req.get()) else {
        return;
    };
    let Some((slot, head)) = emit::begin(RETRANSMIT, Place::Synack) else {
        return;
    };
    owner::describe_socket(sk, socket::tcp_sock(sk), head);
    describe_request(req, head);
    if emit::filtered_out(head) {
        return slot.count_filtered();
    }
    // `reqsk_timer_handler` runs with its timer taken out; a SYN that came again (`tcp_check_req`) finds it
    // armed.
    let timer = load!(req, req_timer_pprev: u64).unwrap_or(0) == 0;
    head.boot_ns = emit::now();
    if !slot.within_rate(head.boot_ns) {
        let weight = Weight {
            bytes: 0,
            segments: 1,
        };
        return slot.aggregate(head, code::retransmit(cause::SYNACK, timer, 0), weight);
    }
    slot.emit(
        &EVENTS_RETRANSMIT,
        #[inline(always)]
        |record: &mut RetransmitRecord| {
            copy(&mut record.head, head);
            clear(&mut record.tcp);
            record.cause = cause::SYNACK as u32;
            record.timer = timer as u32;
            record.err = 0;
            // The kernel counts it after sending.
            record.attempt = load_bits!(req, req_num_retrans).map_or(NO_U32, |sent| sent + 1);
            record.segments = 1;
            record.bytes = 0;
        },
    );
}

/// The flow is that of the connection being opened, not the listener's. `request_sock` starts an
/// `inet_request_sock`; the fields lie in its common part.
#[inline(always)]
fn describe_request(req: Ptr, head: &mut Head) {
    let flow = &mut head.flow;
    let family = load!(req, req_family: u16).unwrap_or(0);
    flow.family = family;
    flow.remote_port = load!(req, req_dport: u16).unwrap_or(0);
    flow.local_port = load!(req, req_num: u16).unwrap_or(0).to_be();
    if family == AF_INET6 {
        put(
            &mut flow.local,
            load!(req, req_v6_rcv_saddr: Words).unwrap_or([0; 4]),
        );
        put(
            &mut flow.remote,
            load!(req, req_v6_daddr: Words).unwrap_or([0; 4]),
        );
    } else {
        put(
            &mut flow.local,
            socket::v4(load!(req, req_rcv_saddr: u32).unwrap_or(0)),
        );
        put(
            &mut flow.remote,
            socket::v4(load!(req, req_daddr: u32).unwrap_or(0)),
        );
    }
}
