//! The send buffer of a TCP socket is too small for its rate.

use super::common::{errors, seconds, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{CountedKind, EventKind};
use tracer_model::linux;

/// Time that the connection was limited by its buffer, microseconds, and as part of the time that it was busy.
const LIMITED_US: u64 = 300_000;
const LIMITED_PART: f64 = 0.25;

pub static RULE: Rule = Rule {
    cause: "send_buffer_small",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "the socket's send buffer is too small for the rate that the path could carry",
    reason: "The connection spent much of its time with an empty send queue and an application that waited for room: \
             neither the peer's window nor congestion limited it, but the buffer, which must hold what is in flight.",
    rests_on: "sndbuf_limited of tcp_info counts the time in TCP_CHRONO_SNDBUF_LIMITED (tcp_chrono_start()); the buffer \
               must be at least rate × round-trip time (RFC 7323, appendix).",
    needs: &[EventKind::SendError],
    needs_samples: true,
    refuted_by: "Time limited by the peer's window (rwnd_limited), or retransmits: then the buffer is full because it does \
                 not drain.",
    next_step: "Does the application set SO_SNDBUF? Let it leave that to the kernel (net.ipv4.tcp_wmem grows by itself), \
                or set it to twice the rate times the round-trip time.",
    do_not: "Do not raise net.core.wmem_max for everybody, and do not look at the network: it waits for data.",
    supersedes: &["blocked_writer"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let small = sockets(observed, conversation, |socket| limited(socket).is_some());
        if small.is_empty() {
            continue;
        }
        let all = || small.iter().map(|socket| &observed.sockets[*socket]);
        let (us, busy) = all()
            .filter_map(limited)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let sndbuf = all()
            .filter_map(|socket| Some(socket.last_sample()?.memory.as_ref()?.sndbuf_bytes))
            .min();
        let waits: u64 = observed
            .counted_of(conversation)
            .filter(|row| matches!(row.kind, CountedKind::WouldBlock | CountedKind::PartialSend))
            .map(|row| row.count)
            .sum();
        let sum = errors(observed, &small, &[linux::EAGAIN]);
        let part = us as f64 / busy.max(1) as f64;
        let confidence = if part >= 0.4 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mut matched = Match::of(observed, index, small.clone(), confidence)
            .with(format!(
                "limited by the send buffer for {} of {} busy ({:.0} %)",
                seconds(us),
                seconds(busy),
                part * 100.0
            ))
            .shown_by("sends failed with EAGAIN", &sum);
        if let Some(bytes) = sndbuf {
            matched = matched.with(format!("the send buffer is {bytes} bytes"));
        }
        if waits > 0 {
            matched = matched.with(format!(
                "{waits} sends were refused or taken in part for want of room"
            ));
        }
        matched.explains = matched.explains.max(waits);
        matches.push(matched);
    }
    matches
}

/// Time limited by the buffer and time busy, microseconds.
fn limited(socket: &Socket) -> Option<(u64, u64)> {
    if let Some(held) = socket.held_by_buffer {
        return (socket.timeouts() == 0).then_some((held.us, held.busy_us));
    }
    let info = socket.last_info()?;
    let (us, busy) = (info.sndbuf_limited_us?, info.busy_us?);
    let window = info.rwnd_limited_us.unwrap_or(0);
    let much = us >= LIMITED_US && us as f64 >= busy as f64 * LIMITED_PART;
    (much && us > window && socket.timeouts() == 0).then_some((us, busy))
}
