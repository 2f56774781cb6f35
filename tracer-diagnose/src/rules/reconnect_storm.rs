//! An application connects again and again, without waiting.

use super::attempts::failed;
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

/// Attempts in vain, and how many per second.
const LEAST: usize = 20;
const RATE: f64 = 5.0;

pub static RULE: Rule = Rule {
    cause: "reconnect_storm",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "the application connects again and again without waiting in between",
    reason: "One process asked for connections to one destination many times a second although each failed: it does not \
             back off. That the destination refuses is one fault; that it is asked so often is another, and keeps it \
             from coming back.",
    rests_on: "Steps from SYN_SENT to CLOSE of one process and destination, counted and timed; exponential backoff with \
               jitter is what servers need after a failure.",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "Pauses between the attempts that grow.",
    next_step: "Find the retry loop of this process and its delay: let it start at a second and double, with jitter. Then \
                look at why the destination refuses.",
    do_not: "Do not raise the number of retries, and do not raise limits of the destination to withstand the storm.",
    supersedes: &["connection_refused", "ports_exhausted"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let attempts = failed(observed, conversation);
        if attempts.len() < LEAST {
            continue;
        }
        let (first, last) = (attempts[0].0, attempts[attempts.len() - 1].0);
        let seconds = (last - first) as f64 / 1e9;
        let rate = attempts.len() as f64 / seconds.max(0.001);
        if rate < RATE || seconds < 1.0 || backs_off(&attempts) {
            continue;
        }
        let sockets = attempts.iter().map(|(_, socket)| *socket).collect();
        let confidence = if rate >= 2.0 * RATE && seconds >= 3.0 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mut matched = Match::of(observed, index, sockets, confidence).with(format!(
            "{} attempts in vain in {seconds:.1} s: {rate:.0} per second",
            attempts.len()
        ));
        (matched.first_ns, matched.last_ns) = (first, last);
        matches.push(matched);
    }
    matches
}

/// Is the second half of the attempts spread over much more time than the first?
fn backs_off(attempts: &[(i64, usize)]) -> bool {
    let middle = attempts.len() / 2;
    let first = attempts[middle].0 - attempts[0].0;
    let second = attempts[attempts.len() - 1].0 - attempts[middle].0;
    second > first.saturating_mul(2)
}
