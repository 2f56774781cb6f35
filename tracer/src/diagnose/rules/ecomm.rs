//! ECOMM: the error that this tool was made for.

use super::common::{errors, sockets};
use crate::diagnose::Observed;
use crate::diagnose::rule::{Case, Confidence, Layer, Rule, Symptom};
use crate::event::Signal;

pub static RULE: Rule = Rule {
    cause: "ecomm",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "sends fail with ECOMM (errno 70): something on this host refused them, not TCP, UDP or the network",
    reason: "The kernel's TCP, UDP and IP never make this errno: it comes from a program or module that decides about \
             sends on this host (a BPF program of a cgroup or security policy), or from a protocol that has it (CAN \
             ISO-TP after an unanswered frame).",
    rests_on: "Sources of the kernel: ECOMM is returned by net/can/isotp.c, drivers and file systems; a BPF program of \
               cgroup/sendmsg or LSM may return any errno (bpf_set_retval()).",
    needs: &[Signal::SendError],
    needs_samples: false,
    refuted_by: "Nothing in the network can cause it: retransmits or drops at the same time are another matter.",
    next_step: "bpftool cgroup tree and bpftool prog show: which program is attached to the cgroup of this process, and \
                who loaded it, when? For CAN: is the receiving node there?",
    do_not: "Do not raise the retry count: the same rule refuses each retry, and the retries become the load.",
    over: &["unknown"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let refused = sockets(observed, conversation, |socket| {
            socket.failed(libc::ECOMM) > 0
        });
        if refused.is_empty() {
            continue;
        }
        let sum = errors(observed, &refused, &[libc::ECOMM]);
        let mut case = Case::of(observed, index, refused.clone(), Confidence::High)
            .shown_by("sends failed with ECOMM", &sum);
        if let Some(cgroup) = &conversation.owner.cgroup {
            case = case.with(format!("the process is in the cgroup {cgroup}"));
        }
        cases.push(case.timed());
    }
    cases
}
