//! This host's own firewall drops or rejects what is sent.

use super::common::{BEYOND, dropped_here};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::is_netfilter;
use tracer_model::event::EventKind;

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
    supersedes: BEYOND,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    dropped_here(
        observed,
        |_, reason| is_netfilter(reason),
        "by netfilter",
        Confidence::High,
    )
}
