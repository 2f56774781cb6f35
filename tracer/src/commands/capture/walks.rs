//! What several walks over the open sockets have found, as one sample has it.

use std::collections::BTreeMap;

use tracer_model::samples::{PeerTraffic, Sample, SocketWalk};

/// Rows that a sample lists; those with the most data.
const MOST_ROWS: usize = 512;

/// Process, its start, network namespace, destination.
type Peer = (Option<u32>, Option<u64>, Option<u32>, String);

/// The walks since the last sample.
#[derive(Debug, Default)]
pub struct Walks {
    walk: SocketWalk,
    traffic: BTreeMap<Peer, PeerTraffic>,
    left_out: u64,
}

impl Walks {
    /// Adds a walk. Memory is bounded by what one walk may give times the walks of a sample.
    pub fn add(&mut self, walk: &SocketWalk, traffic: &[PeerTraffic], left_out: u64) {
        self.walk = SocketWalk {
            walks: self.walk.walks + walk.walks,
            took_us: self.walk.took_us + walk.took_us,
            ..walk.clone()
        };
        self.left_out += left_out;
        for row in traffic {
            let key = (row.pid, row.started_boot_ns, row.netns, row.remote.clone());
            match self.traffic.get_mut(&key) {
                None => _ = self.traffic.insert(key, row.clone()),
                Some(known) => merge(known, row),
            }
        }
    }

    /// Puts all of it into a sample.
    pub fn put(self, sample: &mut Sample) {
        let mut rows: Vec<_> = self.traffic.into_values().collect();
        let mut left_out = self.left_out;
        if rows.len() > MOST_ROWS {
            rows.sort_by_key(|row| std::cmp::Reverse((row.retransmitted_segments, row.sent_bytes)));
            left_out += (rows.len() - MOST_ROWS) as u64;
            rows.truncate(MOST_ROWS);
        }
        if left_out > 0 {
            sample.left_out.insert("traffic".to_owned(), left_out);
        }
        sample.traffic = Some(rows);
        sample.walk = Some(self.walk);
    }
}

/// Sockets that have sent in several walks are the same ones: the most of one walk.
fn merge(known: &mut PeerTraffic, more: &PeerTraffic) {
    known.sockets = known.sockets.max(more.sockets);
    known.sent_segments += more.sent_segments;
    known.retransmitted_segments += more.retransmitted_segments;
    known.sent_bytes += more.sent_bytes;
    known.acked_bytes += more.acked_bytes;
    known.srtt_us_min = match (known.srtt_us_min, more.srtt_us_min) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    known.srtt_us_median = more.srtt_us_median.or(known.srtt_us_median);
}
