//! The next hop does not answer ARP or neighbour discovery.

use super::common::{dropped, ended, errors, many, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;
use tracer_model::samples::ChangeKind;

pub static RULE: Rule = Rule {
    cause: "neighbour_failed",
    symptom: Symptom::Refused,
    layer: Some(Layer::Network),
    title: "the next hop does not answer ARP or neighbour discovery",
    reason: "Packets waited for the link-layer address of their next hop and were thrown away when nobody answered: on \
             this host's own link the destination, or the gateway towards it, is not there.",
    rests_on: "neigh_invalidate() frees what waited (NEIGH_FAILED), ipv4_link_failure() and ip6_link_failure() turn it \
               into EHOSTUNREACH; RFC 826, RFC 4861 7.3.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "A neighbour entry that is reachable at the same time; a link that is down (then nobody can answer).",
    next_step: "ip neigh show to ADDRESS, and arping from this host: is the address right, in the right VLAN, and up? Is \
                it the gateway, everything behind it is gone as well.",
    do_not: "Do not add static neighbour entries before you know why it does not answer: packets would then vanish in \
             silence.",
    supersedes: &[
        "syn_blackhole",
        "path_blackhole",
        "no_route",
        "path_loss",
        "destination_loss",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let failed = sockets(observed, conversation, waited);
        if failed.is_empty() {
            continue;
        }
        let drops = dropped(observed, &failed, is_neighbour);
        let unreachable = [linux::EHOSTUNREACH];
        let changes = observed.hosts[conversation.host].changes.iter();
        let failures = changes.filter_map(|one| match &one.change.what {
            ChangeKind::Neighbour(change) if change.state == "FAILED" => {
                Some(change.address.clone())
            }
            _ => None,
        });
        let mut addresses: Vec<_> = failures.collect();
        addresses.sort();
        addresses.dedup();
        let mut matched = Match::of(observed, index, failed.clone(), Confidence::High)
            .shown_by("packets thrown away that waited for the neighbour", &drops)
            .shown_by(
                "sends failed with EHOSTUNREACH",
                &errors(observed, &failed, &unreachable),
            );
        let ended = ended(observed, &failed, &unreachable);
        if ended > 0 {
            matched = matched.with(format!(
                "{} ended with EHOSTUNREACH",
                many(ended, "connection")
            ));
        }
        if !addresses.is_empty() {
            addresses.truncate(4);
            matched = matched.with(format!("neighbours that failed: {}", addresses.join(", ")));
        }
        matches.push(matched.timed());
    }
    matches
}

fn waited(socket: &Socket) -> bool {
    !socket.dropped(is_neighbour).is_empty()
}

/// Where IPv6 and older kernels give no reason, the function says it.
pub fn is_neighbour(reason: &str) -> bool {
    matches!(
        reason,
        "NEIGH_FAILED"
            | "NEIGH_QUEUEFULL"
            | "NEIGH_CREATEFAIL"
            | "NEIGH_DEAD"
            | "neigh_invalidate()"
    )
}
