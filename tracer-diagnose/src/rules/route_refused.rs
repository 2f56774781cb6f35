//! A route of this host forbids the destination.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::common::{dropped, failing, has_failed};
use super::no_route::is_route;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::{Detail, EventKind, TcpState};
use tracer_model::linux;
use tracer_model::samples::Route;

pub static RULE: Rule = Rule {
    cause: "route_refused",
    symptom: Symptom::Refused,
    layer: Some(Layer::Kernel),
    title: "a route of this host refuses the destination: unreachable, prohibit or blackhole",
    reason: "The kernel found a route for the destination, and it is one that refuses: somebody put it there. \
             Nothing left this host.",
    rests_on: "fib_lookup() returns EHOSTUNREACH for unreachable, EACCES for prohibit and EINVAL for blackhole \
             (fib_props).",
    needs: &[EventKind::SendError, EventKind::Connection],
    needs_samples: false,
    refuted_by: "A route of another kind that is more specific (ip route get ADDRESS).",
    next_step: "ip route get ADDRESS and ip route show type unreachable (prohibit, blackhole): who made it \
             (protocol; a routing daemon, a VPN client, a container network)?",
    do_not: "Do not add a more specific route over it before you know why it is there.",
    supersedes: &["no_route", "icmp_reject", "source_address", "syn_blackhole"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [
        linux::EACCES,
        linux::EINVAL,
        linux::EHOSTUNREACH,
        linux::ENETUNREACH,
    ];
    let refused = |host: &HostFacts, socket: &Socket| {
        let failed = has_failed(socket, &errnos)
            || socket
                .signs()
                .iter()
                .any(|(sign, _)| *sign == Sign::NeverOpened)
            || !socket.dropped(is_route).is_empty();
        failed && route(host, socket).is_some()
    };
    let mut matches = failing(observed, refused, &errnos, Confidence::High);
    matches.extend(by_errno(observed));
    for matched in &mut matches {
        let socket = matched
            .sockets
            .first()
            .map(|index| &observed.sockets[*index]);
        if let Some(route) = socket.and_then(|socket| route(&observed.hosts[matched.host], socket))
        {
            matched
                .evidence
                .push(crate::Evidence::fact(format!("the route is: {route}")));
        }
    }
    matches
}

/// Cases in network namespaces whose routes were not recorded. Before anything was sent nobody but a route can have
/// refused it, and each type of route has its errno.
fn by_errno(observed: &Observed) -> Vec<Match> {
    let namespaces: BTreeSet<_> = observed
        .sockets
        .iter()
        .filter(|socket| refused_unsent(&observed.hosts[socket.host], socket))
        .map(|socket| (socket.host, socket.netns))
        .collect();
    let refused = |host: &HostFacts, socket: &Socket| {
        let lost = !socket.dropped(is_route).is_empty();
        refused_unsent(host, socket)
            || lost && namespaces.contains(&(socket.host, socket.netns)) && !host.describes(socket)
    };
    let matches = failing(observed, refused, &UNSENT, Confidence::Medium).into_iter();
    matches
        .map(|matched| {
            let lost = dropped(observed, &matched.sockets, is_route);
            matched
                .shown_by("packets dropped for want of a usable route", &lost)
                .but(true, "routes of this network namespace were not recorded")
                .timed()
        })
        .collect()
}

/// What prohibit, blackhole and unreachable give.
const UNSENT: [i32; 3] = [linux::EACCES, linux::EINVAL, linux::EHOSTUNREACH];

/// The first thing that is known of this socket is that it may not send there.
fn refused_unsent(host: &HostFacts, socket: &Socket) -> bool {
    let is_one = |code: u32| UNSENT.iter().any(|errno| errno.unsigned_abs() == code);
    let refused = match socket.events.first().map(|(_, event)| &event.detail) {
        Some(Detail::SendError(error)) => {
            is_one(error.errno) && matches!(socket.proto.as_str(), "udp" | "udplite")
        }
        Some(Detail::Connection(change)) => {
            change.from != Some(TcpState::SynSent) && change.errno.is_some_and(is_one)
        }
        _ => false,
    };
    let local = socket.local_address();
    refused
        && !host.describes(socket)
        && local.is_none_or(|local| !local.is_loopback())
        && socket
            .remote_address()
            .is_some_and(|remote| !remote.is_multicast() && remote != Ipv4Addr::BROADCAST)
        && socket.dropped(|_| true).is_empty()
}

/// The route that refuses.
fn route<'a>(host: &'a HostFacts, socket: &Socket) -> Option<&'a Route> {
    let route = host
        .describes(socket)
        .then(|| host.route_to(socket.remote_address()?))
        .flatten();
    route.filter(|route| {
        matches!(
            route.route_type.as_str(),
            "unreachable" | "prohibit" | "blackhole"
        )
    })
}
