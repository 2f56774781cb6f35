//! The peer had closed the connection before it was used again.

use super::common::{errors, sockets};
use super::peer_crashed::{idle_before_reset_us, refused_after};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::event::{EventKind, TcpState};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "peer_closed_idle",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::App),
    title: "the application sends on a connection that the peer had closed already",
    reason: "The peer had sent FIN (the state was CLOSE_WAIT), the application did not notice, and wrote: the \
             answer is RST. The usual race of a pool that keeps connections longer than the server does.",
    rests_on: "tcp_fin() moves to CLOSE_WAIT; tcp_reset() then sets EPIPE instead of ECONNRESET.",
    needs: &[EventKind::Reset],
    needs_samples: false,
    refuted_by: "RST in the state ESTABLISHED: then no FIN had come.",
    next_step: "Compare the idle time of the pool with the keep-alive time-out of the server, and let the pool \
             close first; or check for the end of file before a connection is used again.",
    do_not: "Do not blame the network: the FIN arrived. Do not raise retries on the same connection.",
    supersedes: &[
        "peer_crashed",
        "idle_reset",
        "peer_restarted",
        "reset_by_peer_at_request",
    ],
    judge,
};

/// A connection at work had an ACK no longer ago than this when the RST came, microseconds.
const BUSY_US: i64 = 200_000;

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let found = sockets(observed, conversation, |socket| {
            // Nobody listens any more: then the process ended, and its kernel sent the FIN.
            let at = socket.resets_received.first_ns;
            let gone = observed
                .sockets_of(conversation)
                .any(|other| refused_after(other, at));
            socket.reset_state == Some(TcpState::CloseWait) && !gone && !was_busy(socket)
        });
        if found.is_empty() {
            continue;
        }
        let resets = Sum::of(
            found
                .iter()
                .map(|socket| &observed.sockets[*socket].resets_received),
        );
        let confidence = if found.len() >= 2 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        matches.push(
            Match::of(observed, index, found.clone(), confidence)
                .shown_by(
                    "RST for data that was sent after the FIN of the peer",
                    &resets,
                )
                .shown_by(
                    "sends failed with EPIPE or ECONNRESET",
                    &errors(observed, &found, &[linux::EPIPE, linux::ECONNRESET]),
                )
                .timed(),
        );
    }
    matches
}

/// Several segments were on their way, and the last ACK was fresh: the FIN came in the middle of work.
fn was_busy(socket: &Socket) -> bool {
    let fresh = idle_before_reset_us(socket).is_some_and(|us| us < BUSY_US);
    fresh && socket.tcp.unacked_segments_max.unwrap_or(0) > 1
}
