//! A BPF program on a cgroup or socket drops or refuses packets.

use super::common::{BEYOND, dropped_here, failing};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "bpf_drop",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "a BPF program on the cgroup or the socket throws packets away, or refuses sends",
    reason: "Packets were freed by a filter on the socket or its cgroup, or sends failed with EPERM while no \
             rule of netfilter dropped anything: a program that somebody attached decided so.",
    rests_on: "sk_filter_trim_cap() frees with SOCKET_FILTER (a filter of the socket, or cgroup_skb/ingress); \
             __cgroup_bpf_run_filter_skb() gives EPERM and frees with BPF_CGROUP_EGRESS, \
             __cgroup_bpf_run_filter_sock_addr() gives EPERM before there is a packet.",
    needs: &[EventKind::Drop, EventKind::SendError],
    needs_samples: false,
    refuted_by: "Drops with NETFILTER_DROP of the same packets: then it is a rule of netfilter. A security module \
             that refuses gives EACCES or EPERM too.",
    next_step: "bpftool cgroup tree, for the cgroup of the process, and ss -0p or bpftool prog show for socket \
             filters: which program, and who loaded it, when?",
    do_not: "Do not retry: each send is refused at the same place. Do not detach the program before you know \
             whose it is.",
    supersedes: BEYOND,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let is_filter = |reason: &str| matches!(reason, "SOCKET_FILTER" | "BPF_CGROUP_EGRESS");
    let what = "by a program on the socket or cgroup";
    let mut matches = dropped_here(
        observed,
        |_, reason| is_filter(reason),
        what,
        Confidence::High,
    );
    if observed.coverage.has(EventKind::Drop) {
        let refused = |_: &HostFacts, socket: &Socket| {
            let outgoing = socket.dropped(|_| true);
            (socket.failed(linux::EPERM) > 0 || foreign(socket) > 0) && outgoing.is_empty()
        };
        let refused = failing(
            observed,
            refused,
            &[linux::EPERM, linux::EIO],
            Confidence::Medium,
        );
        matches.extend(refused.into_iter().map(|matched| {
            matched
                .with("no packet was dropped: the send was refused before there was one")
                .but(true, "a security module that refuses looks the same")
                .claiming(|sign| {
                    [linux::EPERM, linux::EIO]
                        .iter()
                        .any(|errno| *sign == Sign::SendFailed(errno.unsigned_abs()))
                })
        }));
    }
    for matched in &mut matches {
        let cgroup = matched.conversations.first();
        let cgroup = cgroup.and_then(|index| observed.conversations[*index].owner.cgroup.clone());
        if let Some(cgroup) = cgroup {
            let words = format!("the process is in the cgroup {cgroup}");
            matched.evidence.push(crate::Evidence::fact(words));
        }
    }
    matches
}

/// Sends of datagrams that failed with an errno that UDP itself has none of: a program chose it (bpf_set_retval()).
fn foreign(socket: &Socket) -> u64 {
    match socket.proto.as_str() {
        "udp" | "udplite" => socket.failed(linux::EIO),
        _ => 0,
    }
}
