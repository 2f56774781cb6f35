//! A policy of IPsec drops packets.

use super::common::{BEYOND, dropped_here};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "ipsec_policy",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "a policy of IPsec on this host throws packets away",
    reason: "The packets match a policy that asks for protection which they do not have, or that blocks them: \
             the kernel freed them.",
    rests_on: "xfrm4_policy_check() and xfrm6_policy_check() free with XFRM_POLICY; XfrmInTmplMismatch and its kin \
             in /proc/net/xfrm_stat count why.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "No policy that matches these addresses (ip xfrm policy).",
    next_step: "ip xfrm policy and ip xfrm state, and the log of the key exchange daemon: is there a policy without \
             a state, or one that the other end does not have?",
    do_not: "Do not flush the policies: traffic would then go in the clear.",
    supersedes: BEYOND,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let is_ipsec = |reason: &str| reason.starts_with("XFRM_");
    dropped_here(
        observed,
        |_, reason| is_ipsec(reason),
        "by a policy of IPsec (XFRM_POLICY)",
        Confidence::High,
    )
}
