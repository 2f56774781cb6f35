//! The table of all rules. A rule is one file; to add one, write the file and name it here.

mod accept_queue_overflow;
mod attempts;
mod bufferbloat;
mod common;
mod connection_refused;
mod destination_loss;
mod device_errors;
mod duplicate_delivery;
mod ecomm;
mod idle_reset;
mod idle_timeout;
mod link;
mod link_down;
mod link_flapping;
mod local_firewall;
mod loss;
mod neighbour_failed;
mod no_route;
mod oversized_datagram;
mod path_blackhole;
mod path_loss;
mod peer_crashed;
mod peer_host_gone;
mod peer_window_closed;
mod pmtu_blackhole;
mod ports_exhausted;
mod qdisc_overflow;
mod reconnect_storm;
mod send_buffer_small;
mod slow_application;
mod spurious_retransmits;
mod syn_blackhole;
mod synchronised_retries;
mod tcp_memory;
mod udp_device_queue_full;
mod udp_send_buffer_full;
pub(super) mod unknown;

use super::rule::Rule;
pub use unknown::UNKNOWN;

/// Every rule, by layer. The order does not matter: each judges by itself.
pub static ALL: &[&Rule] = &[
    // Application
    &accept_queue_overflow::RULE,
    &oversized_datagram::RULE,
    &reconnect_storm::RULE,
    &send_buffer_small::RULE,
    &slow_application::RULE,
    &synchronised_retries::RULE,
    &udp_send_buffer_full::RULE,
    // Kernel
    &ecomm::RULE,
    &local_firewall::RULE,
    &no_route::RULE,
    &ports_exhausted::RULE,
    &qdisc_overflow::RULE,
    &tcp_memory::RULE,
    &udp_device_queue_full::RULE,
    // Network interface
    &device_errors::RULE,
    &link_down::RULE,
    &link_flapping::RULE,
    // Network
    &bufferbloat::RULE,
    &destination_loss::RULE,
    &duplicate_delivery::RULE,
    &idle_reset::RULE,
    &idle_timeout::RULE,
    &neighbour_failed::RULE,
    &path_blackhole::RULE,
    &path_loss::RULE,
    &pmtu_blackhole::RULE,
    &spurious_retransmits::RULE,
    &syn_blackhole::RULE,
    // Peer
    &connection_refused::RULE,
    &peer_crashed::RULE,
    &peer_host_gone::RULE,
    &peer_window_closed::RULE,
];

/// The rule of a cause.
pub fn of(cause: &str) -> Option<&'static Rule> {
    let mut all = ALL.iter().copied().chain([&UNKNOWN]);
    all.find(|rule| rule.cause == cause)
}
