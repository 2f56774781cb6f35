//! The host at the other end is gone, and the network says so.

use super::common::{ended, ended_with, errors, resent, sockets};
use super::neighbour_failed::is_neighbour;
use super::no_route::is_route;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Conversation, Observed, Socket};
use tracer_model::event::{Cause, EventKind};
use tracer_model::linux;
use tracer_model::samples::ChangeKind;

const UNREACHABLE: &[i32] = &[linux::EHOSTUNREACH, linux::EHOSTDOWN, linux::ENETUNREACH];

pub static RULE: Rule = Rule {
    cause: "peer_host_gone",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Peer),
    title: "the host at the other end is gone: who is next to it says that it is unreachable",
    reason: "A connection at work went silent, and then the host itself could not be found by who is next to it: the last \
             router said unreachable, or, on the same link, its address answers ARP and neighbour discovery no more. So \
             the path leads there, and the host does not answer.",
    rests_on: "ICMP host unreachable is a soft error (tcp_v4_err(), RFC 5461): the kernel goes on until its retries are \
               used up, and then ends the connection with it instead of ETIMEDOUT (tcp_write_err()).",
    needs: &[EventKind::Retransmit, EventKind::Connection],
    needs_samples: false,
    refuted_by: "A neighbour of this host that failed (then it is this host's own link), or other services of the same \
                 address that answer.",
    next_step: "Is the host up (console, management interface, other services)? If it is, is its address still its own \
                (failover, DHCP, duplicate address)?",
    do_not: "Do not tune retries here: the sooner the application learns of it, the better.",
    supersedes: &[
        "neighbour_failed",
        "path_blackhole",
        "idle_timeout",
        "path_loss",
        "destination_loss",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let on_link = own_neighbour_failed(observed, conversation);
        let gone = sockets(observed, conversation, |socket| {
            is_gone(socket) || on_link && is_gone_on_link(socket)
        });
        if gone.is_empty() {
            continue;
        }
        let icmp = observed.hosts[conversation.host].grew("Icmp.InDestUnreachs");
        let mut matched = Match::of(observed, index, gone.clone(), Confidence::High)
            .shown_by(
                "time-outs of an established connection",
                &resent(observed, &gone, &[Cause::Rto]),
            )
            .shown_by(
                "sends failed as unreachable",
                &errors(observed, &gone, UNREACHABLE),
            )
            .with(format!(
                "{} connections ended as unreachable",
                ended(observed, &gone, UNREACHABLE)
            ));
        if let Some(icmp @ 1..) = icmp {
            matched = matched.with(format!(
                "{icmp} ICMP messages said unreachable (Icmp.InDestUnreachs)"
            ));
        }
        matches.push(matched);
    }
    matches
}

fn is_gone(socket: &Socket) -> bool {
    socket.open
        && socket.resent(Cause::Rto) >= 2
        && ended_with(socket, UNREACHABLE)
        && socket.dropped(is_neighbour).is_empty()
        && socket.dropped(is_route).is_empty()
}

/// Open, and its packets waited for its own neighbour entry.
fn is_gone_on_link(socket: &Socket) -> bool {
    socket.open && !socket.dropped(is_neighbour).is_empty()
}

/// Did the destination's own address fail as a neighbour, not that of a gateway?
fn own_neighbour_failed(observed: &Observed, conversation: &Conversation) -> bool {
    let Some(address) = conversation.peer.address() else {
        return false;
    };
    let mut changes = observed.hosts[conversation.host].changes.iter();
    changes.any(|one| match &one.change.what {
        ChangeKind::Neighbour(change) => {
            change.state == "FAILED" && change.address.parse() == Ok(address)
        }
        _ => false,
    })
}
