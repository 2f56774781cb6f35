//! The words of a report: symptoms, layers, confidence; and its causes, straight from the table of rules.

use std::borrow::Cow;

use super::entry::{Entry, Kind};
use crate::rule::{Layer, Rule};
use crate::rules;

const fn symptom(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Symptom, word, means)
}

const fn layer(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Layer, word, means)
}

const fn confidence(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Confidence, word, means)
}

pub static TABLE: &[Entry] = &[
    symptom("stall", "Sent but not drained, or not sent. The session may still go on.")
        .next("Wait or repair the path; the connection is not gone yet.")
        .worse("Retries on new connections: they join the same queue."),
    symptom("disconnect", "The session is gone.")
        .next("Connect again, with a pause; find who ended it.")
        .worse("Reconnecting at once and all together."),
    symptom("refused", "Somebody said no at once: a closed port, a firewall that rejects, a rule of this host.")
        .next("Who answered, and why: the path works.")
        .worse("Retrying without a pause."),
    symptom("exhaustion", "Something has run out on this host: ports, memory, buffers, room in a queue.")
        .next("What holds it, before the limit is raised.")
        .worse("Raising the limit of something that leaks."),
    symptom("drop", "Packets were thrown away, or sends refused, on this host.")
        .next("The reason of the drops: explain it.")
        .worse("Sending more through the same place."),
    symptom("waste", "Work was done twice; nothing failed.")
        .next("Worth it only where the rate is high.")
        .worse("Treating it as loss."),
    layer("app", "The application on this host: its code, its settings, its use of sockets.")
        .to(Layer::App)
        .next("The owner of the finding, and whoever runs it."),
    layer("kernel", "This host's kernel and its configuration: queues, routes, firewall, memory, BPF programs.")
        .to(Layer::Kernel)
        .next("What changed: the changes in the trace, the configuration management of the host."),
    layer("nic", "The network interface, its driver, its cable or virtual counterpart.")
        .to(Layer::Nic)
        .next("ip -s link, ethtool -S, the kernel log."),
    layer("network", "Everything between this host and the other: switches, routers, firewalls, NAT, tunnels.")
        .to(Layer::Network)
        .next("Whether other destinations suffer too tells how far away it is. A capture on both ends proves it."),
    layer("peer", "The other host: its application, its kernel, or whether it lives at all.")
        .to(Layer::Peer)
        .next("Whoever runs it, with the times of the finding."),
    confidence("high", "Enough evidence, and nothing that was seen speaks against it."),
    confidence("medium", "It fits, but the evidence is thin, or something is not explained by it."),
    confidence("low", "It fits and so do other causes. Take the next step to find out, not to repair."),
];

/// The causes, in the order of the table of rules.
pub fn causes() -> impl Iterator<Item = Entry> {
    rules::ALL
        .iter()
        .copied()
        .chain([&rules::UNKNOWN])
        .map(cause)
}

fn cause(rule: &'static Rule) -> Entry {
    Entry {
        word: Cow::Borrowed(rule.cause),
        kind: Kind::Diagnosis,
        number: None,
        means: rule.title,
        why: Some(rule.reason),
        from: Some(rule.rests_on),
        symptom: Some(rule.symptom),
        points_to: rule.layer,
        not_layer: None,
        refuted_by: Some(rule.refuted_by),
        next: Some(rule.next_step),
        worse: Some(rule.do_not),
    }
}
