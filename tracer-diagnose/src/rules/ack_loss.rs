//! Data arrives, and the answers to it get lost.

use super::common::{resent, sockets};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::{Cause, EventKind};

pub static RULE: Rule = Rule {
    cause: "ack_loss",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "the way back loses packets: what was sent arrived, and its acknowledgements did not",
    reason: "The peer says that it got twice what was sent again by time-out, and the round-trip time did not \
             grow: the data was there in time, and the ACK for it was lost on the way back.",
    rests_on: "DSACK (RFC 2883) for segments of a time-out; F-RTO (RFC 5682) would have told a late ACK.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Round-trip times that grow with the time-outs, or a time-out after each probe: then the answers are late, not lost.",
    next_step: "Trace the route from the destination to this host: it may be another one than the way there. \
             Compare counters of interfaces and policers on it.",
    do_not: "Do not look at the transmit side of this host: everything it sent arrived.",
    supersedes: &["spurious_retransmits", "path_loss", "destination_loss"],
    judge,
};

const LEAST: u64 = 3;
/// The round-trip time is as it was if it is no more than so many times its least.
const STEADY: u64 = 3;

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let found = sockets(observed, conversation, |socket| {
            let timeouts = socket.resent(Cause::Rto);
            let twice = socket.duplicates().unwrap_or(0);
            let steady = socket
                .rtt_us()
                .is_some_and(|(least, most)| most <= least.max(1_000) * STEADY);
            // A path that pauses delays the answer to the probe as well: each probe is followed by a time-out.
            let probes = socket.resent(Cause::Tlp);
            timeouts >= LEAST
                && probes >= timeouts * 2
                && twice >= LEAST
                && twice * 2 >= socket.resent_segments()
                && steady
        });
        if found.is_empty() {
            continue;
        }
        let twice: u64 = found
            .iter()
            .filter_map(|socket| observed.sockets[*socket].duplicates())
            .sum();
        matches.push(
            Match::of(observed, index, found.clone(), Confidence::Medium)
                .shown_by("time-outs (rto)", &resent(observed, &found, &[Cause::Rto]))
                .with(format!(
                    "the peer got {twice} segments twice, as it says itself"
                ))
                .with("the round-trip time did not grow")
                .timed(),
        );
    }
    matches
}
