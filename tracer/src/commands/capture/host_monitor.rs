//! What is recorded beside the events: samples of counters, sockets with trouble, changes of the network.

use std::path::Path;
use std::time::Duration;

use super::walks::Walks;
use crate::commands::warn;
use tracer_capture::samples::{ASKED, Changes, Sampler};
use tracer_model::event::{Detail, Event, Flow};
use tracer_model::samples::{Change, PeerTraffic, Sample, SocketKey, SocketWalk};

/// Samples the host and collects its changes while events are captured.
pub struct HostMonitor {
    sampler: Sampler,
    every: Duration,
    changes: Option<Changes>,
    sampled_boot_ns: u64,
    /// Sockets that had trouble since the last sample.
    troubled: Vec<SocketKey>,
    /// What walks over the open sockets have found since then.
    walks: Option<Walks>,
}

impl HostMonitor {
    /// While there are privileges.
    pub fn open(every: Duration) -> Self {
        Self {
            sampler: Sampler::open(Path::new("/")),
            every,
            changes: changes(),
            sampled_boot_ns: 0,
            troubled: Vec::new(),
            walks: None,
        }
    }

    /// From here on is counted.
    pub fn begin(&mut self, now_boot_ns: u64) {
        self.sampled_boot_ns = now_boot_ns;
        // The first only takes the base.
        let _ = self.sampler.sample(now_boot_ns);
    }

    /// An event with trouble has its socket sampled.
    pub fn event(&mut self, event: &Event) {
        if let Some(flow) = &event.flow
            && !matches!(event.detail, Detail::Send(_) | Detail::Lost(_))
        {
            self.sample_socket(flow);
        }
    }

    /// The socket of this flow is looked at in the next sample.
    pub fn sample_socket(&mut self, flow: &Flow) {
        if self.troubled.len() >= ASKED {
            return;
        }
        if let Some(key) = SocketKey::of(flow)
            && !self.troubled.contains(&key)
        {
            self.troubled.push(key);
        }
    }

    /// What a walk over the open sockets has found.
    pub fn walked(&mut self, walk: &SocketWalk, traffic: &[PeerTraffic], left_out: u64) {
        let walks = self.walks.get_or_insert_default();
        walks.add(walk, traffic, left_out);
    }

    /// What has changed since the last call.
    pub fn changes(&mut self, now_boot_ns: u64) -> Vec<Change> {
        let changes = self.changes.iter_mut();
        changes
            .flat_map(|changes| changes.drain(now_boot_ns))
            .collect()
    }

    /// A sample, if it is time for one; at the end of a run also before its time.
    pub fn sample(&mut self, now_boot_ns: u64, is_end: bool) -> Option<Sample> {
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        let since = now_boot_ns.saturating_sub(self.sampled_boot_ns);
        // Half a second early is nearer than half a second late.
        if since.saturating_add(500_000_000) < every && !(is_end && since > 0) {
            return None;
        }
        self.sampled_boot_ns = now_boot_ns;
        let troubled = std::mem::take(&mut self.troubled);
        let mut sample = self.sampler.sample(now_boot_ns)?;
        sample.sockets = self.sampler.sample_sockets(&troubled);
        if let Some(walks) = self.walks.take() {
            walks.put(&mut sample);
        }
        Some(sample)
    }
}

/// Changes are a help, not what a recording is for.
fn changes() -> Option<Changes> {
    Changes::open()
        .inspect_err(|error| {
            warn(&format!(
                "changes of routes, neighbours, links and addresses are not recorded: {error}"
            ));
        })
        .ok()
}
