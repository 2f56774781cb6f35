//! What is written once per trace: the host as it was when the recording began.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Route, Zone};

/// The host, and who recorded. What could not be read is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// `uname -n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `uname -r`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
    /// `uname -v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// `uname -m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Another one each time the host starts: CLOCK_BOOTTIME of two traces can be compared where it is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus_online: Option<u32>,
    /// How long the host had been up, CLOCK_BOOTTIME.
    pub uptime_ns: u64,
    /// The version of the tool.
    pub tool_version: String,
    /// How it was called.
    pub arguments: Vec<String>,
    /// As `sysctl` names them, those of [`Inventory::netns`].
    pub sysctls: BTreeMap<String, String>,
    /// Inode number of the network namespace that interfaces and settings are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<InterfaceFacts>>,
    /// Interfaces that are not described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces_left_out: Option<u64>,
    /// Routes of all tables, without those that the kernel makes of addresses; `None` when there are more than can be
    /// listed, too: some of them would say nothing about the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub ifindex: u32,
    /// `veth`, `bond`…; `None` for hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `UP`, `DOWN`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operstate: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_address: Option<String>,
    /// The interface that it belongs to, by index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbit_per_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_duplex: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_queue_packets: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_queues: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_queues: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gso_max_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gso_max_segments: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_changes: Option<u32>,
    /// Offloads and other features that are on, as `ethtool -k` names them; `None` when they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features_on: Option<Vec<String>>,
}
