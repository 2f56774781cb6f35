//! A socket sends from an address that cannot reach the destination.

use super::common::{failing, has_failed};
use super::no_route::has_failed_unsent;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;
use tracer_model::samples::{Action, ChangeKind, Route};

pub static RULE: Rule = Rule {
    cause: "source_address",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "the socket is bound to an address from which this destination cannot be reached",
    reason: "The send was refused before anything left the host: the socket is bound to a loopback address, or \
             to IPv6 only, and the destination is not of that kind.",
    rests_on: "ip_route_output_key_hash_rcu() gives EINVAL for a loopback source to another host; a socket with \
             IPV6_V6ONLY gives ENETUNREACH for an IPv4 address (__ip6_datagram_connect(), udpv6_sendmsg()).",
    needs: &[EventKind::SendError, EventKind::Connection],
    needs_samples: false,
    refuted_by: "The same errno from sockets that are bound to no address.",
    next_step: "ss -anp for the local address of the socket, and the setting of the application that names it \
             (bind, listen, source address): is it 127.0.0.1 or ::1?",
    do_not: "Do not add routes: the source is what is wrong.",
    supersedes: &["no_route"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [linux::EINVAL, linux::ENETUNREACH, linux::EADDRNOTAVAIL];
    let loopback = |_: &HostFacts, socket: &Socket| {
        let (Some(local), Some(remote)) = (socket.local_address(), socket.remote_address()) else {
            return false;
        };
        has_failed(socket, &errnos) && local.is_loopback() && !remote.is_loopback()
    };
    let mut matches = failing(observed, loopback, &errnos, Confidence::High);
    // A socket of IPv6 that may not speak IPv4, or one that is bound to a device without that route.
    let otherwise = |host: &HostFacts, socket: &Socket| {
        has_failed_unsent(socket, &[linux::ENETUNREACH])
            && is_routed(host, socket)
            && !loopback(host, socket)
    };
    let other = failing(observed, otherwise, &errnos, Confidence::Medium).into_iter();
    matches.extend(other.map(|matched| {
        matched.with(
            "this host has a route to the destination, but not for this socket: it is bound to a device or an address, or \
             asked for an IPv4 address although it is of IPv6 only (IPV6_V6ONLY)",
        )
    }));
    matches
}

/// Was there a route for it all the time?
pub fn is_routed(host: &HostFacts, socket: &Socket) -> bool {
    let is_elsewhere = |name: Option<&str>| name.is_none_or(|name| !host.is_on_way(socket, name));
    let stayed = host.changes.iter().all(|one| match &one.change.what {
        ChangeKind::Route(change) => change.action != Action::Del || is_kernels(&change.route),
        ChangeKind::Link(link) => is_elsewhere(link.interface.as_deref()),
        ChangeKind::Address(address) => is_elsewhere(address.interface.as_deref()),
        _ => true,
    });
    host.describes(socket)
        && stayed
        && socket
            .remote_address()
            .is_some_and(|remote| host.route_to(remote).is_some())
}

/// The kernel's own routes come and go with the interfaces of others.
fn is_kernels(route: &Route) -> bool {
    route.protocol == "kernel"
}
