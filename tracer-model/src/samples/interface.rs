//! What was counted on an interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Counts;

/// An interface on which something was counted since the previous sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceSample {
    pub name: String,
    pub ifindex: u32,
    /// `struct rtnl_link_stats64` by its names, and `carrier_changes`; only what grew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: Counts,
    /// `ethtool -S` by the driver's names; only what grew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ethtool: Counts,
    /// What went backwards: a counter that was reset, or a value of the driver that is no counter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<String>,
}

impl InterfaceSample {
    /// How much of what grew means harm: what the names say.
    pub fn harm(&self) -> u64 {
        let grown = self.counters.iter();
        let harm = grown.filter(|(name, _)| is_harm(name));
        harm.fold(0, |sum, (_, delta)| sum.saturating_add(*delta))
    }
}

/// Whether a counter of `struct rtnl_link_stats64` grows only when something went wrong.
pub fn is_harm(name: &str) -> bool {
    // Received on purpose, although nobody wanted it.
    !matches!(name, "rx_nohandler" | "rx_otherhost_dropped")
        && ["error", "drop", "missed", "collisions", "carrier"]
            .iter()
            .any(|word| name.contains(word))
}
