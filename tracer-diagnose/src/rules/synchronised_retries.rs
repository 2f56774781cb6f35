//! Many clients try again at the same moments.

use std::collections::BTreeSet;

use super::attempts::failed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Peer};
use tracer_model::event::EventKind;

/// Clients that begin within this time begin together, nanoseconds.
const TOGETHER_NS: i64 = 200_000_000;
const CLIENTS: usize = 5;
const ROUNDS: usize = 3;

pub static RULE: Rule = Rule {
    cause: "synchronised_retries",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "many clients try again at the same moments",
    reason: "Connection attempts of many processes to one destination come in bursts, all within a fifth of a second, with \
             nothing in between: their delays are the same and have no jitter. Each burst meets a destination that \
             must serve all at once, and fails again.",
    rests_on: "Times of the attempts that came to nothing; the fix (jitter) is old: RFC 8085 3.1.3, RFC 6298 section 5 for \
               why timers must not run in step.",
    needs: &[EventKind::Connection, EventKind::Retransmit],
    needs_samples: false,
    refuted_by: "Attempts that are spread over the time between the bursts.",
    next_step: "Give the retry delay of these clients jitter (a random part as large as the delay itself). Then look at \
                what made the first attempt fail.",
    do_not: "Do not shorten the delay, and do not raise the number of retries: the bursts grow.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    let peers: BTreeSet<(usize, &Peer)> = observed
        .conversations
        .iter()
        .map(|conversation| (conversation.host, &conversation.peer))
        .collect();
    for (host, peer) in peers {
        let conversations: Vec<usize> = (0..observed.conversations.len())
            .filter(|index| {
                let conversation = &observed.conversations[*index];
                conversation.host == host && conversation.peer == *peer
            })
            .collect();
        // When, of which process, and which socket.
        let mut attempts: Vec<(i64, usize, usize)> = conversations
            .iter()
            .flat_map(|index| {
                let all = failed(observed, &observed.conversations[*index]);
                all.into_iter().map(|(at, socket)| (at, *index, socket))
            })
            .collect();
        attempts.sort_unstable();
        let bursts = bursts(&attempts);
        let large: Vec<_> = bursts
            .iter()
            .filter(|burst| burst.iter().map(|one| one.1).collect::<BTreeSet<_>>().len() >= CLIENTS)
            .collect();
        let inside: usize = large.iter().map(|burst| burst.len()).sum();
        if large.len() < ROUNDS || inside * 10 < attempts.len() * 9 {
            continue;
        }
        let clients: BTreeSet<usize> = large
            .iter()
            .flat_map(|burst| burst.iter().map(|one| one.1))
            .collect();
        let sockets = large
            .iter()
            .flat_map(|burst| burst.iter().map(|one| one.2))
            .collect();
        let mut matched = Match::of_many(
            observed,
            clients.iter().copied().collect(),
            sockets,
            if large.len() > ROUNDS {
                Confidence::High
            } else {
                Confidence::Medium
            },
        )
        .with(format!(
            "{} clients began {inside} attempts in {} bursts, each within {} ms",
            clients.len(),
            large.len(),
            TOGETHER_NS / 1_000_000
        ));
        matched.first_ns = attempts.first().map_or(0, |one| one.0);
        matched.last_ns = attempts.last().map_or(0, |one| one.0);
        matches.push(matched);
    }
    matches
}

/// Attempts that begin together, separated by times without any.
fn bursts(attempts: &[(i64, usize, usize)]) -> Vec<&[(i64, usize, usize)]> {
    let mut all = Vec::new();
    let mut from = 0;
    for to in 1..=attempts.len() {
        let ends = to == attempts.len() || attempts[to].0 - attempts[from].0 > TOGETHER_NS;
        if ends {
            all.push(&attempts[from..to]);
            from = to;
        }
    }
    all
}
