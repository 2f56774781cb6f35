//! Probes of idle connections were not answered.

use super::common::{ended_with, failing};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "keepalive_expired",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Network),
    title: "idle connections were ended by keepalive: the other end did not answer its probes",
    reason: "The connections ended with ETIMEDOUT although nothing was waiting to be acknowledged: the probes of \
             keepalive were sent, and not one was answered. The path or the other host went silent while they \
             were idle.",
    rests_on: "tcp_keepalive_timer() sends tcp_keepalive_probes probes and ends the connection with ETIMEDOUT (RFC \
             1122 4.2.3.6); TcpExt.TCPKeepAlive counts probes.",
    needs: &[EventKind::Connection, EventKind::Retransmit],
    needs_samples: false,
    refuted_by: "Data that was sent again before the end: then it is the path of a connection at work.",
    next_step: "Is the destination reachable now by anything else? If it is, a firewall or NAT on the way forgot \
             the idle connections: compare the idle time with its setting.",
    do_not: "Do not switch keepalive off: it only tells what is so already.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let expired = |_: &HostFacts, socket: &Socket| {
        socket.open
            && ended_with(socket, &[linux::ETIMEDOUT])
            && socket.timeouts() == 0
            && !window_was_closed(socket)
    };
    let mut matches = failing(observed, expired, &[linux::ETIMEDOUT], Confidence::High);
    for matched in &mut matches {
        if let Some(count @ 1..) = observed.hosts[matched.host].grew("TcpExt.TCPKeepAlive") {
            let words = format!("this host sent {count} keepalive probes (TcpExt.TCPKeepAlive)");
            matched.evidence.push(crate::Evidence::fact(words));
        }
    }
    matches
}

/// Was the peer's window closed when the connection ended?
pub fn window_was_closed(socket: &Socket) -> bool {
    socket.events.iter().rev().take(3).any(|(_, event)| {
        let tcp = event.tcp.as_ref();
        tcp.is_some_and(|tcp| {
            tcp.peer_window_bytes == Some(0) && tcp.send_queue_bytes.unwrap_or(0) > 0
        })
    })
}
