//! Packets get lost on the way to one destination, and not to others.

use super::common::{resent, times};
use super::loss::{Losses, Lossy, losses};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::{Cause, EventKind};

/// So many segments sent again were to be expected elsewhere, and did not come.
const SURELY: f64 = 30.0;

pub static RULE: Rule = Rule {
    cause: "destination_loss",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "packets are lost on the way to one destination, while others are well",
    reason: "Segments to this destination had to be sent again, while much other traffic of this host in the same time \
             lost nothing: the part of the path that is only this destination's loses packets, not the part near \
             this host.",
    rests_on: "tcp_xmit_retransmit_queue(), as for path_loss; Tcp.OutSegs of the host minus what this destination \
               acknowledged is what went elsewhere.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Loss to other destinations too; duplicates that the peer reports; drops on this host.",
    next_step: "Trace the route to this destination and to a healthy one, and look where they part; ask for the port \
                counters there, and on the destination's own interface.",
    do_not: "Do not change this host's settings: its other connections show that they are right.",
    supersedes: &["path_loss"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for host in 0..observed.hosts.len() {
        let losses = losses(observed, host);
        if losses.are_apart() {
            let lossy = losses.lossy.iter();
            matches.extend(lossy.map(|one| matched(observed, &losses, one)));
        }
    }
    matches
}

fn matched(observed: &Observed, losses: &Losses, one: &Lossy) -> Match {
    let sum = resent(
        observed,
        &one.sockets,
        &[Cause::Fast, Cause::Rto, Cause::Tlp],
    );
    let confidence = if sum.segments >= 20 && losses.expected(one) >= SURELY {
        Confidence::High
    } else {
        Confidence::Medium
    };
    Match::of_many(
        observed,
        one.conversations.clone(),
        one.sockets.clone(),
        confidence,
    )
    .shown_by(format!("retransmits of {} segments", sum.segments), &sum)
    .with(format!(
        "{:.1} % of what was sent to it was sent again",
        one.part * 100.0
    ))
    .with(format!(
        "{} segments went elsewhere; as much loss there would have shown {:.0} times, and showed {}",
        losses.elsewhere().unwrap_or(0),
        losses.expected(one),
        times(losses.resent_elsewhere)
    ))
    .timed()
}
