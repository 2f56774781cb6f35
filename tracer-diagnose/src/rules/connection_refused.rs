//! Nobody listens there, or somebody answers for it with RST.

use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Role, Socket, Sum};
use tracer_model::event::{Cause, EventKind, TcpState};
use tracer_model::linux;

/// Health checks: refused at a steady pace, at most once a second, and never taken.
const STEADY_NS: i64 = 900_000_000;

pub static RULE: Rule = Rule {
    cause: "connection_refused",
    symptom: Symptom::Refused,
    layer: Some(Layer::Peer),
    title: "the destination refuses the connection",
    reason: "The request was answered at once: a SYN with RST, a datagram with ICMP port unreachable. The packet got \
             there, and the answer came back. So the path works, and no process listens on that port of that address \
             (or a firewall there answers in its place).",
    rests_on: "tcp_rcv_synsent_state_process() ends with ECONNREFUSED on RST; RFC 9293 section 3.10.7.1: a closed \
               port answers with RST. For UDP it is an ICMP port unreachable (RFC 1122, 4.1.3.1).",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "SYNs that were sent again before the answer (the packets get lost), or refusals by this host's own \
                 firewall.",
    next_step: "On the destination: is the service running and listening on this address and port (ss -ltn)? If it \
                is, capture the RST there: without one leaving, a firewall in between makes it.",
    do_not: "Do not raise retry counts or time-outs: every attempt is answered at once, and more attempts only add load.",
    supersedes: &["unknown"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.role == Role::Server {
            continue;
        }
        let sockets = conversation.sockets.iter().copied();
        let refused: Vec<_> = sockets
            .filter(|socket| was_refused(&observed.sockets[*socket]))
            .collect();
        if refused.is_empty() {
            continue;
        }
        let all = || refused.iter().map(|socket| &observed.sockets[*socket]);
        let taken = observed.sockets_of(conversation).any(|socket| socket.open);
        let times: Vec<i64> = all().map(|socket| socket.last_ns).collect();
        if !taken && is_steady(&times) {
            continue;
        }
        let again = Sum::of(all().filter_map(|socket| socket.retransmits.get(&Cause::Syn)));
        let mut sum = Sum::default();
        for socket in all() {
            let first = socket.events.first().map_or(0, |(_, event)| event.boot_ns);
            sum.add(socket.last_ns, first, 1);
        }
        let confidence = match (refused.len(), again.count) {
            (3.., 0) => Confidence::High,
            (_, 0) => Confidence::Medium,
            _ => Confidence::Low,
        };
        matches.push(
            Match::of(observed, index, refused.clone(), confidence)
                .shown_by("connections were refused (ECONNREFUSED)", &sum)
                .but(
                    again.count > 0,
                    format!("{} SYNs had to be sent again first", again.count),
                )
                .but(
                    taken,
                    "other connections to it were established in this time",
                ),
        );
    }
    matches
}

/// The kernel ended the request with ECONNREFUSED, or a send on a connected datagram socket was told so.
fn was_refused(socket: &Socket) -> bool {
    let refused = linux::ECONNREFUSED.unsigned_abs();
    let by_rst = socket
        .transitions
        .iter()
        .any(|(_, change)| change.from == Some(TcpState::SynSent) && change.errno == Some(refused));
    by_rst || socket.failed(linux::ECONNREFUSED) > 0
}

/// At least four, nearly all in steps that are alike and no shorter than a second.
fn is_steady(times: &[i64]) -> bool {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    if steps.len() < 3 {
        return false;
    }
    let middle = steps[steps.len() / 2];
    let alike = |step: i64| (step - middle).abs() * 3 <= middle;
    let odd = steps.iter().filter(|step| !alike(**step)).count();
    middle >= STEADY_NS && odd * 5 <= steps.len()
}
