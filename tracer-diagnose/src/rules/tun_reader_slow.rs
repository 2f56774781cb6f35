//! Whoever reads a tun device is too slow.

use super::common::dropped_here;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "tun_reader_slow",
    symptom: Symptom::Drop,
    layer: Some(Layer::App),
    title: "the program behind a tun device of this host does not read fast enough",
    reason: "The packets were to go into a tunnel or virtual machine of this host, and the ring that its program \
             reads was full: a VPN daemon or hypervisor here is too slow, or stopped.",
    rests_on: "tun_net_xmit() frees with FULL_RING when the ring of tx_queue_len packets is full.",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "Drops of a queueing discipline (QDISC_DROP) on the same interface.",
    next_step: "Which process has /dev/net/tun open for this interface (lsof /dev/net/tun)? Is it at 100 % of a \
             CPU, stopped, or waiting for its own socket?",
    do_not: "Do not raise the queue length of the tunnel: the reader stays as slow, and the wait grows.",
    supersedes: &[
        "qdisc_overflow",
        "path_loss",
        "destination_loss",
        "udp_device_queue_full",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let is_full = |socket: &Socket, reason: &str| {
        let host = &observed.hosts[socket.host];
        let mut interfaces = socket.interfaces.iter();
        reason == "FULL_RING" && interfaces.any(|name| is_tun(host, name))
    };
    let mut matches = dropped_here(
        observed,
        is_full,
        "at the full ring of a tun device (FULL_RING)",
        Confidence::High,
    );
    // The device lets the packet's socket go before it looks for room.
    for ((host, interface, name), sum) in &observed.stray_refusals {
        if is_tun(&observed.hosts[*host], interface) && is_refusal(name) {
            let confidence = match sum.count {
                FEW.. => Confidence::High,
                _ => Confidence::Medium,
            };
            let mut matched = Match::of_host(*host, confidence, sum.first_ns, sum.last_ns)
                .shown_by(
                    format!("packets that {interface} did not take ({name})"),
                    sum,
                );
            matched.about = Some(interface.clone());
            matched.explains = sum.count;
            matches.push(matched);
        }
    }
    matches
}

/// From so many on it was no moment.
const FEW: u64 = 10;

/// Is it an interface that a program reads?
pub fn is_tun(host: &HostFacts, interface: &str) -> bool {
    let interface = host.interface(interface);
    interface.and_then(|one| one.kind.as_deref()) == Some("tun")
}

/// Does the device say with this name that it has no room?
pub fn is_refusal(name: &str) -> bool {
    name == "NET_XMIT_DROP"
}
