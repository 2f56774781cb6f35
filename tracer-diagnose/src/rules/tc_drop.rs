//! A filter or program of traffic control drops packets.

use super::common::{BEYOND, dropped_here};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "tc_drop",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "traffic control of this host drops packets: a filter or BPF program of tc",
    reason: "The packets were freed by a program or action that is attached to an interface of this host \
             (clsact, tcx, an action of a classifier), not by a full queue and not by the network.",
    rests_on: "tcf_classify(), tcx_run() and sch_handle_egress() free with TC_EGRESS, sch_handle_ingress() with \
             TC_INGRESS.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "Drops by a queue (QDISC_DROP): then there is no room, and nobody decided it.",
    next_step: "bpftool net, and tc filter show dev INTERFACE egress (ingress): which program, which id, and who \
             loaded it (Cilium, Calico, an agent)? bpftool prog show id ID says when.",
    do_not: "Do not remove the program to see whether it helps: it is a policy of somebody. Do not raise queue \
             lengths.",
    supersedes: BEYOND,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let is_tc = |reason: &str| reason.starts_with("TC_") && !reason.starts_with("TC_RECLASSIFY");
    dropped_here(
        observed,
        |_, reason| is_tc(reason),
        "by traffic control (tc)",
        Confidence::High,
    )
}
