//! The process at the other end ended, and another one took its place.

use super::reset_by_peer_at_request::{TOGETHER_NS, matches};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "peer_restarted",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Peer),
    title: "the other end reset several connections at the same moment, and refused none afterwards",
    reason: "All these connections got RST within a second, and no later connection was refused: the process \
             there ended and was started again at once, or a balancer in front of it moved them.",
    rests_on: "A process that ends closes all of its sockets; those with unread data send RST (RFC 2525 2.17).",
    needs: &[EventKind::Reset, EventKind::Connection],
    needs_samples: false,
    refuted_by: "Refused connections afterwards: then nobody took its place. Resets that come one after the other.",
    next_step: "On the destination at this second: was the service restarted or deployed, or did a balancer drain \
             it?",
    do_not: "Do not reconnect with all clients at once: give the retries jitter.",
    supersedes: &["peer_crashed"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = matches(observed, |first, last| last - first <= TOGETHER_NS);
    for matched in &mut matches {
        matched.confidence = Confidence::Medium;
    }
    matches
}
