//! Sockets that wait: from the walk over all of them to the sinks.

use anyhow::Result;
use tracer_common::event_kind;

use super::Capture;
use crate::sink::Sink;
use tracer_capture::decode::{self, Names as _};
use tracer_capture::sys;
use tracer_capture::walk::{Told, Traffic, Walked};
use tracer_model::event::{Attribution, Endpoint, EventKind, Flow, Owner, RawName};
use tracer_model::filter::FilterSpec;
use tracer_model::samples::PeerTraffic;

impl Capture {
    /// Walks over the open sockets if it is time to, and hands on what it finds.
    pub(super) fn walk(&mut self, sink: &mut dyn Sink) {
        let Some(walker) = &mut self.walker else {
            return;
        };
        let loaded = &mut self.loaded;
        let walked = walker.poll(&sys::boot_clock_ns, &sys::thread_cpu_ns, &mut |each| {
            loaded.walk_sockets(each)
        });
        if let Some(walked) = walked {
            self.walked(walked, sink);
        }
    }

    /// Walks once more, while the BPF programs are still there.
    pub(super) fn last_walk(&mut self) -> Option<Walked> {
        let loaded = &mut self.loaded;
        let walker = self.walker.as_mut()?;
        walker.last(&sys::boot_clock_ns, &sys::thread_cpu_ns, &mut |each| {
            loaded.walk_sockets(each)
        })
    }

    /// Hands on what the last walk has found, and what came to connections until the BPF programs were gone.
    pub(super) fn last_walked(&mut self, mut walked: Walked, sink: &mut dyn Sink) -> Result<()> {
        let traffic = &mut walked.traffic;
        self.loaded.last_peers(&mut |row| traffic.take(row))?;
        self.walked(walked, sink);
        Ok(())
    }

    /// Hands on what a walk has found.
    fn walked(&mut self, walked: Walked, sink: &mut dyn Sink) {
        let Walked {
            told,
            traffic,
            walk,
        } = walked;
        self.owners.begin();
        for told in told {
            self.waits(told, sink);
        }
        if let Some(host_monitor) = &mut self.host_monitor {
            let left_out = traffic.left_out;
            let rows = wanted(&self.filter, traffic, self.names.hz());
            host_monitor.walked(&walk, &rows, left_out);
        }
    }

    fn waits(&mut self, told: Told, sink: &mut dyn Sink) {
        let waiter = &told.waiter;
        let owner = self.owners.resolve_among(&waiter.row.head, &waiter.holders);
        let event = decode::waiting(&told, owner, &self.names);
        self.tally.made(event_kind::WAITING);
        if self.filter.matches(&event) {
            self.tally.delivered(event_kind::WAITING);
            self.one(&event, sink);
        } else {
            self.tally.filtered_emitted(event_kind::WAITING);
        }
    }
}

/// Rows of processes and hosts that the filter takes. What it asks of a port or cgroup no row has.
fn wanted(filter: &FilterSpec, traffic: Traffic, hz: u64) -> Vec<PeerTraffic> {
    let rows = traffic.rows(hz).into_iter();
    rows.filter(|(owner, remote, row)| {
        let owner = Owner {
            grade: Attribution::Seeded,
            pid: Some(owner.pid),
            comm: RawName::from_padded(&owner.comm),
            started_boot_ns: Some(owner.start_ns),
            ..Owner::default()
        };
        let flow = Flow {
            proto: "tcp".into(),
            local: None,
            remote: Some(Endpoint::Address(*remote)),
            netns: row.netns,
            socket: None,
        };
        filter.matches_parts(EventKind::Waiting, None, &owner, Some(&flow))
    })
    .map(|(_, _, row)| row)
    .collect()
}
