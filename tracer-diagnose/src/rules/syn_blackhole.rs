//! Connection requests that nobody answers.

use super::common::{established, others_were_well};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Role, Socket, Sum};
use tracer_model::event::{Cause, EventKind};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "syn_blackhole",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "connection requests are answered by nobody",
    reason: "SYNs were sent again and again and neither SYN-ACK nor RST nor an ICMP message came back: a firewall that \
             drops, a route that leads nowhere, or a host that is gone. A closed port would have answered.",
    rests_on: "tcp_retransmit_timer() in SYN_SENT, net.ipv4.tcp_syn_retries; RFC 9293 3.10.7.1: every SYN to a closed \
               port is answered with RST.",
    needs: &[EventKind::Retransmit, EventKind::Connection],
    needs_samples: false,
    refuted_by: "A connection to the same destination that was established in this time; a neighbour that failed; an \
                 answer that this host dropped itself.",
    next_step: "Connect to the same address on another port, and to the same port from another host: that tells a \
                filter from a dead path. Then look where the SYN is last seen.",
    do_not: "Do not retry faster: every attempt waits 1 s, 3 s, 7 s… in the kernel, and more of them only fill tables \
             on the way.",
    supersedes: &["path_loss", "destination_loss"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.role == Role::Server {
            continue;
        }
        let sockets = conversation.sockets.iter().copied();
        let unanswered: Vec<_> = sockets
            .filter(|socket| never_answered(&observed.sockets[*socket]))
            .collect();
        let all = || unanswered.iter().map(|socket| &observed.sockets[*socket]);
        let again = Sum::of(all().filter_map(|socket| socket.retransmits.get(&Cause::Syn)));
        // One SYN may be lost by chance.
        if again.count < 2
            || observed.sockets_of(conversation).any(|socket| socket.open)
            || established(observed, conversation) > 0
        {
            continue;
        }
        // What opens in peace leaves no event.
        let host = &observed.hosts[conversation.host];
        let asked = observed
            .sockets
            .iter()
            .filter(|socket| socket.role == Role::Client);
        let asked = u64::try_from(asked.count()).unwrap_or(u64::MAX);
        let unseen = host
            .grew("Tcp.ActiveOpens")
            .unwrap_or(0)
            .saturating_sub(asked);
        let timed_out = all().filter(|socket| gave_up(socket)).count();
        let confidence = match (unseen, timed_out, again.count) {
            (0, 1.., _) | (0, _, 4..) => Confidence::High,
            (0, ..) => Confidence::Medium,
            _ => Confidence::Medium,
        };
        let mut matched = Match::of(observed, index, unanswered.clone(), confidence)
            .shown_by("SYNs sent again without an answer", &again)
            .but(
                unseen > 0,
                format!(
                    "this host asked for {unseen} other connections meanwhile, without trouble: whether any was to this \
                     destination was not recorded"
                ),
            );
        if let bytes @ 1.. = others_were_well(observed, conversation) {
            matched = matched.with(format!(
                "other processes had {bytes} bytes acknowledged by the same host in this recording: what is swallowed are these \
                 requests, not all"
            ));
        }
        if timed_out > 0 {
            matched = matched.with(format!(
                "{timed_out} connection requests ended with ETIMEDOUT"
            ));
        }
        matches.push(matched);
    }
    matches
}

/// Asked again, and never got anywhere.
pub fn never_answered(socket: &Socket) -> bool {
    let timed_out = linux::ETIMEDOUT.unsigned_abs();
    socket.resent(Cause::Syn) > 0
        && !socket.open
        && socket.resets_received.is_empty()
        && socket
            .ended_with()
            // Any other errno is an answer, of a router or of this host.
            .is_none_or(|(_, errno)| errno == timed_out)
}

fn gave_up(socket: &Socket) -> bool {
    let timed_out = linux::ETIMEDOUT.unsigned_abs();
    socket
        .ended_with()
        .is_some_and(|(_, errno)| errno == timed_out)
}
