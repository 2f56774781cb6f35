//! The peer reads, but slowly.

use super::common::{ends, seconds, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Socket};
use tracer_model::event::{EventKind, WaitReason};

/// Part of the time with data to send in which the peer's window was what limited it.
const PART: f64 = 0.5;

pub static RULE: Rule = Rule {
    cause: "slow_reader",
    symptom: Symptom::Stall,
    layer: Some(Layer::Peer),
    title: "the peer reads more slowly than this host sends",
    reason: "Data waited because the window of the peer took no more, for at least half of the time in which there was data \
             to send; in between it opened and data passed. The network works in both directions.",
    rests_on: "rwnd_limited of tcp_info against busy_time (tcp_chrono_start(), TCP_CHRONO_RWND_LIMITED), of sockets that \
               waited and of all that a process sends to a host; and less than a window passed in each round trip.",
    needs: &[EventKind::Waiting],
    needs_samples: false,
    refuted_by: "Time-outs or losses in the same time: then the path is slow, not the reader. A whole window that passes in each \
                 round trip: then the path is long, or the receiver has little memory for it.",
    next_step: "On the peer: what keeps the process from reading faster (its CPU, its disk, a lock)? ss -tm there shows how \
                full its receive queue is.",
    do_not: "Do not raise send buffers here: the data waits for the same reader.",
    supersedes: &["send_buffer_small", "blocked_writer"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let found = sockets(observed, conversation, |socket| limited(socket).is_some());
        if found.is_empty() {
            continue;
        }
        let all = || {
            found
                .iter()
                .filter_map(|socket| limited(&observed.sockets[*socket]))
        };
        let (us, busy) = all().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let is_wait = |sign: &Sign| *sign == Sign::Waited(WaitReason::PeerWindow);
        let waits = ends(observed, &found, is_wait);
        let held = |sign: &Sign| *sign == Sign::Held(WaitReason::PeerWindow);
        let held = ends(observed, &found, held);
        let mut matched = Match::of(observed, index, found, Confidence::High)
            .shown_by("waits for the window of the peer", &waits)
            .with(format!(
                "limited by it for {} of {} with data to send",
                seconds(us),
                seconds(busy)
            ))
            .timed();
        if waits.is_empty() {
            (matched.first_ns, matched.last_ns) = (held.first_ns, held.last_ns);
        }
        matches.push(matched);
    }
    matches
}

/// Time limited by the window and time busy, microseconds.
fn limited(socket: &Socket) -> Option<(u64, u64)> {
    let mut waits = socket
        .waits
        .iter()
        .filter(|wait| wait.latest.why == WaitReason::PeerWindow);
    let waited = waits.next_back().and_then(|wait| {
        let latest = &wait.latest;
        Some((latest.rwnd_limited_us?, latest.busy_us?))
    });
    let held = || {
        let held = socket.held_by_window?;
        Some((held.us, held.busy_us))
    };
    let (us, busy) = waited.or_else(held)?;
    (us as f64 >= busy as f64 * PART && socket.timeouts() == 0).then_some((us, busy))
}
