//! The destination takes some connections and drops the requests of others.

use super::common::{established, many, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Role, Socket};
use tracer_model::event::{Cause, EventKind};

pub static RULE: Rule = Rule {
    cause: "syn_dropped_at_peer",
    symptom: Symptom::Stall,
    layer: Some(Layer::Peer),
    title: "connection requests to a destination that answers others had to be sent again",
    reason: "Some connections to this destination were established, others only after their request was sent \
             again, or not at all: the path works, and something at the destination drops requests now and then \
             (a full accept queue, SYN protection, a limit).",
    rests_on: "tcp_conn_request() of the peer drops SYNs when its accept queue is full; the client sends them \
             again after tcp_syn_linear_timeouts and 1, 2, 4 s.",
    needs: &[EventKind::Retransmit],
    needs_samples: false,
    refuted_by: "Loss of data on the same connections: then the path loses packets of all kinds.",
    next_step: "On the destination: nstat TcpExtListenOverflows TcpExtListenDrops, ss -ltn (Recv-Q at Send-Q), \
             limits of its firewall or balancer per source.",
    do_not: "Do not raise the number of attempts per second: it fills the queue that is full.",
    supersedes: &["syn_blackhole", "path_blackhole"],
    judge,
};

const LEAST: u64 = 2;

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let established = established(observed, conversation);
        let taken = observed.sockets_of(conversation).any(|socket| socket.open);
        if conversation.role == Role::Server || !taken && established == 0 {
            continue;
        }
        let unheard = sockets(observed, conversation, never_taken);
        let found = sockets(observed, conversation, |socket| {
            socket.resent(Cause::Syn) > 0
                && socket.resent(Cause::Rto) == 0
                && socket.resets_received.is_empty()
                || never_taken(socket)
        });
        let again = resent(observed, &found, &[Cause::Syn]);
        let lost = observed
            .sockets_of(conversation)
            .filter(|socket| !never_taken(socket))
            .map(|socket| socket.resent(Cause::Rto) + socket.resent(Cause::Fast));
        if again.count + (unheard.len() as u64) < LEAST || lost.sum::<u64>() > 0 {
            continue;
        }
        let open = found
            .iter()
            .filter(|socket| observed.sockets[**socket].open)
            .count();
        let mut matched = Match::of(observed, index, found, Confidence::Medium)
            .shown_by("connection requests sent again (syn)", &again)
            .shown_by(
                "time-outs of the first data of connections that the peer had not accepted",
                &resent(observed, &unheard, &[Cause::Rto]),
            )
            .with(format!(
                "{open} of these connections were established in the end"
            ));
        if established > 0 {
            matched = matched.with(format!(
                "{} to this address and port of any process here were established in this recording",
                many(usize::try_from(established).unwrap_or(usize::MAX), "connect")
            ));
        }
        if !unheard.is_empty() {
            matched = matched.with(format!(
                "{} answered the request, and took none of the data after it: the last ACK of the handshake was dropped \
                 there, as a full accept queue does",
                many(unheard.len(), "connection")
            ));
        }
        matches.push(matched.timed());
    }
    matches
}

/// Established for this end, and nothing that was sent was ever acknowledged, however small.
fn never_taken(socket: &Socket) -> bool {
    let acked = socket.last_info().and_then(|info| info.bytes_acked);
    let small = socket.tcp.send_queue_bytes_max.unwrap_or(u32::MAX);
    let segment = socket.tcp.mss_bytes.map_or(0, |(least, _)| least);
    socket.role == Role::Client
        && socket.open
        && socket.resent(Cause::Rto) > 0
        && socket.resets_received.is_empty()
        && acked.is_some_and(|bytes| bytes <= 1)
        // A large segment may be too large for the path.
        && small <= segment / 2
}
