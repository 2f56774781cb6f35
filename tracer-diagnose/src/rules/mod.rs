//! The table of all rules. A rule is one file; to add one, write the file and name it here.

mod accept_queue_overflow;
mod ack_loss;
mod address_conflict;
mod attempts;
mod blocked_writer;
mod bpf_drop;
mod bufferbloat;
mod common;
mod connection_refused;
mod conntrack_full;
mod destination_loss;
mod device_errors;
mod dgram_peer_gone;
mod duplicate_delivery;
mod ecomm;
mod fixed_retry;
mod half_closed;
mod icmp_reject;
mod idle_reset;
mod idle_timeout;
mod ipsec_policy;
mod keepalive_expired;
mod link;
mod link_down;
mod link_flapping;
mod link_taken_down;
mod local_address_removed;
mod local_firewall;
mod local_peer_closed;
mod loss;
mod neighbour_failed;
mod neighbour_table_full;
mod no_route;
mod oversized_datagram;
mod own_shutdown;
mod path_blackhole;
mod path_loss;
mod peer_closed_idle;
mod peer_crashed;
mod peer_host_gone;
mod peer_restarted;
mod peer_window_closed;
mod pmtu_blackhole;
mod port_in_use;
mod ports_exhausted;
mod qdisc_overflow;
mod reconnect_storm;
mod reset_by_peer_at_request;
mod route_refused;
mod rp_filter;
mod send_buffer_small;
mod slow_application;
mod slow_reader;
mod socket_misused;
mod source_address;
mod spurious_retransmits;
mod syn_blackhole;
mod syn_dropped_at_peer;
mod synchronised_retries;
mod syslog_socket_full;
mod tc_drop;
mod tcp_memory;
mod ttl_exceeded;
mod tun_reader_slow;
mod udp_device_queue_full;
mod udp_send_buffer_full;
pub(super) mod unknown;
mod user_timeout;

use super::rule::Rule;
pub(super) use connection_refused::probes;
pub(super) use link::downs as link_downs;
pub use unknown::UNKNOWN;

/// Every rule, by layer. The order does not matter: each judges by itself.
pub static ALL: &[&Rule] = &[
    // Application
    &blocked_writer::RULE,
    &dgram_peer_gone::RULE,
    &half_closed::RULE,
    &own_shutdown::RULE,
    &peer_closed_idle::RULE,
    &local_peer_closed::RULE,
    &port_in_use::RULE,
    &socket_misused::RULE,
    &source_address::RULE,
    &syslog_socket_full::RULE,
    &tun_reader_slow::RULE,
    &accept_queue_overflow::RULE,
    &oversized_datagram::RULE,
    &reconnect_storm::RULE,
    &send_buffer_small::RULE,
    &slow_application::RULE,
    &synchronised_retries::RULE,
    &udp_send_buffer_full::RULE,
    // Kernel
    &bpf_drop::RULE,
    &conntrack_full::RULE,
    &ipsec_policy::RULE,
    &link_taken_down::RULE,
    &local_address_removed::RULE,
    &neighbour_table_full::RULE,
    &route_refused::RULE,
    &rp_filter::RULE,
    &tc_drop::RULE,
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
    &ack_loss::RULE,
    &address_conflict::RULE,
    &icmp_reject::RULE,
    &keepalive_expired::RULE,
    &ttl_exceeded::RULE,
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
    &peer_restarted::RULE,
    &reset_by_peer_at_request::RULE,
    &slow_reader::RULE,
    &syn_dropped_at_peer::RULE,
    &user_timeout::RULE,
    &connection_refused::RULE,
    &fixed_retry::RULE,
    &peer_crashed::RULE,
    &peer_host_gone::RULE,
    &peer_window_closed::RULE,
];

/// The rule of a cause.
pub fn of(cause: &str) -> Option<&'static Rule> {
    let mut all = ALL.iter().copied().chain([&UNKNOWN]);
    all.find(|rule| rule.cause == cause)
}

#[cfg(test)]
mod tests;
