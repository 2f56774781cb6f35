//! Datagrams that the host's own queue drops, with an error to their senders.

use super::common::{dropped, errors, sockets};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::is_queue;
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "udp_device_queue_full",
    symptom: Symptom::Exhaustion,
    layer: Some(Layer::Kernel),
    title: "datagrams fail with ENOBUFS: the queue of this host's own interface is full",
    reason: "The send returned ENOBUFS and the packet was dropped by the queueing discipline at the same moment: it is \
             the interface's queue that has no room, not the socket's buffer (that would be EAGAIN, or waiting).",
    rests_on: "net_xmit_errno() turns NET_XMIT_DROP into ENOBUFS; udp_send_skb() reports it only to sockets with \
               IP_RECVERR, and counts Udp.SndbufErrors either way.",
    needs: &[EventKind::SendError, EventKind::Drop],
    needs_samples: false,
    refuted_by: "ENOBUFS without a drop by the queue: memory of the host or of the protocol is short.",
    next_step: "tc -s qdisc show dev INTERFACE: which limit is reached? Pace the sender (SO_MAX_PACING_RATE with fq), or \
                raise the limit of the class that it is in.",
    do_not: "Do not raise SO_SNDBUF or wmem_max: the datagrams had left the socket's buffer already.",
    supersedes: &["qdisc_overflow"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let full = sockets(observed, conversation, |socket| {
            socket.failed(linux::ENOBUFS) > 0
        });
        if full.is_empty() {
            continue;
        }
        let drops = dropped(observed, &full, is_queue);
        let sum = errors(observed, &full, &[linux::ENOBUFS]);
        // As many drops as errors: the same packets.
        let confidence = match drops.count {
            0 => continue,
            count if count * 2 >= sum.count => Confidence::High,
            _ => Confidence::Medium,
        };
        matches.push(
            Match::of(observed, index, full.clone(), confidence)
                .shown_by("sends failed with ENOBUFS", &sum)
                .shown_by("packets dropped by the queue of the interface", &drops)
                .timed(),
        );
    }
    matches
}
