//! ECOMM: the error that this tool was made for.

use super::common::{errors, sockets};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "ecomm",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "sends fail with ECOMM (errno 70): something on this host refused them, not TCP, UDP or the network",
    reason: "Nothing in the kernel's IPv4, IPv6, TCP, UDP or unix sockets makes this errno: on such a socket a program or \
             module of this host put it there (a BPF program of a cgroup, a security policy, seccomp). Only a few other \
             protocols have it: CAN ISO-TP when no flow control comes, Bluetooth L2CAP in reliable mode, DCCP.",
    rests_on: "net/can/isotp.c, net/bluetooth/l2cap_core.c, net/dccp; cgroup/sendmsg4 and sendmsg6 with \
               bpf_set_retval(), fmod_ret and BPF LSM may return any errno, seccomp too (SECCOMP_RET_ERRNO).",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "Nothing in the network can cause it: retransmits or drops at the same time are another matter.",
    next_step: "bpftool cgroup tree and bpftool prog show: which program is attached to the cgroup of this process, and \
                who loaded it, when? For CAN: is the receiving node there?",
    do_not: "Do not raise the retry count: the same rule refuses each retry, and the retries become the load.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let refused = sockets(observed, conversation, |socket| {
            socket.failed(linux::ECOMM) > 0
        });
        if refused.is_empty() {
            continue;
        }
        let sum = errors(observed, &refused, &[linux::ECOMM]);
        let mut matched = Match::of(observed, index, refused.clone(), Confidence::High)
            .shown_by("sends failed with ECOMM", &sum);
        if let Some(cgroup) = &conversation.owner.cgroup {
            matched = matched.with(format!("the process is in the cgroup {cgroup}"));
        }
        let claims = |sign: &Sign| *sign == Sign::SendFailed(linux::ECOMM.unsigned_abs());
        matches.push(matched.timed().claiming(claims));
    }
    matches
}
