//! A socket sends from an address that cannot reach the destination.

use super::common::{failing, has_failed};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

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
    let wrong = |_: &HostFacts, socket: &Socket| {
        let (Some(local), Some(remote)) = (socket.local_address(), socket.remote_address()) else {
            return false;
        };
        has_failed(socket, &errnos) && local.is_loopback() && !remote.is_loopback()
    };
    failing(observed, wrong, &errnos, Confidence::High)
}
