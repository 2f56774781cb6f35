//! An application stops sending, and nothing but itself keeps it.

use super::common::{seconds, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Pause, Role, Socket};
use tracer_model::event::{Detail, EventKind};

/// Shorter pauses are nothing, nanoseconds.
const LEAST_NS: i64 = 2_000_000_000;
/// Sends on both sides of the pause.
const STEADY: u64 = 15;
/// How much longer than the usual time between sends the pause is.
const TIMES: i64 = 20;

pub static RULE: Rule = Rule {
    cause: "slow_application",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "one thread of the application stopped sending for a while, and nothing kept it from doing so",
    reason: "A connection that sends steadily was silent for seconds, while others of the same process to the same \
             destination went on; nothing was lost, blocked or refused on it. Seen from the other end it looks like a \
             stalled network, but no byte waited anywhere: the thread did not call send.",
    rests_on: "The send events: every return of sock_sendmsg(); no retransmit, error or full buffer in between.",
    needs: &[EventKind::Send, EventKind::Retransmit, EventKind::SendError],
    needs_samples: false,
    refuted_by: "Retransmits, a closed window or EAGAIN on the connection in that time; a protocol in which pauses are \
                 usual.",
    next_step: "What did this thread do then: a lock, garbage collection, disk, DNS, another service? Its stack (perf, \
                gdb -p) or the application's own log at this minute tells.",
    do_not: "Do not tune the network or raise time-outs: it waited for the application.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    if !observed.coverage.has(EventKind::Send) {
        return matches;
    }
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.role == Role::Server {
            continue;
        }
        let paused = sockets(observed, conversation, |socket| paused(socket).is_some());
        for one in paused {
            let socket = &observed.sockets[one];
            let Some(pause) = self::paused(socket) else {
                continue;
            };
            let others = sockets(observed, conversation, |other| {
                other.local != socket.local && went_on(other, pause)
            });
            if others.len() < 2 {
                continue;
            }
            let tid = socket.owner.tid;
            let us = u64::try_from(pause.ns() / 1000).unwrap_or(0);
            let mut matched = Match::of(observed, index, vec![one], Confidence::Medium)
                .with(format!(
                    "no send for {}, after {} sends in steady steps",
                    seconds(us),
                    pause.before
                ))
                .with(format!(
                    "{} other connections of it to the same destination went on",
                    others.len()
                ))
                .but(true, "a pause that the application wants looks the same");
            if let Some(tid) = tid {
                matched = matched.with(format!("it sends from the thread {tid}"));
            }
            (matched.first_ns, matched.last_ns) = (pause.from_ns, pause.to_ns);
            matches.push(matched);
        }
    }
    matches
}

/// The one long pause of a socket that otherwise sends steadily, without trouble in it.
fn paused(socket: &Socket) -> Option<Pause> {
    let pause = socket.pause?;
    let sends = socket.sends.count;
    let after = sends.saturating_sub(pause.before);
    if pause.ns() < LEAST_NS || pause.before < STEADY || after < STEADY {
        return None;
    }
    let busy = socket.sends.last_ns - socket.sends.first_ns - pause.ns();
    let usual = busy / i64::try_from(sends).ok()?.max(1);
    let second = socket.pause_before.map_or(0, Pause::ns);
    let trouble = socket.events.iter().any(|(at, event)| {
        !matches!(event.detail, Detail::Send(_)) && (pause.from_ns..=pause.to_ns).contains(at)
    });
    (pause.ns() >= usual.saturating_mul(TIMES) && second * 4 < pause.ns() && !trouble)
        .then_some(pause)
}

/// Did it send before, during and after?
fn went_on(socket: &Socket, pause: Pause) -> bool {
    socket.sends.count >= STEADY
        && socket.sends.first_ns < pause.from_ns
        && socket.sends.last_ns > pause.to_ns
        && socket.pause.is_none_or(|own| own.ns() * 2 < pause.ns())
}
