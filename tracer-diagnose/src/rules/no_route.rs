//! This host has no route to the destination.

use super::common::{dropped, ends, errors, sockets};
use super::source_address::is_routed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Socket};
use tracer_model::event::{EventKind, TcpState};
use tracer_model::linux;
use tracer_model::samples::{Action, ChangeKind};

pub static RULE: Rule = Rule {
    cause: "no_route",
    symptom: Symptom::Refused,
    layer: Some(Layer::Kernel),
    title: "this host has no route to the destination",
    reason: "The kernel looked the destination up in its routing table and found nothing, or a route that forbids it: \
             nothing left this host.",
    rests_on: "ip_route_output_flow() and ip6_dst_lookup_flow() return ENETUNREACH (EHOSTUNREACH, EACCES for routes of \
               these types); __ip_queue_xmit() frees with IP_OUTNOROUTES.",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "ICMP network unreachable from a router: the same errno on a connection, without packets that this host \
                 dropped.",
    next_step: "ip route get ADDRESS now, and the changes of routes in this report's timeline: who removed it (DHCP, a \
                routing daemon, an interface that went down)?",
    do_not: "Do not add a default route by hand while a daemon manages them: it hides what removed the other one.",
    supersedes: &[
        "path_blackhole",
        "syn_blackhole",
        "path_loss",
        "destination_loss",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let facts = &observed.hosts[conversation.host];
        let lost = sockets(observed, conversation, |socket| {
            without_route(socket) && !is_routed(facts, socket)
        });
        if lost.is_empty() {
            continue;
        }
        let host = &observed.hosts[conversation.host];
        let removed = host
            .changes
            .iter()
            .filter_map(|one| match &one.change.what {
                ChangeKind::Route(change) if change.action == Action::Del => {
                    Some(change.route.destination.clone())
                }
                _ => None,
            })
            .collect::<Vec<_>>();
        let described = lost
            .iter()
            .all(|socket| host.describes(&observed.sockets[*socket]));
        let confidence = match described {
            true => Confidence::High,
            false => Confidence::Medium,
        };
        let mut matched = Match::of(observed, index, lost.clone(), confidence)
            .but(
                !described,
                "routes of this network namespace were not recorded: one that refuses would look the same",
            )
            .shown_by(
                "sends failed with ENETUNREACH",
                &errors(observed, &lost, &[linux::ENETUNREACH]),
            )
            .shown_by(
                "connects failed with ENETUNREACH",
                &ends(observed, &lost, |sign| {
                    *sign == Sign::Ended(linux::ENETUNREACH.unsigned_abs())
                }),
            )
            .shown_by(
                "packets dropped for want of a route",
                &dropped(observed, &lost, is_route),
            );
        if let Some(count @ 1..) = host.grew("Ip.OutNoRoutes") {
            matched = matched.with(format!("Ip.OutNoRoutes grew by {count}"));
        }
        if !removed.is_empty() {
            matched = matched.with(format!("routes removed meanwhile: {}", removed.join(", ")));
        }
        matches.push(matched.timed());
    }
    matches
}

/// The send was refused at once, or its packet found no way. A soft error of an open connection is a router's word.
fn without_route(socket: &Socket) -> bool {
    let refused = has_failed_unsent(socket, &[linux::ENETUNREACH]);
    refused || !socket.dropped(is_route).is_empty()
}

/// Did a connect or send fail with one of these errnos before anything left? An open connection or a SYN that was on its
/// way heard it from a router.
pub fn has_failed_unsent(socket: &Socket, errnos: &[i32]) -> bool {
    let code = |errno: &i32| errno.unsigned_abs();
    let at_connect = socket.transitions.iter().any(|(_, change)| {
        change.from != Some(TcpState::SynSent)
            && change
                .errno
                .is_some_and(|errno| errnos.iter().map(code).any(|one| one == errno))
    });
    !socket.open && (at_connect || errnos.iter().any(|errno| socket.failed(*errno) > 0))
}

/// Where IPv6 and older kernels give no reason, the function says it.
pub fn is_route(reason: &str) -> bool {
    matches!(
        reason,
        "IP_OUTNOROUTES"
            | "IPV6OUTNOROUTES"
            | "__ip_queue_xmit()"
            | "ip_queue_xmit()"
            | "inet6_csk_xmit()"
    )
}
