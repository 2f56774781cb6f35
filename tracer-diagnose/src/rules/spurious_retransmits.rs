//! What was sent again had arrived.

use super::common::{of_host, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{Cause, EventKind};

/// Of what was sent; below it is the noise of a fast path.
const LEAST_PART: f64 = 0.02;
/// Fast retransmits, or time-outs: a time-out costs more. Probes (TLP) cost nothing, and a late ACK is enough for one.
const LEAST_FAST: u64 = 5;
const LEAST_RTO: u64 = 3;

pub static RULE: Rule = Rule {
    cause: "spurious_retransmits",
    symptom: Symptom::Waste,
    layer: Some(Layer::Network),
    title: "what was sent again had arrived: packets overtake each other, or the path pauses",
    reason: "The peer reports most of what was sent again as received twice. So nothing was lost: packets came out of \
             order, or so late that TCP gave them up too early, and each time it slows down for nothing.",
    rests_on: "DSACK (RFC 2883), counted in tcp_check_dsack() as dsack_dups of the socket; TCPLossUndo and TCPDSACKUndo \
               count what TCP took back (RFC 4015, F-RTO RFC 5682).",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Few duplicates reported by the peer, or a peer without SACK.",
    next_step: "By time-out: look for pauses of the path (Wi-Fi, failover, a virtual machine that is not scheduled). By \
                fast retransmit: look for paths of unequal length that share one flow (per-packet balancing, bonding \
                in round robin).",
    do_not: "Do not look for a lossy link: there is none in this. Do not switch off SACK or timestamps: they repair it.",
    supersedes: &["path_loss", "destination_loss"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for host in 0..observed.hosts.len() {
        // Where the peer answers for several sockets, each must be wrong for itself.
        let (conversations, _) = of_host(observed, host, spurious);
        for index in conversations {
            let found = sockets(observed, &observed.conversations[index], spurious);
            let all = || found.iter().map(|socket| &observed.sockets[*socket]);
            let twice: u64 = all().filter_map(Socket::duplicates).sum();
            let sum = resent(observed, &found, &[Cause::Fast, Cause::Rto, Cause::Tlp]);
            let part = twice as f64 / sum.segments.max(1) as f64;
            let confidence = if part >= 0.7 {
                Confidence::High
            } else {
                Confidence::Medium
            };
            let timeouts = resent(observed, &found, &[Cause::Rto]).count;
            matches.push(
                Match::of(observed, index, found.clone(), confidence)
                    .shown_by(format!("retransmits of {} segments", sum.segments), &sum)
                    .with(format!(
                        "the peer got {twice} of them twice, as it says itself"
                    ))
                    .with(if timeouts > 0 {
                        format!("{timeouts} of them by time-out: the path pauses")
                    } else {
                        "none of them by time-out: packets overtake each other".to_owned()
                    })
                    .timed(),
            );
        }
    }
    matches
}

fn spurious(socket: &Socket) -> bool {
    let Some(twice) = socket.duplicates() else {
        return false;
    };
    let segments = |cause| socket.retransmits.get(&cause).map_or(0, |sum| sum.segments);
    let (fast, timeouts) = (segments(Cause::Fast), segments(Cause::Rto));
    // A probe that came twice is not counted against the others.
    let twice = twice.saturating_sub(segments(Cause::Tlp));
    (fast >= LEAST_FAST || timeouts >= LEAST_RTO)
        && twice * 2 >= fast + timeouts
        && socket.resent_part().is_some_and(|part| part >= LEAST_PART)
}
