//! Makes an event of a socket that waits.

use tracer_common::{NO_U32, NO_U64, WaitingRow, head_flag, timer, wait};

use super::{Names, flow, some, tcp};
use crate::walk::{Stage, Told};
use tracer_model::event::{Detail, Event, Owner, SocketTimer, TcpState, WaitReason, Waiting};

/// `ICSK_TIME_…` of net/inet_connection_sock.h.
const RETRANS: u32 = 1;
const PROBE0: u32 = 3;
const LOSS_PROBE: u32 = 5;
const REO_TIMEOUT: u32 = 6;

/// The event of a socket that waits, or that has waited.
pub fn waiting(told: &Told, owner: Owner, names: &dyn Names) -> Event {
    let row = &*told.waiter.row;
    let hz = names.hz();
    let head = &row.head;
    let is_tcp = head.flags & head_flag::TCP != 0;
    let small = |value: u32| some(value).filter(|_| is_tcp);
    let [busy_us, rwnd_limited_us, sndbuf_limited_us] = limits(row, hz)
        .filter(|_| is_tcp)
        .map_or([None; 3], |limits| limits.map(Some));
    let why = reason(row.why);
    let mut tcp = is_tcp.then(|| tcp(&row.tcp, hz));
    if let Some(tcp) = &mut tcp
        && tcp.state == Some(TcpState::SynSent)
    {
        // Until a SYN is answered, the times of the last data and the last ACK mean nothing.
        tcp.last_send_us_ago = None;
        tcp.last_ack_us_ago = None;
    }
    let name = row.congestion_control;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Event {
        boot_ns: told.boot_ns,
        count: 1,
        owner,
        flow: flow(&head.flow, head.flags, &Default::default(), names),
        detail: Detail::Waiting(Box::new(Waiting {
            why,
            for_us: told.for_us,
            ended: told.stage == Stage::Ended,
            unfinished: told.stage == Stage::Unfinished,
            queued_bytes: some(row.queued).map(u64::from),
            timer: some(row.timer).filter(|_| is_tcp).and_then(pending),
            blocked_writers: small(row.blocked_writers),
            errno: some(row.errno),
            soft_errno: some(row.soft_errno),
            busy_us,
            rwnd_limited_us,
            sndbuf_limited_us,
            congestion_control: (!name.is_empty())
                .then(|| String::from_utf8_lossy(name).into_owned()),
            sent_segments: small(row.sent_segments),
            acked_bytes: (is_tcp && row.acked_bytes != NO_U64).then_some(row.acked_bytes),
            retransmitted_segments: small(row.retransmitted_segments),
            reordering_segments: small(row.reordering_segments),
        })),
        tcp,
    }
}

const fn reason(number: u32) -> WaitReason {
    match number {
        wait::SYN_SENT => WaitReason::SynSent,
        wait::PEER_WINDOW => WaitReason::PeerWindow,
        wait::UNACKNOWLEDGED => WaitReason::Unacknowledged,
        wait::ACCEPT_QUEUE => WaitReason::AcceptQueue,
        wait::BUFFER_FULL => WaitReason::BufferFull,
        wait::UNREAD => WaitReason::Unread,
        wait::KEEPALIVE => WaitReason::Keepalive,
        _ => WaitReason::WriterBlocked,
    }
}

fn pending(number: u32) -> Option<SocketTimer> {
    match number & 0xff {
        RETRANS => Some(SocketTimer::Retransmit),
        PROBE0 => Some(SocketTimer::Persist),
        LOSS_PROBE => Some(SocketTimer::LossProbe),
        REO_TIMEOUT => Some(SocketTimer::Reordering),
        0 if number & timer::KEEPALIVE != 0 => Some(SocketTimer::Keepalive),
        0 => Some(SocketTimer::None),
        _ => None,
    }
}

/// Time with data to send, and of that: limited by the peer's window, by the send buffer; microseconds, as
/// `tcp_get_info_chrono_stats()` has it.
fn limits(row: &WaitingRow, hz: u64) -> Option<[u64; 3]> {
    if row.chrono_jiffies.contains(&NO_U32) || row.chrono_type == NO_U32 {
        return None;
    }
    let mut jiffies = row.chrono_jiffies.map(u64::from);
    if let Some(running) = (row.chrono_type as usize)
        .checked_sub(1)
        .and_then(|index| jiffies.get_mut(index))
        && let Ok(ago) = i32::try_from(row.chrono_jiffies_ago)
    {
        *running += ago.unsigned_abs() as u64;
    }
    let [busy, rwnd, sndbuf] = jiffies;
    let us = |jiffies: u64| jiffies.checked_mul(1_000_000)?.checked_div(hz);
    Some([us(busy + rwnd + sndbuf)?, us(rwnd)?, us(sndbuf)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_tcp_info() {
        let mut row = WaitingRow {
            chrono_jiffies: [100, 250, 0],
            chrono_type: 2,
            chrono_jiffies_ago: 250,
            ..WaitingRow::default()
        };
        assert_eq!(limits(&row, 250), Some([2_400_000, 2_000_000, 0]));
        row.chrono_type = 0;
        assert_eq!(limits(&row, 250), Some([1_400_000, 1_000_000, 0]));
        row.chrono_type = NO_U32;
        assert_eq!(limits(&row, 250), None);
    }

    #[test]
    fn the_pending_timer_is_named_as_the_kernel_means_it() {
        let cases = [
            (0, Some(SocketTimer::None)),
            (timer::KEEPALIVE, Some(SocketTimer::Keepalive)),
            (RETRANS | timer::KEEPALIVE, Some(SocketTimer::Retransmit)),
            (PROBE0, Some(SocketTimer::Persist)),
            (LOSS_PROBE, Some(SocketTimer::LossProbe)),
            (REO_TIMEOUT, Some(SocketTimer::Reordering)),
            (2, None),
        ];
        for (number, expected) in cases {
            assert_eq!(pending(number), expected, "{number}");
        }
    }
}
