//! The peer answers requests with RST.

use super::common::{ends, errors, sockets};
use super::idle_timeout::IDLE_US;
use super::peer_crashed::{idle_before_reset_us, refused_after};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Socket, Sum};
use tracer_model::event::{EventKind, TcpState};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "reset_by_peer_at_request",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Peer),
    title: "the other end takes connections and then resets them, one after the other",
    reason: "Connections to this destination opened, and each was ended by RST at its own time, not all at once: \
             the process there lives and decides so (it sheds load, refuses what it was asked, or a proxy there \
             has lost its own upstream).",
    rests_on: "tcp_reset() in the state ESTABLISHED gives ECONNRESET; close() with SO_LINGER of 0, or with data \
             unread, sends RST (RFC 2525 2.17).",
    needs: &[EventKind::Reset, EventKind::Connection],
    needs_samples: false,
    refuted_by: "Resets of all connections at the same moment, or refused connections afterwards: then the process \
             ended.",
    next_step: "The log of the service at these times: does it limit connections or requests, or fail on what it is \
             asked? Then a capture on both ends: does the RST come from there?",
    do_not: "Do not retry at once: if it sheds load, that is more load. Do not tune TCP.",
    supersedes: &["peer_crashed"],
    judge,
};

/// Resets that come within this time come together, nanoseconds: a process that ends closes all it has at once, and the
/// next segment of each connection is answered.
pub const TOGETHER_NS: i64 = 200_000_000;

fn judge(observed: &Observed) -> Vec<Match> {
    matches(observed, |first, last| last - first > TOGETHER_NS)
}

/// A case for each conversation of which several connections were reset, at times for which this is true.
pub fn matches(observed: &Observed, wanted: impl Fn(i64, i64) -> bool) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let found = sockets(observed, conversation, was_reset);
        let resets = Sum::of(
            found
                .iter()
                .map(|socket| &observed.sockets[*socket].resets_received),
        );
        let gone = observed
            .sockets_of(conversation)
            .any(|socket| refused_after(socket, resets.first_ns));
        if found.len() < 2 || gone || !wanted(resets.first_ns, resets.last_ns) {
            continue;
        }
        let confidence = if found.len() >= 4 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        matches.push(
            Match::of(observed, index, found.clone(), confidence)
                .shown_by("RST received on open connections", &resets)
                .shown_by(
                    "connections ended with ECONNRESET",
                    &ends(observed, &found, |sign| {
                        *sign == Sign::Ended(linux::ECONNRESET.unsigned_abs())
                    }),
                )
                .shown_by(
                    "sends failed with ECONNRESET or EPIPE",
                    &errors(observed, &found, &[linux::ECONNRESET, linux::EPIPE]),
                )
                .timed(),
        );
    }
    matches
}

/// Open, not idle, and reset without a word before.
fn was_reset(socket: &Socket) -> bool {
    socket.open
        && socket.reset_state == Some(TcpState::Established)
        && socket.timeouts() == 0
        && idle_before_reset_us(socket).is_none_or(|us| us.unsigned_abs() < IDLE_US)
}
