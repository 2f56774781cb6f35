//! The table of tracked connections is full.

use super::common::dropped_here;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::is_netfilter;
use crate::{Observed, Socket};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "conntrack_full",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "the table of tracked connections (nf_conntrack) of this host is full: new connections are thrown \
             away",
    reason: "Packets were freed by netfilter while the table of connections had no room, as its own counters \
             say: no rule decided it.",
    rests_on: "nf_conntrack_in() and __nf_conntrack_alloc() count drop per CPU and return NF_DROP above \
             net.netfilter.nf_conntrack_max; the sender sees EPERM.",
    needs: &[EventKind::Drop],
    needs_samples: true,
    refuted_by: "nf_conntrack.drop that does not grow: then a rule drops them.",
    next_step: "conntrack -C against sysctl net.netfilter.nf_conntrack_max, and conntrack -L: who opens so many, \
             and with which time-outs? Shorten the time-outs or exempt that traffic (notrack); then raise the \
             limit.",
    do_not: "Do not flush the table on a host that does NAT: every connection through it breaks. Do not look for \
             a firewall rule.",
    supersedes: &[
        "local_firewall",
        "bpf_drop",
        "syn_blackhole",
        "syn_dropped_at_peer",
        "path_blackhole",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let is_full = |socket: &Socket, reason: &str| {
        let host = &observed.hosts[socket.host];
        let drops = socket.dropped(is_netfilter);
        is_netfilter(reason)
            && host.describes(socket)
            && host.conntrack_full(drops.first_ns, drops.last_ns).is_some()
    };
    let what = "for want of room in the table of connections";
    let mut matches = dropped_here(observed, is_full, what, Confidence::High);
    for matched in &mut matches {
        let host = &observed.hosts[matched.host];
        if let Some(words) = host.conntrack_full(matched.first_ns, matched.last_ns) {
            matched.evidence.push(crate::Evidence::fact(words));
        }
    }
    matches
}
