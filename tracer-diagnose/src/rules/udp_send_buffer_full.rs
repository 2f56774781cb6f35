//! Datagrams find no room in the socket's own buffer.

use super::common::{errors, sockets};
use super::qdisc_overflow::overflowed;
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use tracer_model::event::{CountedKind, EventKind};
use tracer_model::linux;

/// An event loop that fills its buffer now and then is healthy.
const LEAST: u64 = 20;

pub static RULE: Rule = Rule {
    cause: "udp_send_buffer_full",
    symptom: Symptom::Exhaustion,
    layer: Some(Layer::App),
    title: "datagrams do not fit into the socket's send buffer",
    reason: "Non-blocking sends of datagrams failed with EAGAIN again and again: what was sent before still waits in the \
             queue of the interface and is charged to the socket. The application sends in bursts that are larger than \
             its buffer, or faster than the interface takes.",
    rests_on: "sock_alloc_send_pskb() gives EAGAIN while sk_wmem_alloc is above sk_sndbuf; ip_append_data() and \
               udp_sendmsg() count Udp.SndbufErrors.",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "Drops by the interface's queue at the same time (then the queue is full, not the buffer).",
    next_step: "Compare the burst of the application with SO_SNDBUF (net.core.wmem_default): let it wait for POLLOUT and \
                send again, pace it, or raise SO_SNDBUF to the size of a burst.",
    do_not: "Do not drop the datagram silently on EAGAIN, and do not raise wmem_max for the whole host first.",
    supersedes: &["blocked_writer"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.proto != "udp" && conversation.proto != "udplite" {
            continue;
        }
        let full = sockets(observed, conversation, |socket| {
            socket.failed(linux::EAGAIN) > 0 && !socket.lacks_port()
        });
        let listed = errors(observed, &full, &[linux::EAGAIN]);
        let counted: u64 = observed
            .counted_of(conversation)
            .filter(|row| row.kind == CountedKind::WouldBlock)
            .map(|row| row.count)
            .sum();
        if listed.count.max(counted) < LEAST
            || full
                .iter()
                .any(|socket| overflowed(&observed.sockets[*socket]))
        {
            continue;
        }
        let kernel = observed.hosts[conversation.host].grew("Udp.SndbufErrors");
        // The kernel counts what found no room: when it did not, another thing was short.
        if kernel == Some(0) {
            continue;
        }
        let confidence = match kernel {
            Some(count) if count >= LEAST => Confidence::High,
            _ => Confidence::Medium,
        };
        let mut matched = Match::of(observed, index, full, confidence)
            .shown_by("sends failed with EAGAIN", &listed);
        if counted > 0 {
            matched = matched.with(format!("{counted} sends were counted as would-block"));
        }
        matched.explains = matched.explains.max(counted);
        if let Some(count @ 1..) = kernel {
            matched = matched.with(format!("Udp.SndbufErrors grew by {count}"));
        }
        let claims = |sign: &Sign| *sign == Sign::SendFailed(linux::EAGAIN.unsigned_abs());
        matches.push(matched.claiming(claims));
    }
    matches
}
