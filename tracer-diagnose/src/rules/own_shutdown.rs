//! The application sends on what it has shut down itself.

use super::common::failing;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::{Detail, EventKind, TcpState};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "own_shutdown",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::App),
    title: "the application sends on a connection that it has shut down itself",
    reason: "The sends failed with EPIPE in a state that only this end can have brought about: its own FIN was \
             sent, and no RST came.",
    rests_on: "tcp_sendmsg_locked() gives EPIPE after shutdown(SHUT_WR) or a half close (RCV_SHUTDOWN is the peer, \
             SEND_SHUTDOWN this end).",
    needs: &[EventKind::SendError, EventKind::Reset],
    needs_samples: false,
    refuted_by: "A RST that came in before the first EPIPE.",
    next_step: "Find who calls shutdown() or close() on this descriptor while another thread still writes (strace \
             -f -e trace=shutdown,close,sendto -p PID).",
    do_not: "Do not ignore EPIPE and retry on the same socket: it cannot send any more. Do not look at the \
             network.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let shut = |_: &HostFacts, socket: &Socket| {
        socket.proto == "tcp"
            && socket.resets_received.is_empty()
            && socket.failed(linux::EPIPE) > 0
            && socket.events.iter().any(|(_, event)| {
                let state = event.tcp.as_ref().and_then(|tcp| tcp.state);
                let is_pipe = matches!(&event.detail, Detail::SendError(e) if e.errno == linux::EPIPE.unsigned_abs());
                is_pipe && matches!(state, Some(TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing))
            })
    };
    failing(observed, shut, &[linux::EPIPE], Confidence::High)
}
