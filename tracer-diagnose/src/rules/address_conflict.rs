//! Two hosts answer for the same address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::common::of_host;
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;
use tracer_model::samples::ChangeKind;

pub static RULE: Rule = Rule {
    cause: "address_conflict",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "the link-layer address of the next hop changes back and forth: two hosts have the same address",
    reason: "The neighbour entry of the destination or its gateway moved between link-layer addresses while \
             connections through it had trouble: packets go to one host and then to the other.",
    rests_on: "neigh_update() with another lladdr; RFC 5227 (address conflict detection).",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "One single change: a failover does that, and is over.",
    next_step: "arping -D -I INTERFACE ADDRESS, from another host: who answers, and with which two link-layer \
             addresses? Find both in the switch.",
    do_not: "Do not pin the neighbour entry: half of the hosts would still see the other one.",
    supersedes: &[
        "path_loss",
        "destination_loss",
        "path_blackhole",
        "idle_timeout",
        "syn_blackhole",
        "syn_dropped_at_peer",
        "idle_reset",
        "peer_crashed",
        "peer_restarted",
        "reset_by_peer_at_request",
        "connection_refused",
        "peer_host_gone",
    ],
    judge,
};

const LEAST: usize = 3;

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (host, facts) in observed.hosts.iter().enumerate() {
        let mut moves: BTreeMap<IpAddr, Vec<i64>> = BTreeMap::new();
        for one in &facts.changes {
            if let ChangeKind::Neighbour(change) = &one.change.what
                && change.link_address_was.is_some()
                && let Ok(address) = change.address.parse()
            {
                moves.entry(address).or_default().push(one.wall_ns);
            }
        }
        for (address, times) in moves.into_iter().filter(|(_, times)| times.len() >= LEAST) {
            let (conversations, sockets) = of_host(observed, host, |socket| {
                let gateway = || {
                    facts
                        .route_to(socket.remote_address()?)?
                        .gateway
                        .as_ref()?
                        .parse()
                        .ok()
                };
                let next_hop =
                    socket.remote_address() == Some(address) || gateway() == Some(address);
                socket.trouble() > 0 && facts.describes(socket) && next_hop
            });
            if !sockets.is_empty() {
                let words = format!(
                    "the link-layer address of {address} changed {} times",
                    times.len()
                );
                matches.push(
                    Match::of_many(observed, conversations, sockets, Confidence::High).with(words),
                );
            }
        }
    }
    matches
}
