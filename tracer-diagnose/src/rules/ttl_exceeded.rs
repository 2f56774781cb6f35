//! Packets die of age on the way.

use super::common::{failing, has_failed};
use super::neighbour_failed::is_neighbour;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::{Cause, EventKind};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "ttl_exceeded",
    symptom: Symptom::Refused,
    layer: Some(Layer::Network),
    title: "packets run out of hops on the way: a routing loop, or a TTL that is too small",
    reason: "A router answered that the time to live of packets was used up, and sends or connections failed \
             with EHOSTUNREACH: they go in circles, or were given too few hops.",
    rests_on: "icmp_err_convert makes EHOSTUNREACH of time exceeded; Icmp.InTimeExcds counts the messages (RFC \
             792, RFC 4443 3.3).",
    needs: &[EventKind::Connection, EventKind::SendError],
    needs_samples: true,
    refuted_by: "InTimeExcds that does not grow, or a traceroute that is running on this host.",
    next_step: "traceroute to the destination: do the same two routers repeat? Else look for IP_TTL of the \
             application and net.ipv4.ip_default_ttl.",
    do_not: "Do not raise the TTL before the loop is excluded: each packet would only circle longer.",
    supersedes: &[
        "icmp_reject",
        "peer_host_gone",
        "path_blackhole",
        "syn_blackhole",
        "idle_timeout",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [linux::EHOSTUNREACH];
    let exceeded = |host: &HostFacts, socket: &Socket| {
        let within = |name| {
            host.grew_within(name, socket.first_ns, socket.last_ns)
                .unwrap_or(0)
        };
        host.describes(socket)
            && within("Icmp.InTimeExcds") + within("Icmp6InTimeExcds") > 0
            && (has_failed(socket, &errnos) || socket.resent(Cause::Syn) > 0 && !socket.open)
            && socket.dropped(is_neighbour).is_empty()
    };
    let mut matches = failing(observed, exceeded, &errnos, Confidence::Medium);
    for matched in &mut matches {
        let host = &observed.hosts[matched.host];
        let count = host
            .grew("Icmp.InTimeExcds")
            .max(host.grew("Icmp6InTimeExcds"));
        let words = format!(
            "{} ICMP messages said time exceeded (InTimeExcds)",
            count.unwrap_or(0)
        );
        matched.evidence.push(crate::Evidence::fact(words));
    }
    matches
}
