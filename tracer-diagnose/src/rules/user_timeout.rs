//! The application lost patience with a peer that does not read.

use super::common::{ended_with, failing};
use super::keepalive_expired::window_was_closed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "user_timeout",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Peer),
    title: "a connection ended with ETIMEDOUT while the peer answered and did not read",
    reason: "The window of the peer was closed, nothing had to be sent again, and the connection ended with \
             ETIMEDOUT all the same: TCP_USER_TIMEOUT of the application (or the end of the probes) ended it. \
             The path works; the process at the other end does not read.",
    rests_on: "tcp_probe_timer() ends with ETIMEDOUT after icsk_user_timeout, or after tcp_retries2 probes without \
             an answer (RFC 5482).",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "Time-outs of data: then nothing came back at all.",
    next_step: "On the peer: what keeps the process from reading (ss -tm there)? And TCP_USER_TIMEOUT of the \
             application here: is it meant for a reader that pauses?",
    do_not: "Do not raise the time-out before you know why the peer does not read.",
    supersedes: &["peer_window_closed"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let impatient = |_: &HostFacts, socket: &Socket| {
        socket.open
            && ended_with(socket, &[linux::ETIMEDOUT])
            && socket.timeouts() == 0
            && window_was_closed(socket)
    };
    failing(observed, impatient, &[linux::ETIMEDOUT], Confidence::Medium)
}
