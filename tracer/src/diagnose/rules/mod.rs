//! The table of all rules. A rule is one file; to add one, write the file and name it here.

mod connection_refused;
mod oversized_datagram;
mod path_blackhole;
mod peer_crashed;
mod syn_blackhole;
pub(super) mod unknown;

use super::rule::Rule;
pub use unknown::UNKNOWN;

/// Every rule, by layer. The order does not matter: each judges by itself.
pub static ALL: &[&Rule] = &[
    // Application
    &oversized_datagram::RULE,
    // Network
    &path_blackhole::RULE,
    &syn_blackhole::RULE,
    // Peer
    &connection_refused::RULE,
    &peer_crashed::RULE,
];

/// The rule of a cause.
pub fn of(cause: &str) -> Option<&'static Rule> {
    let mut all = ALL.iter().copied().chain([&UNKNOWN]);
    all.find(|rule| rule.cause == cause)
}
