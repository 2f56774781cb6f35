//! What no rule explains is said, with its evidence, and without a guess.

use std::collections::BTreeSet;
use tracer_model::linux;

use crate::rule::{Confidence, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::errno;
use tracer_model::event::{Cause, EventKind};

/// Less trouble than this in a conversation is no finding.
const LEAST: u64 = 3;

pub static UNKNOWN: Rule = Rule {
    cause: "unknown",
    symptom: Symptom::Stall,
    layer: None,
    title: "sends failed or had to be repeated, and no rule explains why",
    reason: "There is trouble, and its evidence fits no known cause well enough. A wrong cause would cost more time \
             than none.",
    rests_on: "What is left when all rules have judged.",
    needs: &[
        EventKind::Retransmit,
        EventKind::SendError,
        EventKind::Connection,
    ],
    needs_samples: false,
    refuted_by: "A rule that explains it.",
    next_step: "Look at the events (sendtrace replay, with --since and --until around the first one), and record \
                longer, with samples, and on the other end as well.",
    do_not: "Do not change several things at once: what helped would stay unknown.",
    supersedes: &[],
    judge: |_| Vec::new(),
};

/// What of the trouble belongs to no socket that is explained.
pub fn rest(observed: &Observed, explained: &BTreeSet<usize>) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let left = conversation.sockets.iter().copied();
        let left: Vec<_> = left
            .filter(|socket| !explained.contains(socket) && calls(&observed.sockets[*socket]) > 0)
            .collect();
        let all = || left.iter().map(|socket| &observed.sockets[*socket]);
        if all().map(calls).sum::<u64>() < LEAST {
            continue;
        }
        let timeouts = Sum::of(all().filter_map(|socket| socket.retransmits.get(&Cause::Rto)));
        let syn = Sum::of(all().filter_map(|socket| socket.retransmits.get(&Cause::Syn)));
        let mut matched = Match::of(observed, index, left.clone(), Confidence::Low)
            .shown_by("time-outs (rto)", &timeouts)
            .shown_by("connection requests sent again (syn)", &syn);
        let errnos: BTreeSet<u32> = all()
            .flat_map(|socket| socket.errors.keys().copied())
            .filter(|errno| *errno != linux::EAGAIN.unsigned_abs())
            .collect();
        for errno in errnos {
            let sum = Sum::of(all().filter_map(|socket| socket.errors.get(&errno)));
            matched =
                matched.shown_by(format!("sends failed with {}", errno::display(errno)), &sum);
        }
        matches.push(matched);
    }
    matches
}

/// Time-outs and errors: drops and fast retransmits alone are no failure of a conversation.
fn calls(socket: &Socket) -> u64 {
    socket.failures() + socket.timeouts()
}
