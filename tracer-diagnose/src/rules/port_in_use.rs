//! The local port that the application insists on is taken.

use std::collections::{BTreeMap, BTreeSet};

use super::common::{ends, errors, has_failed, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Socket, Sum};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "port_in_use",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "the local port that the application wants for its connection is in use",
    reason: "Connection requests came to nothing before a SYN was made, each with the same local port: the application \
             binds its sockets to one port, and a connection to the same place has it already (or waits in TIME_WAIT).",
    rests_on: "inet_hash_connect() gives EADDRNOTAVAIL where the four ends are taken; tcp_v4_connect() then goes from \
               SYN_SENT to CLOSE, without tcp_connect_init(), which sets the path MTU of the socket.",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "Differing local ports: then the kernel has chosen them, and none was free.",
    next_step: "ss -tanp for this local port: who has it? Does the application need a fixed source port (bind() before \
                connect())? Without one the kernel takes a free one.",
    do_not: "Do not widen ip_local_port_range: the port was not the kernel's choice. Do not retry faster.",
    supersedes: &["ports_exhausted", "no_route", "source_address"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [linux::EADDRNOTAVAIL, linux::EADDRINUSE];
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let failed = sockets(observed, conversation, |socket| {
            socket.local_port().unwrap_or(0) != 0
                && (before_syn(socket) || !socket.open && has_failed(socket, &errnos))
        });
        let mut by_port: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for socket in failed {
            let port = observed.sockets[socket].local_port();
            by_port.entry(port).or_default().push(socket);
        }
        let told = |socket: &usize| has_failed(&observed.sockets[*socket], &errnos);
        // One alone may have been given up by its application.
        by_port.retain(|_, sockets| sockets.len() >= 2 || sockets.iter().any(told));
        let ports: BTreeSet<_> = by_port.keys().copied().flatten().collect();
        let sockets: Vec<usize> = by_port.into_values().flatten().collect();
        let (Some(port), false) = (ports.first(), sockets.is_empty()) else {
            continue;
        };
        let is_end = |sign: &Sign| {
            matches!(
                sign,
                Sign::NeverOpened | Sign::Ended(_) | Sign::SendFailed(_)
            )
        };
        let ends: Sum = ends(observed, &sockets, is_end);
        let holder = observed.sockets.iter().any(|socket| {
            socket.open && socket.host == conversation.host && socket.local_port() == Some(*port)
        });
        let confidence = match sockets.len() {
            3.. => Confidence::High,
            _ => Confidence::Medium,
        };
        let mut matched = Match::of(observed, index, sockets.clone(), confidence)
            .shown_by(
                "connection requests that ended before a SYN was made",
                &ends,
            )
            .shown_by(
                "sends failed with EADDRNOTAVAIL or EADDRINUSE",
                &errors(observed, &sockets, &errnos),
            )
            .with(format!("all of them had the local port {port}"));
        if holder {
            matched = matched.with("another socket with this port was open");
        }
        matches.push(matched.timed());
    }
    matches
}

/// From SYN_SENT to CLOSE before there was a SYN: the kernel had not yet set the socket up for it.
pub fn before_syn(socket: &Socket) -> bool {
    let never = |(sign, _): &(Sign, Sum)| *sign == Sign::NeverOpened;
    socket.signs().iter().any(never)
        && socket.timeouts() == 0
        && socket.tcp.pmtu_bytes.is_some_and(|(_, most)| most == 0)
}
