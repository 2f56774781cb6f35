//! Datagrams that are too large to be sent.

use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use tracer_model::event::EventKind;
use tracer_model::linux;

/// The largest datagrams that probe: jumbo frames.
const PROBES_BYTES: u64 = 9216;

pub static RULE: Rule = Rule {
    cause: "oversized_datagram",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "datagrams are larger than may be sent",
    reason: "The kernel refused the datagram before anything left the host: it is larger than a datagram can be, or \
             than the path allows while fragmenting is forbidden.",
    rests_on: "udp_sendmsg() and ip_append_data(): EMSGSIZE above 65507 bytes (IPv4), or above the path's MTU with \
               IP_PMTUDISC_DO; for IPv6 ipv6_sendmsg() likewise.",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "Nothing: the errno says it.",
    next_step: "Compare requested_bytes of the events with the MTU towards the destination (ip route get), and let the \
                application send smaller datagrams.",
    do_not: "Do not retry: the same datagram fails each time. Do not raise the interface's MTU alone: the path decides.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let errors = observed.errors(conversation, linux::EMSGSIZE);
        // Of local sockets another limit is reached: the buffer of the sender.
        let is_ip = !matches!(conversation.proto.as_str(), "netlink" | "can")
            && !conversation.proto.starts_with("unix");
        if errors.is_empty() || !is_ip {
            continue;
        }
        let errno = linux::EMSGSIZE.unsigned_abs();
        let sockets = conversation.sockets.iter().copied();
        let sockets: Vec<_> = sockets
            .filter(|socket| observed.sockets[*socket].errors.contains_key(&errno))
            .collect();
        let mean = errors
            .bytes
            .checked_div(errors.sized)
            .filter(|mean| *mean > 0);
        // Programs that look for the path's MTU with datagrams do this on purpose (QUIC, RFC 8899).
        let probing = mean.is_none_or(|mean| mean <= PROBES_BYTES);
        let confidence = if probing {
            Confidence::Medium
        } else {
            Confidence::High
        };
        let mut matched = Match::of(observed, index, sockets, confidence)
            .shown_by("sends failed with EMSGSIZE", &errors)
            .but(
                probing,
                "a program that probes for the path's MTU does this on purpose (QUIC, RFC 8899)",
            );
        if let Some(mean) = mean {
            let of = if errors.sized < errors.count {
                format!(" (known of {} of them)", errors.sized)
            } else {
                String::new()
            };
            matched = matched.with(format!("{mean} bytes each, on average{of}"));
        }
        let claims = |sign: &Sign| *sign == Sign::SendFailed(linux::EMSGSIZE.unsigned_abs());
        matches.push(matched.timed().claiming(claims));
    }
    matches
}
