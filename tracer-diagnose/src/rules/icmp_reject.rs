//! Somebody on the way answers that the destination may not be reached.

use super::common::{ended_with, failing};
use super::no_route::has_failed_unsent;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "icmp_reject",
    symptom: Symptom::Refused,
    layer: Some(Layer::Network),
    title: "the connection is rejected with an ICMP message: a firewall or router on the way, or the other host \
             itself",
    reason: "The requests failed at once, without a RST and without a packet that this host dropped: an ICMP \
             message brought the errno. EHOSTUNREACH is what host unreachable and administratively prohibited \
             become, ENETUNREACH network unreachable, ECONNREFUSED port unreachable.",
    rests_on: "tcp_v4_err() and tcp_v6_err() with icmp_err_convert[]: while a connection is asked for, such a \
             message ends it (RFC 1122 4.2.3.9); Icmp.InDestUnreachs.",
    needs: &[EventKind::Connection, EventKind::Drop],
    needs_samples: true,
    refuted_by: "Packets that waited for a neighbour, or a route of this host that refuses: then no message came \
             from outside.",
    next_step: "Capture icmp on this host while it happens: the source of the message is who rejects, and its code \
             says why (10 and 13: prohibited by a rule). Then ask for the rule there.",
    do_not: "Do not raise time-outs or retries: the answer comes at once, and is no.",
    supersedes: &["connection_refused", "peer_host_gone"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [
        linux::EHOSTUNREACH,
        linux::ENETUNREACH,
        linux::ECONNREFUSED,
        linux::EACCES,
    ];
    let rejected = |host: &HostFacts, socket: &Socket| {
        let came = host
            .grew_within("Icmp.InDestUnreachs", socket.first_ns, socket.last_ns)
            .unwrap_or(1)
            + host
                .grew_within("Icmp6InDestUnreachs", socket.first_ns, socket.last_ns)
                .unwrap_or(1);
        // Told while connect() had the socket: an error that only getsockopt(SO_ERROR) gives away (sk_err_soft).
        let told = host.describes(socket)
            && host
                .grew("Icmp.InDestUnreachs")
                .max(host.grew("Icmp6InDestUnreachs"))
                > Some(0);
        socket.proto == "tcp"
            && !socket.open
            && (ended_with(socket, &errnos) || told && given_up(socket))
            && !has_failed_unsent(socket, &errnos)
            && socket.resets_received.is_empty()
            && socket.dropped(|_| true).is_empty()
            && (came > 0 || !host.describes(socket))
    };
    let mut matches = failing(observed, rejected, &errnos, Confidence::High);
    for matched in &mut matches {
        let host = &observed.hosts[matched.host];
        match host
            .grew("Icmp.InDestUnreachs")
            .max(host.grew("Icmp6InDestUnreachs"))
        {
            Some(count @ 1..) => matched.evidence.push(crate::Evidence::fact(format!(
                "{count} ICMP messages said unreachable (InDestUnreachs)"
            ))),
            _ => matched.confidence = Confidence::Medium,
        }
    }
    matches
}

/// Given up at once, with a port and without an errno.
fn given_up(socket: &Socket) -> bool {
    let mut signs = socket.signs().into_iter();
    socket.local_port().unwrap_or(0) != 0
        && socket.timeouts() == 0
        && signs.any(|(sign, _)| sign == Sign::NeverOpened)
}
