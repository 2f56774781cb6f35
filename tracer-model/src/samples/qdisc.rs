//! What happened in a queueing discipline.

use serde::{Deserialize, Serialize};

/// A queueing discipline in which something happened since the previous sample, or something waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QdiscSample {
    /// Name of the interface; `None` when it was not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub ifindex: u32,
    /// `fq_codel`, `tbf`…
    pub kind: String,
    /// As `tc` writes it: `8001:`.
    pub handle: String,
    /// `root`, or the class that it hangs from: `8001:1`.
    pub parent: String,
    /// Sent since the previous sample, as are the next four.
    pub bytes: u64,
    pub packets: u64,
    pub drops: u64,
    pub overlimits: u64,
    pub requeues: u64,
    /// Waiting now.
    pub backlog_bytes: u32,
    /// Waiting now.
    pub qlen_packets: u32,
    /// Some counters went backwards, and stand as 0: they were reset.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

impl QdiscSample {
    /// What was dropped, or had to be put back because the interface did not take it.
    pub fn harm(&self) -> u64 {
        self.drops.saturating_add(self.requeues)
    }
}
