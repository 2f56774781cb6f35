//! A connection that the peer has closed is kept open here.

use super::common::{ends, sockets};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use tracer_model::event::{EventKind, WaitReason};

pub static RULE: Rule = Rule {
    cause: "half_closed",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "the peer has closed, and the application here neither reads what is left nor closes",
    reason: "The peer sent FIN (CLOSE_WAIT), and data is left that nobody reads or that was never sent: the application does \
             not look at this connection any more.",
    rests_on: "tcp_fin() moves to CLOSE_WAIT and stays there until close(); the queues of the socket keep their data.",
    needs: &[EventKind::Waiting],
    needs_samples: false,
    refuted_by: "An application that closes a little later.",
    next_step: "ss -tanp state close-wait: how many are there, and do they grow? Find the descriptor that is never closed.",
    do_not: "Do not look at the network: the FIN arrived.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let is_unread = |sign: &Sign| *sign == Sign::Waited(WaitReason::Unread);
        let found = sockets(observed, conversation, |socket| {
            socket.signs().iter().any(|(sign, _)| is_unread(sign))
        });
        if !found.is_empty() {
            let waits = ends(observed, &found, is_unread);
            let confidence = if found.len() >= 2 {
                Confidence::High
            } else {
                Confidence::Medium
            };
            matches.push(
                Match::of(observed, index, found, confidence)
                    .shown_by(
                        "connections with data left after the FIN of the peer",
                        &waits,
                    )
                    .claiming(|sign| *sign == Sign::Waited(WaitReason::Unread))
                    .timed(),
            );
        }
    }
    matches
}
