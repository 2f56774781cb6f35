//! The other process of a local stream is gone, and the application writes on.

use super::common::{failing, has_failed};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "local_peer_closed",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::App),
    title: "the process at the other end of this local stream has closed it or ended",
    reason: "Sends on a connected unix socket failed with EPIPE or ECONNRESET: no process reads the other end any more. No \
             network is involved.",
    rests_on: "unix_stream_sendmsg() gives EPIPE when the peer is dead or has shut down reading, unix_release_sock() \
               leaves ECONNRESET where data was unread.",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "A shutdown() of the sender itself, which gives EPIPE too.",
    next_step: "ss -xap for the path: which service should be there, and when did it end or restart (journalctl)? The \
                sender has to connect again.",
    do_not: "Do not look at ports, routes or the firewall, and do not ignore EPIPE: this socket cannot send any more.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [linux::EPIPE, linux::ECONNRESET];
    let closed = |_: &HostFacts, socket: &Socket| {
        matches!(socket.proto.as_str(), "unix_stream" | "unix_seqpacket")
            && has_failed(socket, &errnos)
    };
    let matches = failing(observed, closed, &errnos, Confidence::Medium).into_iter();
    matches
        .map(|matched| {
            matched
                .but(true, "a shutdown of the sender itself looks the same")
                .claiming(|sign| {
                    [linux::EPIPE, linux::ECONNRESET]
                        .iter()
                        .any(|errno| *sign == Sign::SendFailed(errno.unsigned_abs()))
                })
        })
        .collect()
}
