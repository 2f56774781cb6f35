//! Faults of this host: its firewall, its queues, its devices, its limits.

use super::Scenario;

pub const ALL: &[Scenario] = &[];
