//! The process at the other end is gone: its kernel answers data with RST.

use super::common::many;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::event::{Cause, Detail, Direction, EventKind};
use tracer_model::linux;

/// A connection that was at work had an ACK no longer ago than this when the RST came, microseconds.
const AT_WORK_US: i64 = 5_000_000;

pub static RULE: Rule = Rule {
    cause: "peer_crashed",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Peer),
    title: "the process at the other end ended while we were sending",
    reason: "A connection at work got RST, and sends failed with ECONNRESET or EPIPE: the host at the other end is \
             alive and answers, but its socket is closed. A process that ends (or is killed) with data unread or \
             still coming leaves exactly this.",
    rests_on: "tcp_close() and tcp_rcv_state_process() of the peer send RST for data that nobody will read (RFC 2525 \
               2.17, RFC 9293 3.10.7.4); tcp_reset() here sets ECONNRESET, or EPIPE after its FIN.",
    needs: &[EventKind::Reset, EventKind::SendError],
    needs_samples: false,
    refuted_by: "RST after a long idle time (a firewall forgot the connection); time-outs before it (the path was \
                 broken first); the same RST on every connection at the same byte (a protocol error).",
    next_step: "On the destination at this time: did the service crash, restart or get killed (journalctl, OOM killer, \
                deployments)? If it did not, it closed the connection on purpose: read its log.",
    do_not: "Do not tune TCP time-outs or keepalive: the answer came at once. Retry on a new connection, with backoff.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let sockets = conversation.sockets.iter().copied();
        let reset: Vec<_> = sockets
            .filter(|socket| reset_at_work(&observed.sockets[*socket]))
            .collect();
        if reset.is_empty() {
            continue;
        }
        let all = || reset.iter().map(|socket| &observed.sockets[*socket]);
        let resets = Sum::of(all().map(|socket| &socket.resets_received));
        let errors = Sum::of(all().flat_map(|socket| {
            [linux::ECONNRESET, linux::EPIPE]
                .into_iter()
                .filter_map(|errno| socket.errors.get(&errno.unsigned_abs()))
        }));
        let timeouts = all().map(|socket| socket.resent(Cause::Rto)).sum::<u64>();
        // Nobody listens any more: the process is gone, and did not only close this connection.
        let refused = observed
            .sockets_of(conversation)
            .filter(|socket| refused_after(socket, resets.first_ns))
            .count();
        let confidence = match (timeouts, refused) {
            (0, 1..) => Confidence::High,
            _ => Confidence::Medium,
        };
        matches.push(
            Match::of(observed, index, reset.clone(), confidence)
                .shown_by("RST received on a connection at work", &resets)
                .shown_by("sends failed with ECONNRESET or EPIPE", &errors)
                .but(
                    refused == 0,
                    "no connection was refused afterwards: the peer may live, and have closed this one on purpose",
                )
                .but(timeouts > 0, format!("{timeouts} time-outs came before"))
                .timed(),
        );
        if let Some(matched) = matches.last_mut().filter(|_| refused > 0) {
            let what = format!(
                "afterwards {} to it met a refusal",
                many(refused, "connection")
            );
            matched.evidence.push(crate::Evidence::fact(what));
        }
    }
    matches
}

/// Was this connection asked for after that time, and refused?
pub fn refused_after(socket: &Socket, at: i64) -> bool {
    let refused = linux::ECONNREFUSED.unsigned_abs();
    let mut changes = socket.transitions.iter();
    changes.any(|(when, change)| *when > at && change.errno == Some(refused))
}

/// Established and busy, then RST, and a send that learned of it.
fn reset_at_work(socket: &Socket) -> bool {
    if socket.resets_received.is_empty()
        || socket.failed(linux::ECONNRESET) + socket.failed(linux::EPIPE) == 0
    {
        return false;
    }
    idle_before_reset_us(socket).is_none_or(|us| us < AT_WORK_US)
}

/// How long before the RST the last ACK had come, microseconds.
pub fn idle_before_reset_us(socket: &Socket) -> Option<i64> {
    socket.events.iter().find_map(|(_, event)| {
        let received =
            matches!(&event.detail, Detail::Reset(r) if r.direction == Some(Direction::Received));
        let ago = event.tcp.as_ref()?.last_ack_us_ago?;
        received.then(|| i64::try_from(ago).unwrap_or(i64::MAX))
    })
}
