//! How the CPUs of the host keep up with packets that arrive.

use serde::{Deserialize, Serialize};

/// What the CPUs did since the previous sample, all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Softnet {
    /// Packets that were taken off the queues of the network stack.
    pub processed: u64,
    /// Packets that were dropped because a CPU's backlog was full (`net.core.netdev_max_backlog`).
    pub dropped: u64,
    /// How often a CPU had to stop with work left (`net.core.netdev_budget`).
    pub time_squeeze: u64,
    /// Packets that wait in the backlogs now; `None` on kernels that do not say (before 5.14).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_packets: Option<u64>,
    /// How many CPUs this is about.
    pub cpus: u32,
    /// The CPU with most drops, then squeezes, then packets; `None` when nothing happened on any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<CpuSoftnet>,
}

/// One CPU's share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuSoftnet {
    pub cpu: u32,
    pub processed: u64,
    pub dropped: u64,
    pub time_squeeze: u64,
}
