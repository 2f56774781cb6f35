//! Datagrams that are too large to be sent.

use crate::diagnose::Observed;
use crate::diagnose::rule::{Case, Confidence, Layer, Rule, Symptom};
use crate::event::Signal;

pub static RULE: Rule = Rule {
    cause: "oversized_datagram",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "datagrams are larger than may be sent",
    reason: "The kernel refused the datagram before anything left the host: it is larger than a datagram can be, or \
             than the path allows while fragmenting is forbidden.",
    rests_on: "udp_sendmsg() and ip_append_data(): EMSGSIZE above 65507 bytes (IPv4), or above the path's MTU with \
               IP_PMTUDISC_DO; for IPv6 ipv6_sendmsg() likewise.",
    needs: &[Signal::SendError],
    needs_samples: false,
    refuted_by: "Nothing: the errno says it.",
    next_step: "Compare requested_bytes of the events with the MTU towards the destination (ip route get), and let the \
                application send smaller datagrams.",
    do_not: "Do not retry: the same datagram fails each time. Do not raise the interface's MTU alone: the path decides.",
    over: &["unknown"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let errors = observed.errors(conversation, libc::EMSGSIZE);
        if errors.is_empty() {
            continue;
        }
        let errno = libc::EMSGSIZE.unsigned_abs();
        let sockets = conversation.sockets.iter().copied();
        let sockets: Vec<_> = sockets
            .filter(|socket| observed.sockets[*socket].errors.contains_key(&errno))
            .collect();
        let mut case = Case::of(observed, index, sockets, Confidence::High)
            .shown_by("sends failed with EMSGSIZE", &errors);
        if errors.bytes > 0 {
            let mean = errors.bytes / errors.count;
            case = case.with(format!("{mean} bytes each, on average"));
        }
        cases.push(case.timed());
    }
    cases
}
