//! Whoever reads a tun device is too slow.

use super::common::dropped_here;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
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
    let is_tun = |socket: &Socket, reason: &str| {
        let host = &observed.hosts[socket.host];
        let mut interfaces = socket
            .interfaces
            .iter()
            .filter_map(|name| host.interface(name));
        reason == "FULL_RING" && interfaces.any(|one| one.kind.as_deref() == Some("tun"))
    };
    dropped_here(
        observed,
        is_tun,
        "at the full ring of a tun device (FULL_RING)",
        Confidence::High,
    )
}
