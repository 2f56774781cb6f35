//! Packets get lost on the way, wherever they go.

use super::common::resent;
use super::loss::losses;
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::{Cause, EventKind};

pub static RULE: Rule = Rule {
    cause: "path_loss",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "packets are lost on the way",
    reason: "A part of the segments had to be sent again while the others were acknowledged, more than TCP causes by \
             looking for its rate, and nothing shows that it is one destination only: what all of them share loses \
             packets (a link near this host, an uplink, a policer).",
    rests_on: "tcp_xmit_retransmit_queue() sends again what SACK (RFC 2018) and RACK (RFC 8985) say is lost; DSACK \
               (RFC 2883) would tell if it had arrived.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Duplicates that the peers report (the packets did arrive); drops on this host (its own queue or \
                 firewall); growing round-trip times (a queue that is full, not a link that loses).",
    next_step: "Compare counters of interfaces and switch ports from this host outwards (ethtool -S, CRC and discard \
                counters) over the same minutes; look for a policer or a duplex mismatch on the shared part.",
    do_not: "Do not raise application retries or buffers: lost packets are not slow ones, and more traffic loses more.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for host in 0..observed.hosts.len() {
        let losses = losses(observed, host);
        // Much went elsewhere unharmed: then it is about these destinations.
        if losses.lossy.is_empty() || losses.are_apart() {
            continue;
        }
        let lossy = &losses.lossy;
        let many = lossy.len() >= 2;
        let sockets: Vec<usize> = lossy.iter().flat_map(|one| one.sockets.clone()).collect();
        let all = [Cause::Fast, Cause::Rto, Cause::Tlp];
        let sum = resent(observed, &sockets, &all);
        let confidence = match (many, sum.segments) {
            (true, 20..) => Confidence::High,
            _ => Confidence::Medium,
        };
        let delivered = lossy
            .iter()
            .map(|one| one.delivered_segments)
            .sum::<Option<u64>>();
        let mut matched = Match::of_many(
            observed,
            lossy
                .iter()
                .flat_map(|one| one.conversations.clone())
                .collect(),
            sockets,
            confidence,
        )
        .shown_by(format!("retransmits of {} segments", sum.segments), &sum)
        .but(
            !many && losses.resent_elsewhere == 0,
            "there was too little traffic to other destinations to compare with",
        );
        if delivered.is_some_and(|delivered| delivered > 0) {
            let worst = lossy.iter().map(|one| one.part).fold(0.0, f64::max);
            let part = worst;
            matched = matched.with(format!(
                "{:.1} % of what was sent was sent again, where it was worst",
                part * 100.0
            ));
        }
        matches.push(matched.timed());
    }
    matches
}
