//! Walks the open files of all tasks (`iter/task_file`) and tells of sockets that wait, and of what the others
//! have sent since the walk before. A socket that is idle and well costs a look at its counters.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::{
    bpf_jiffies64, bpf_ktime_get_ns, bpf_seq_write, bpf_sock_from_file,
};
use tracer_common::{
    EndRow, NO_U32, NO_U64, RowHead, TrafficRow, WaitingRow, WalkState, Walked, ability, grade,
    row, timer, wait,
};

use super::open_sockets::TaskFile;
use crate::{
    emit,
    kernel::{self, Arg, Ptr, Words, arg, can, clear, load, load_bits, load_ptr, non_null, put},
    maps::{WAITING_PLACE, WALK},
    owner,
    peers::{self, Sent},
    socket::{
        self, AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SOCK_STREAM, TCP_CLOSE, TCP_CLOSE_WAIT,
        TCP_LISTEN, TCP_SYN_SENT,
    },
};

/// One open file of one task.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn walk_sockets(ctx: *mut c_void) -> i32 {
    let ctx = TaskFile(ctx);
    // struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file
    walked(arg(&ctx, 0), arg(&ctx, 1), arg(&ctx, 2), arg(&ctx, 3))
}

#[inline(never)]
fn walked(meta: Arg, task: Arg, fd: u32, file: Arg) -> i32 {
    let Some(meta) = meta.get() else {
        return 0;
    };
    // SAFETY: `struct bpf_iter_meta` starts with the sequence file, which the helper wants as it was loaded.
    let Some(seq) = non_null(unsafe { kernel::read::<u64>(meta, 0) } as Ptr) else {
        return 0;
    };
    let Some(state) = WALK.get_ptr_mut(0) else {
        return 0;
    };
    // At the end of the walk there is neither a task nor a file.
    let (Some(task), Some(file)) = (task.get(), file.get()) else {
        // SAFETY: an element of the map, which nobody else writes during a walk.
        let state = unsafe { *state };
        let end = EndRow {
            row: row_head::<EndRow>(row::END),
            state,
        };
        write(seq, &end);
        return 0;
    };
    if !can(ability::SOCKET_FROM_FILE) {
        return 0;
    }
    // SAFETY: the helper tells sockets from other files.
    let socket = unsafe { bpf_sock_from_file(file as *mut _) } as Ptr;
    if socket.is_null() {
        return 0;
    }
    let Some(sk) = load_ptr!(socket, socket_sk) else {
        return 0;
    };
    let tcp = socket::tcp_sock(sk);
    let found = if tcp.is_null() {
        reason_of_datagrams(sk)
    } else {
        reason_of_tcp(sk, tcp)
    };
    // What did not fit is written again, by another run for the same file: nothing is noted before that.
    if found.why != wait::NOTHING && !waiting(seq, task, fd, sk, tcp, &found) {
        return 0;
    }
    if !tcp.is_null() && !traffic(seq, task, sk, tcp, state) {
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*state).descriptors += 1 };
    0
}

/// What a socket waits for, and how much of it.
struct Found {
    why: u32,
    queued: u32,
}

const WELL: Found = Found {
    why: wait::NOTHING,
    queued: 0,
};

#[inline(always)]
fn reason_of_tcp(sk: Ptr, tcp: Ptr) -> Found {
    let state = socket::state(sk);
    if state == TCP_CLOSE {
        return WELL;
    }
    if state == TCP_LISTEN {
        let backlog = load!(sk, sk_ack_backlog: u32).unwrap_or(0);
        let most = load!(sk, sk_max_ack_backlog: u32).unwrap_or(NO_U32);
        return if backlog > most {
            Found {
                why: wait::ACCEPT_QUEUE,
                queued: backlog,
            }
        } else {
            WELL
        };
    }
    let retransmits = load_bits!(tcp, tcp_retransmits).unwrap_or(0);
    let (Some(end), Some(acked), Some(next)) = (
        load!(tcp, tcp_write_seq: u32),
        load!(tcp, tcp_snd_una: u32),
        load!(tcp, tcp_snd_nxt: u32),
    ) else {
        return WELL;
    };
    let queued = end.wrapping_sub(acked);
    let because = |why| Found { why, queued };
    if state == TCP_SYN_SENT {
        return if retransmits > 0 {
            because(wait::SYN_SENT)
        } else {
            WELL
        };
    }
    if queued != 0 {
        let in_flight = load!(tcp, tcp_packets_out: u32).unwrap_or(0);
        let unsent = end.wrapping_sub(next);
        let window = load!(tcp, tcp_snd_wnd: u32).unwrap_or(NO_U32);
        let room = acked.wrapping_add(window).wrapping_sub(next) as i32;
        let segment = load!(tcp, tcp_mss: u32).unwrap_or(0).min(unsent);
        if in_flight == 0 && unsent != 0 && room < segment as i32 {
            return because(wait::PEER_WINDOW);
        }
        if in_flight != 0 && retransmits != 0 {
            return because(wait::UNACKNOWLEDGED);
        }
        if load!(sk, sk_write_pending: u32).unwrap_or(0) != 0 {
            return because(wait::WRITER_BLOCKED);
        }
    } else if load_bits!(tcp, tcp_probes_out).unwrap_or(0) != 0 {
        // With nothing queued a probe is one of keepalive; whatever the peer sends sets this back.
        return because(wait::KEEPALIVE);
    }
    if state == TCP_CLOSE_WAIT {
        // The FIN has a sequence number too, which is read with the end of the stream.
        let unread = match (
            load!(tcp, tcp_rcv_nxt: u32),
            load!(tcp, tcp_copied_seq: u32),
        ) {
            (Some(next), Some(read)) => next.wrapping_sub(read).saturating_sub(1),
            _ => 0,
        };
        if unread != 0 || queued != 0 {
            return Found {
                why: wait::UNREAD,
                queued: if unread != 0 { unread } else { queued },
            };
        }
    }
    WELL
}

#[inline(always)]
fn reason_of_datagrams(sk: Ptr) -> Found {
    let family = socket::family(sk);
    let sock_type = load!(sk, sk_type: u16).unwrap_or(0);
    let full = |queued| Found {
        why: wait::BUFFER_FULL,
        queued,
    };
    if family == AF_UNIX {
        // `unix_recvq_full`
        let length = load!(sk, sk_receive_qlen: u32).unwrap_or(0);
        let most = load!(sk, sk_max_ack_backlog: u32).unwrap_or(NO_U32);
        if socket::state(sk) == TCP_LISTEN {
            return if length > most {
                Found {
                    why: wait::ACCEPT_QUEUE,
                    queued: length,
                }
            } else {
                WELL
            };
        }
        if sock_type != SOCK_STREAM && length > most {
            // What it holds is charged to those who sent it.
            return full(NO_U32);
        }
    } else if sock_type == SOCK_STREAM {
        return WELL;
    }
    let sent = load!(sk, sk_wmem_alloc: u32).unwrap_or(0);
    // One is the socket's own.
    let sent = sent.saturating_sub(1);
    let most = load!(sk, sk_sndbuf: u32).unwrap_or(NO_U32);
    if sent >= most && sent != 0 {
        return full(sent);
    }
    let received = load!(sk, sk_rmem_alloc: u32).unwrap_or(0);
    let most = load!(sk, sk_rcvbuf: u32).unwrap_or(NO_U32);
    // UDP takes nothing that would not fit, so its buffer is hardly ever filled to the last byte.
    let length = load!(sk, sk_receive_qlen: u32).unwrap_or(0);
    let one_more = received.checked_div(length).unwrap_or(0);
    if received != 0 && received.saturating_add(one_more) >= most {
        return full(received);
    }
    WELL
}

/// Writes a row; false when there was no room for it.
#[inline(always)]
fn waiting(seq: Ptr, task: Ptr, fd: u32, sk: Ptr, tcp: Ptr, found: &Found) -> bool {
    let Some(place) = WAITING_PLACE.get_ptr_mut(0) else {
        return true;
    };
    // SAFETY: an element of the map, which only a walk writes.
    let to = unsafe { &mut *place };
    clear(to);
    owner::describe(task, grade::SEEDED, &mut to.holder);
    if to.holder.grade != grade::SEEDED {
        return true;
    }
    to.row = row_head::<WaitingRow>(row::WAITING);
    to.head.boot_ns = emit::now();
    socket::describe(sk, &mut to.head);
    // The walk has a reference of its own.
    if to.head.file_refs != NO_U32 {
        to.head.file_refs -= 1;
    }
    if socket::is_ip(socket::family(sk)) {
        owner::stored(sk, &mut to.head.owner);
    }
    to.fd = fd;
    to.why = found.why;
    to.queued = found.queued;
    to.errno = load!(sk, sk_err: u32).unwrap_or(NO_U32);
    to.soft_errno = load!(sk, sk_err_soft: u32).unwrap_or(NO_U32);
    if !tcp.is_null() {
        socket::tcp_state(sk, tcp, &mut to.head, &mut to.tcp);
        of_tcp(sk, tcp, to);
    }
    write(seq, to)
}

#[inline(always)]
fn of_tcp(sk: Ptr, tcp: Ptr, to: &mut WaitingRow) {
    let pending = load_bits!(tcp, tcp_pending).unwrap_or(NO_U32);
    let keepalive = match load!(sk, sk_timer_pprev: u64) {
        Some(pprev) if pprev != 0 => timer::KEEPALIVE,
        _ => 0,
    };
    to.timer = if pending == NO_U32 {
        NO_U32
    } else {
        pending | keepalive
    };
    to.blocked_writers = load!(sk, sk_write_pending: u32).unwrap_or(NO_U32);
    to.sent_segments = load!(tcp, tcp_segs_out: u32).unwrap_or(NO_U32);
    to.retransmitted_segments = load!(tcp, tcp_total_retrans: u32).unwrap_or(NO_U32);
    to.reordering_segments = load!(tcp, tcp_reordering: u32).unwrap_or(NO_U32);
    to.chrono_jiffies = load!(tcp, tcp_chrono_stat: [u32; 3]).unwrap_or([NO_U32; 3]);
    to.chrono_type = load_bits!(tcp, tcp_chrono_type).unwrap_or(NO_U32);
    // SAFETY: no arguments, cannot fail; the low half is what the kernel calls tcp_jiffies32.
    let now = unsafe { bpf_jiffies64() } as u32;
    to.chrono_jiffies_ago = match load!(tcp, tcp_chrono_start: u32) {
        Some(start) => now.wrapping_sub(start),
        None => NO_U32,
    };
    // SAFETY: no arguments, cannot fail.
    let us = unsafe { bpf_ktime_get_ns() } / 1_000;
    to.retrans_ms_ago = match load!(tcp, tcp_retrans_stamp: u32) {
        Some(stamp) if stamp != 0 => {
            if load_bits!(tcp, tcp_usec_ts) == Some(1) {
                (us as u32).wrapping_sub(stamp) / 1_000
            } else {
                ((us / 1_000) as u32).wrapping_sub(stamp)
            }
        }
        _ => NO_U32,
    };
    to.acked_bytes = load!(tcp, tcp_bytes_acked: u64).unwrap_or(NO_U64);
    if let Some(ops) = load_ptr!(tcp, tcp_ca_ops) {
        put(
            &mut to.congestion_control,
            load!(ops, ca_name: Words).unwrap_or([0; 4]),
        );
    }
}

/// Notes what a TCP socket has sent in all, and writes what it has sent since the last walk; false when there was
/// no room for it.
#[inline(always)]
fn traffic(seq: Ptr, task: Ptr, sk: Ptr, tcp: Ptr, state: *mut WalkState) -> bool {
    if !can(ability::SOCKET_STORAGE) || socket::protocol(sk) != Some(IPPROTO_TCP) {
        return true;
    }
    // SAFETY: an element of the map.
    let number = unsafe { (*state).number };
    let slot = peers::walked(sk, true);
    if slot.is_null() {
        return true;
    }
    // SAFETY: the slot lives as long as the program runs.
    let walked = unsafe { &mut *slot };
    let before = walked.number;
    if before == number {
        // By another descriptor.
        return true;
    }
    // The first walk cannot know what is new, but for what has begun since the start; a socket that a later one meets
    // for the first time is new.
    let has_base = before != 0 || number > 1 || walked.flags != 0;
    if !has_base
        || load!(tcp, tcp_segs_out: u32).unwrap_or(0) != walked.sent_segments
        || load!(tcp, tcp_bytes_acked: u64).unwrap_or(0) != walked.acked_bytes
    {
        let (all, chronos) = (Sent::of(tcp), chronos(tcp));
        if has_base && !sent(seq, task, sk, tcp, &all, &chronos, walked) {
            return false;
        }
        all.note(walked);
        walked.chrono_jiffies = chronos;
    }
    walked.number = number;
    // SAFETY: an element of the map.
    unsafe { (*state).tcp_sockets += 1 };
    true
}

/// Writes what a TCP socket has sent since the last walk; false when there was no room for it.
#[inline(always)]
fn sent(
    seq: Ptr,
    task: Ptr,
    sk: Ptr,
    tcp: Ptr,
    all: &Sent,
    chronos: &[u32; 3],
    walked: &Walked,
) -> bool {
    let sent = all.since(walked);
    let mut place = MaybeUninit::<TrafficRow>::uninit();
    // SAFETY: `clear` writes every byte, and all zeroes are valid.
    let to = unsafe { &mut *place.as_mut_ptr() };
    clear(to);
    to.row = row_head::<TrafficRow>(row::TRAFFIC);
    owner::describe(task, grade::SEEDED, &mut to.owner);
    let family = socket::family(sk);
    to.family = family as u32;
    if family == AF_INET {
        put(
            &mut to.remote,
            socket::v4(load!(sk, sk_daddr: u32).unwrap_or(0)),
        );
    } else if family == AF_INET6 {
        put(
            &mut to.remote,
            load!(sk, sk_v6_daddr: Words).unwrap_or([0; 4]),
        );
    }
    to.netns = socket::netns(sk);
    to.sent_segments = sent.segments;
    to.retransmitted_segments = sent.retransmitted;
    to.delivered_segments = sent.delivered;
    to.dsack_dups = sent.dsack_dups;
    to.sent_bytes = sent.bytes;
    to.acked_bytes = sent.acked;
    to.srtt_us8 = load!(tcp, tcp_srtt: u32).unwrap_or(0);
    // A socket that was disconnected begins to count anew.
    let is_new = all.segments < walked.sent_segments;
    for (to, (now, before)) in
        (to.chrono_jiffies.iter_mut()).zip(chronos.iter().zip(&walked.chrono_jiffies))
    {
        *to = if is_new {
            *now
        } else {
            now.wrapping_sub(*before)
        };
    }
    write(seq, to)
}

/// `chrono_stat` with what runs now (`tcp_get_info_chrono_stats`); zeroes when it could not be read.
#[inline(always)]
fn chronos(tcp: Ptr) -> [u32; 3] {
    let mut all = load!(tcp, tcp_chrono_stat: [u32; 3]).unwrap_or([0; 3]);
    let running = load_bits!(tcp, tcp_chrono_type).unwrap_or(0);
    if let Some(start) = load!(tcp, tcp_chrono_start: u32) {
        // SAFETY: no arguments, cannot fail; the low half is what the kernel calls tcp_jiffies32.
        let since = (unsafe { bpf_jiffies64() } as u32).wrapping_sub(start);
        for (number, one) in (1..).zip(&mut all) {
            if running == number {
                *one = one.wrapping_add(since);
            }
        }
    }
    all
}

#[inline(always)]
const fn row_head<T>(kind: u32) -> RowHead {
    RowHead {
        kind,
        bytes: size_of::<T>() as u32,
    }
}

/// Appends a row; false when the buffer has no room for it.
#[inline(always)]
fn write<T>(seq: Ptr, row: &T) -> bool {
    // SAFETY: the sequence file comes from the context; the row is this program's.
    let result = unsafe {
        bpf_seq_write(
            seq as *mut _,
            core::ptr::from_ref(row).cast_mut().cast(),
            size_of::<T>() as u32,
        )
    };
    result == 0
}
