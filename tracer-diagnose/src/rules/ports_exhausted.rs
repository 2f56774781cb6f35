//! There is no local port left for another connection.

use super::common::sockets;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Role, Socket, Sum};
use tracer_model::event::{Cause, CountedKind, EventKind, TcpState};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "ports_exhausted",
    symptom: Symptom::Exhaustion,
    layer: Some(Layer::Kernel),
    title: "there is no local port left for another connection to this destination",
    reason: "Connections ended before a SYN left, with no local port: the kernel looked for a free port towards this \
             destination and found none (connect() gave EADDRNOTAVAIL).",
    rests_on: "inet_hash_connect() fails with EADDRNOTAVAIL, tcp_v4_connect() goes from SYN_SENT back to CLOSE; the range \
               is net.ipv4.ip_local_port_range, and ports in TIME_WAIT count.",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "A local port in the event: then the connection was given up for another reason.",
    next_step: "ss -tan state time-wait dst ADDRESS | wc -l: does the application open a connection per request? Let it \
                keep connections (pool, keep-alive). Then widen ip_local_port_range, or set tcp_tw_reuse=1.",
    do_not: "Do not shorten TIME_WAIT by tricks, and do not retry faster: each attempt walks all ports in vain.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let refused = sockets(observed, conversation, |socket| {
            without_port(socket) || socket.lacks_port() && socket.failed(linux::EAGAIN) > 0
        });
        let is_udp = matches!(conversation.proto.as_str(), "udp" | "udplite");
        let counted: u64 = observed
            .counted_of(conversation)
            .filter(|row| is_udp && row.kind == CountedKind::WouldBlock)
            .filter(|row| row.flow.as_ref().is_some_and(|flow| flow.local.is_none()))
            .map(|row| row.count)
            .sum();
        let refused = if counted > 0 {
            conversation.sockets.clone()
        } else {
            refused
        };
        if refused.is_empty() {
            continue;
        }
        let host = &observed.hosts[conversation.host];
        let range: Vec<_> = host.sysctl_words("net.ipv4.ip_local_port_range").collect();
        let mut sum = Sum::default();
        for socket in refused.iter().map(|socket| &observed.sockets[*socket]) {
            let first = socket.events.first().map_or(0, |(_, event)| event.boot_ns);
            match socket.errors.get(&linux::EAGAIN.unsigned_abs()) {
                Some(sends) => sum.merge(sends),
                None if socket.first_ns > 0 => sum.add(socket.first_ns, first, 1),
                None => {}
            }
        }
        let confidence = if sum.count + counted >= 3 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mut matched = Match::of(observed, index, refused, confidence).shown_by(
            "connections or datagrams that found no free local port",
            &sum,
        );
        if counted > 0 {
            matched = matched.with(format!(
                "{counted} sends of sockets without a port were counted as would-block"
            ));
            matched.explains = matched.explains.max(counted);
        }
        if let [low, high] = range[..] {
            matched = matched.with(format!("net.ipv4.ip_local_port_range is {low} to {high}"));
        }
        if let Some(waiting) = host.gauge_max("TCP.tw").filter(|waiting| *waiting > 0) {
            matched = matched.with(format!(
                "up to {waiting} connections of this host were in TIME_WAIT"
            ));
        }
        matched.explains = matched.explains.max(sum.count);
        matches.push(matched);
    }
    matches
}

/// From SYN_SENT to CLOSE without a port or a SYN that was sent again, and without an errno but that of connect(2)
/// itself, where its return is seen.
fn without_port(socket: &Socket) -> bool {
    socket.role == Role::Client
        && socket.local_port().unwrap_or(0) == 0
        && socket.resent(Cause::Syn) == 0
        && socket.transitions.iter().any(|(_, change)| {
            let errno = change.errno.unwrap_or(0);
            change.from == Some(TcpState::SynSent)
                && (errno == 0 || errno == linux::EADDRNOTAVAIL.unsigned_abs())
        })
}
