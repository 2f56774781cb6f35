//! Connections that were idle are answered with RST when they are used again.

use super::common::{errors, sockets};
use super::idle_timeout::IDLE_US;
use super::peer_crashed::idle_before_reset_us;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Sum};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "idle_reset",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Network),
    title: "connections are reset when they are used again after a pause",
    reason: "The first data after a pause was answered with RST at once: somebody forgot the connection while it was \
             idle (a stateful firewall or load balancer that rejects), or the peer restarted and did not say so.",
    rests_on: "The age of the last ACK (rcv_tstamp) when the RST came in, tcp_reset(); RFC 9293 3.5.2: RST answers a \
               segment of a connection that does not exist.",
    needs: &[EventKind::Reset, EventKind::Connection],
    needs_samples: false,
    refuted_by: "RST on busy connections at the same time (the peer went down); RST in the middle of a pause, with \
                 nothing sent (the peer closed it on purpose).",
    next_step: "Find the shortest pause after which it happens: is it a round number (60 s, 300 s, 350 s, 3600 s), it is \
                somebody's setting. Set keepalive below it, or let the pool close idle connections earlier.",
    do_not: "Do not retry on the same connection, and do not raise time-outs: open a new one.",
    supersedes: &["peer_crashed"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let idle = |us: Option<i64>| us.is_some_and(|us| us.unsigned_abs() >= IDLE_US);
        let reset = sockets(observed, conversation, |socket| {
            // Data was on its way: the RST answers it.
            idle(idle_before_reset_us(socket)) && socket.tcp.unacked_segments_max.unwrap_or(0) > 0
        });
        if reset.is_empty() {
            continue;
        }
        let busy = sockets(observed, conversation, |socket| {
            !socket.resets_received.is_empty() && socket.open && !idle(idle_before_reset_us(socket))
        });
        let all = || reset.iter().map(|socket| &observed.sockets[*socket]);
        let sum = Sum::of(all().map(|socket| &socket.resets_received));
        let shortest = all().filter_map(idle_before_reset_us).min().unwrap_or(0);
        let confidence = match (reset.len(), busy.len()) {
            (2.., 0) => Confidence::High,
            (_, 0) => Confidence::Medium,
            _ => Confidence::Low,
        };
        matches.push(
            Match::of(observed, index, reset.clone(), confidence)
                .shown_by("RST received for the first data after a pause", &sum)
                .with(format!(
                    "the shortest pause was {:.1} s",
                    shortest as f64 / 1e6
                ))
                .shown_by(
                    "sends failed with ECONNRESET or EPIPE",
                    &errors(observed, &reset, &[linux::ECONNRESET, linux::EPIPE]),
                )
                .but(
                    !busy.is_empty(),
                    format!("{} busy connections were reset too", busy.len()),
                )
                .but(true, "a peer that restarted without a word looks the same"),
        );
    }
    matches
}
