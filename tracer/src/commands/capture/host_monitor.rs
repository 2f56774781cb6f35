//! What is recorded beside the events: samples of counters, sockets with trouble, changes of the network.

use std::path::Path;
use std::time::Duration;

use crate::commands::warn;
use tracer_capture::samples::{ASKED, Changes, Sampler};
use tracer_format::note::Note;
use tracer_model::event::{Detail, Event, Flow};
use tracer_model::samples::SocketKey;

/// Samples the host and collects its changes while events are captured.
pub struct HostMonitor {
    sampler: Sampler,
    every: Duration,
    changes: Option<Changes>,
    sampled_boot_ns: u64,
    /// Sockets that had trouble since the last sample.
    troubled: Vec<SocketKey>,
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

    /// What has changed, and a sample if it is time for one.
    pub fn poll(&mut self, now_boot_ns: u64) -> Vec<Note> {
        let changes = self.changes.iter_mut();
        let changes = changes.flat_map(|changes| changes.drain(now_boot_ns));
        let mut notes: Vec<_> = changes
            .map(|change| Note::Change(Box::new(change)))
            .collect();
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        // Half a second early is nearer than half a second late.
        let due = now_boot_ns
            .saturating_sub(self.sampled_boot_ns)
            .saturating_add(500_000_000)
            >= every;
        if due {
            self.sampled_boot_ns = now_boot_ns;
            notes.extend(self.sample(now_boot_ns));
        }
        notes
    }

    fn sample(&mut self, now_boot_ns: u64) -> Option<Note> {
        let troubled = std::mem::take(&mut self.troubled);
        let mut sample = self.sampler.sample(now_boot_ns)?;
        sample.sockets = self.sampler.sample_sockets(&troubled);
        Some(Note::Sample(Box::new(sample)))
    }

    /// The last look, at the end of a run that is judged: also before its time.
    pub fn last(&mut self, now_boot_ns: u64) -> Vec<Note> {
        let mut notes = self.poll(now_boot_ns);
        if self.sampled_boot_ns != now_boot_ns {
            notes.extend(self.sample(now_boot_ns));
        }
        notes
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
