//! Codes of a device that did not take a packet.

use super::entry::{Entry, Kind};
use crate::rule::Layer;

const fn code(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::DeviceCode, word, means)
}

pub static TABLE: &[Entry] = &[
    code(
        "NETDEV_TX_BUSY",
        "The driver had no room and gave the packet back. It returns to its queue and is tried again: no loss \
         (`requeued` is true).",
    )
    .from("ndo_start_xmit() of the driver, seen in dev_hard_start_xmit(); the qdisc requeues it (dev_requeue_skb()).")
    .to(Layer::Nic)
    .not("Not the network and not the peer. Now and then it is normal.")
    .next("Many per second: tc -s qdisc (requeues), the driver's rings (ethtool -g, -S), the device behind it (a virtual host).")
    .worse("Sending faster."),
    code(
        "TRANSMIT_TIMEOUT",
        "The watchdog found a transmit queue stuck: the device has not finished anything for watchdog_timeo (5 s in \
         most drivers).",
    )
    .from("dev_watchdog(), tracepoint net_dev_xmit_timeout; the driver then usually resets the device.")
    .to(Layer::Nic)
    .not("Not the network and not the peer: packets do not leave the card. All flows of that queue stall at once.")
    .next("The kernel log (NETDEV WATCHDOG, the driver's words), ethtool -S, firmware and driver version, the virtual host.")
    .worse("Resetting the link again and again; flow control (pause frames) from a switch that is itself stuck."),
    code("NET_XMIT_DROP", "A device, or the queue of the device below it, dropped the packet.")
        .from("dev_hard_start_xmit(): a virtual device (tunnel, VLAN, veth, bridge) passes on what the one below answered.")
        .to(Layer::Kernel)
        .not("Not the network: the packet did not leave this host.")
        .next("The drop of the same packet (its reason and location), and tc -s qdisc of the device below.")
        .worse("Sending faster."),
    code("NET_XMIT_CN", "The queue of the device below signalled congestion; this packet was taken.")
        .from("dev_hard_start_xmit() of a virtual device.")
        .to(Layer::Kernel)
        .not("Not a loss of this packet.")
        .next("tc -s qdisc of the device below."),
];
