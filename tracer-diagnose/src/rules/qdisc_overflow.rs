//! The queue of this host's own interface is full.

use super::common::{dropped, errors, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::is_queue;
use crate::{Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

/// A few at the start of a transfer are how TCP finds the size of the queue.
const LEAST: u64 = 5;

pub static RULE: Rule = Rule {
    cause: "qdisc_overflow",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "the queue in front of this host's own interface is full and drops",
    reason: "Packets were dropped by the queueing discipline before they reached the device: this host sends faster than \
             its own interface, or the limit set on it, takes. The network has not even seen them.",
    rests_on: "__dev_queue_xmit() frees what enqueue() refused with QDISC_DROP; drops of `tc -s qdisc`.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "A link that is down (then its queue drops as well), or drops on the way in.",
    next_step: "tc -s qdisc show dev INTERFACE: which discipline, which limit, how much backlog? Shape the sender, raise \
                the limit of a policer that is too small, or use fq_codel.",
    do_not: "Do not raise txqueuelen or socket buffers first: a longer queue makes everybody wait (bufferbloat).",
    supersedes: &[
        "path_loss",
        "destination_loss",
        "bufferbloat",
        "spurious_retransmits",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        // UDP senders get an error for it: that is another finding.
        let full = sockets(observed, conversation, |socket| {
            overflowed(socket) && socket.failed(linux::ENOBUFS) == 0
        });
        let drops = dropped(observed, &full, is_queue);
        if drops.count < LEAST {
            continue;
        }
        let host = &observed.hosts[conversation.host];
        let mut interfaces: Vec<&str> = full
            .iter()
            .flat_map(|socket| &observed.sockets[*socket].interfaces)
            .map(String::as_str)
            .collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        // A queue with classes counts what its classes drop as well.
        let counted: u64 = host
            .samples
            .iter()
            .flat_map(|one| interfaces.iter().map(move |name| (one, *name)))
            .filter_map(|(one, name)| {
                let queues = one.sample.qdiscs.iter().flatten();
                let of = queues.filter(|queue| queue.interface.as_deref() == Some(name));
                of.map(|queue| queue.drops).max()
            })
            .sum();
        let delivered = full
            .iter()
            .map(|socket| observed.sockets[*socket].delivered_segments())
            .sum::<Option<u64>>();
        // TCP fills any queue until it drops: a few are how it finds its rate.
        let part = delivered.map(|delivered| drops.count as f64 / (delivered + drops.count) as f64);
        let confidence = match part {
            Some(part) if part < 0.003 => continue,
            Some(part) if part < 0.01 => Confidence::Medium,
            _ => Confidence::High,
        };
        let mut matched = Match::of(observed, index, full.clone(), confidence)
            .shown_by(
                format!("packets dropped by the queue of {}", interfaces.join(", ")),
                &drops,
            )
            .shown_by(
                "sends failed with ENOBUFS",
                &errors(observed, &full, &[linux::ENOBUFS]),
            );
        if counted > 0 {
            matched = matched.with(format!("the queue itself counted {counted} drops"));
        }
        matches.push(matched.timed());
    }
    matches
}

/// Dropped by a queue on the way out.
pub fn overflowed(socket: &Socket) -> bool {
    !socket.dropped(is_queue).is_empty()
}
