//! The address that connections are bound to was taken away.

use super::common::{errors, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{Cause, EventKind};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "local_address_removed",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Kernel),
    title: "the address of these connections was removed from this host",
    reason: "Connections keep the address that they began with. It was taken from its interface, so their \
             packets no longer leave, or the answers no longer belong to this host.",
    rests_on: "rtnetlink tells RTM_DELADDR; __ip_queue_xmit() finds no route for a source that is not local, and \
             ip_rcv() does not take what comes for it.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "The address was there again before the trouble began.",
    next_step: "The change of address in this report: who removed it (DHCP, a failover of a virtual address, the \
             network manager, an administrator)? The application must connect again from the new one.",
    do_not: "Do not tune retries: no packet of these connections can ever be answered.",
    supersedes: &[
        "syn_blackhole",
        "syn_dropped_at_peer",
        "path_blackhole",
        "path_loss",
        "destination_loss",
        "idle_timeout",
        "keepalive_expired",
        "user_timeout",
        "no_route",
        "pmtu_blackhole",
        "icmp_reject",
        "peer_host_gone",
        "neighbour_failed",
        "rp_filter",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let host = &observed.hosts[conversation.host];
        let removed =
            |socket: &Socket| socket.trouble() > 0 && host.address_removed(socket).is_some();
        let found = sockets(observed, conversation, removed);
        let Some(words) = found
            .first()
            .and_then(|socket| host.address_removed(&observed.sockets[*socket]))
        else {
            continue;
        };
        let timeouts = resent(observed, &found, &[Cause::Rto, Cause::Syn, Cause::Tlp]);
        matches.push(
            Match::of(observed, index, found.clone(), Confidence::High)
                .with(words)
                .shown_by("time-outs of connections with this address", &timeouts)
                .shown_by(
                    "sends failed as unreachable",
                    &errors(observed, &found, &[linux::ENETUNREACH, linux::EHOSTUNREACH]),
                ),
        );
    }
    matches
}
