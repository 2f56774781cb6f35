//! A thread sleeps in send, and neither loss nor the peer's window says why.

use super::common::{ends, seconds, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Socket};
use tracer_model::event::{EventKind, WaitReason};

pub static RULE: Rule = Rule {
    cause: "blocked_writer",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "a thread is blocked in send: its socket has no room for what it writes",
    reason: "The send buffer was full, and the writer slept until there was room. Nothing was lost and the window of the \
             peer was open: it writes more than its connection carries, and does nothing else meanwhile.",
    rests_on: "sk_stream_wait_memory() waits while sk_wmem_queued is above sk_sndbuf (sk_write_pending counts who sleeps \
               there); the time that sock_sendmsg() took.",
    needs: &[EventKind::Waiting],
    needs_samples: false,
    refuted_by: "A closed window, time-outs or drops of the same socket: then that is what it waits for.",
    next_step: "What does this thread have to do besides writing (its stack: cat /proc/PID/task/TID/stack)? Let it send \
                without blocking, or from a thread of its own; and compare the rate with what the path or its shaper carries.",
    do_not: "Do not raise the send buffer first: it fills as well, and what waits in it is older.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let found = sockets(observed, conversation, is_blocked);
        if found.is_empty() {
            continue;
        }
        let waits = ends(observed, &found, |sign| {
            *sign == Sign::Waited(WaitReason::WriterBlocked)
        });
        let blocked = ends(observed, &found, |sign| *sign == Sign::Blocked);
        let longest = found
            .iter()
            .filter_map(|socket| observed.sockets[*socket].blocked_sends_us_max)
            .max();
        let mut matched = Match::of(observed, index, found, Confidence::Medium)
            .shown_by("waits for room in the send buffer", &waits)
            .shown_by("sends that were blocked for long", &blocked)
            .claiming(|sign| {
                matches!(
                    sign,
                    Sign::Blocked | Sign::Waited(WaitReason::WriterBlocked)
                )
            });
        if let Some(us) = longest {
            matched = matched.with(format!("the longest send took {}", seconds(us)));
        }
        matches.push(matched.timed());
    }
    matches
}

/// Its writer sleeps, and nothing else of the socket tells why.
fn is_blocked(socket: &Socket) -> bool {
    let signs = socket.signs();
    let is = |wanted: &Sign| signs.iter().any(|(sign, _)| sign == wanted);
    let waits = is(&Sign::Waited(WaitReason::WriterBlocked)) || is(&Sign::Blocked);
    waits
        && socket.timeouts() == 0
        && !is(&Sign::Waited(WaitReason::PeerWindow))
        && !is(&Sign::Held(WaitReason::PeerWindow))
        && socket.dropped(|_| true).is_empty()
}
