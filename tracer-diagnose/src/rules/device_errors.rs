//! The device refuses packets.

use super::common::sockets;
use super::link::downs;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::event::EventKind;

const LEAST: u64 = 3;

pub static RULE: Rule = Rule {
    cause: "device_errors",
    symptom: Symptom::Drop,
    layer: Some(Layer::Nic),
    title: "the network device refuses packets",
    reason: "The driver answered the kernel's packet with an error or with silence: it left the queue of the host and \
             never got to the wire. TCP sees loss; UDP sees nothing.",
    rests_on: "dev_hard_start_xmit() and the tracepoint net_dev_xmit with rc other than NETDEV_TX_OK; \
               netif_tx_timeout for a device that does not finish; tx_errors and tx_dropped of the interface.",
    needs: &[EventKind::Device],
    needs_samples: false,
    refuted_by: "A link that was down at the time; NETDEV_TX_BUSY alone, which is sent again by the kernel.",
    next_step: "ethtool -S INTERFACE, dmesg for the driver, and its version and firmware: does it happen with one queue, \
                one size, one offload? Switch off one offload (ethtool -K) to learn which.",
    do_not: "Do not raise queue lengths: the packets did leave the queue. Do not blame the switch before this host's own \
             counters are explained.",
    supersedes: &["path_loss", "destination_loss", "path_blackhole"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    let downs: Vec<_> = observed.hosts.iter().map(downs).collect();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        // A device without a link refuses everything, the kernel's own packets too.
        let no_link = |socket: &Socket| {
            let mut all = downs[conversation.host].iter();
            let host = &observed.hosts[conversation.host];
            all.any(|(interface, down)| {
                let sum = refusals(socket);
                host.is_on_way(socket, interface) && down.was_meanwhile(sum.first_ns, sum.last_ns)
            })
        };
        let refused = sockets(observed, conversation, |socket| {
            refusals(socket).count > 0 && !no_link(socket)
        });
        let sums: Vec<_> = refused
            .iter()
            .map(|socket| refusals(&observed.sockets[*socket]))
            .collect();
        let sum = Sum::of(sums.iter());
        if sum.count < LEAST {
            continue;
        }
        let names: Vec<_> = {
            let all = refused
                .iter()
                .flat_map(|socket| &observed.sockets[*socket].interfaces);
            let mut names: Vec<_> = all.cloned().collect();
            names.sort();
            names.dedup();
            names
        };
        let host = &observed.hosts[conversation.host];
        let counters: Vec<_> = host
            .interface_counters()
            .into_iter()
            .filter(|((interface, name), count)| {
                names.contains(interface)
                    && *count > 0
                    && matches!(
                        name.as_str(),
                        "tx_errors" | "tx_dropped" | "tx_aborted_errors" | "tx_fifo_errors"
                    )
            })
            .map(|((interface, name), count)| format!("{interface} {name} +{count}"))
            .collect();
        let mut matched = Match::of(observed, index, refused, Confidence::High)
            .shown_by(format!("packets that {} refused", names.join(", ")), &sum);
        if !counters.is_empty() {
            matched = matched.with(format!(
                "counters of the interface: {}",
                counters.join(", ")
            ));
        }
        matched.about = None;
        matches.push(matched.timed());
    }
    matches
}

fn refusals(socket: &Socket) -> Sum {
    let all = socket.devices.iter();
    Sum::of(
        all.filter(|(name, _)| name.as_str() != "NETDEV_TX_BUSY")
            .map(|(_, sum)| sum),
    )
}
