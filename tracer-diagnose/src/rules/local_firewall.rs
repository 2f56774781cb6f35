//! This host's own firewall drops or rejects what is sent.

use super::common::{by_address, dropped, ended, errors, many, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::event::{Cause, Direction, EventKind};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "local_firewall",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "this host's own firewall throws away what is sent, or the answers to it",
    reason: "Packets were freed by netfilter on their way out, or answers on their way in: a rule of this host, not the \
             network. UDP senders see EPERM; TCP only sees that nothing comes back.",
    rests_on: "nf_hook_slow() frees with NETFILTER_DROP and gives EPERM to the sender of the output hook; a rule that \
               rejects drops the packet as well, and answers it.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "EPERM without a dropped packet: a security module or a cgroup program refuses, not netfilter.",
    next_step: "nft list ruleset (or iptables-save -c): which output rule's counter grows? Compare with when the rules \
                were last loaded.",
    do_not: "Do not flush the rules to see whether it helps: it opens the host, and says nothing about which rule it was.",
    supersedes: &[
        "syn_blackhole",
        "path_blackhole",
        "connection_refused",
        "path_loss",
        "destination_loss",
        "no_route",
        "pmtu_blackhole",
        "idle_timeout",
        "unknown",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let filtered = sockets(observed, conversation, |socket| {
            !socket.dropped(is_netfilter).is_empty() || !answers(socket).is_empty()
        });
        if filtered.is_empty() {
            continue;
        }
        let drops = dropped(observed, &filtered, is_netfilter);
        let refused = ended(
            observed,
            &filtered,
            &[linux::ECONNREFUSED, linux::ETIMEDOUT],
        );
        let answers: Vec<_> = filtered
            .iter()
            .map(|socket| answers(&observed.sockets[*socket]))
            .collect();
        let answers = Sum::of(answers.iter());
        let errors = errors(observed, &filtered, &[linux::EPERM]);
        // One packet that a rule throws away on purpose is no fault.
        let confidence = match drops.count + errors.count + answers.count {
            0..3 => Confidence::Low,
            _ => Confidence::High,
        };
        let mut matched = Match::of(observed, index, filtered.clone(), confidence)
            .shown_by("packets dropped by netfilter on their way out", &drops)
            .shown_by("answers dropped by netfilter on their way in", &answers)
            .shown_by("sends failed with EPERM", &errors)
            .shown_by(
                "time-outs meanwhile",
                &resent(observed, &filtered, &[Cause::Rto, Cause::Syn]),
            );
        if refused > 0 {
            matched = matched.with(format!("{} failed with it", many(refused, "connection")));
        }
        matches.push(matched.timed());
    }
    by_address(observed, matches)
}

/// Before 5.17 the kernel gave no reason; the function says it.
fn is_netfilter(reason: &str) -> bool {
    matches!(
        reason,
        "NETFILTER_DROP"
            | "nf_hook_slow()"
            | "nft_do_chain()"
            | "ipt_do_table()"
            | "ip6t_do_table()"
    )
}

/// What netfilter dropped on the way in of a connection that waits for answers.
fn answers(socket: &Socket) -> Sum {
    if socket.timeouts() == 0 {
        return Sum::default();
    }
    let drops = socket.drops.iter().filter(|((reason, direction), _)| {
        *direction == Some(Direction::Received) && is_netfilter(reason)
    });
    Sum::of(drops.map(|(_, sum)| sum))
}
