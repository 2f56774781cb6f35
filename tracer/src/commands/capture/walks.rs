//! What several walks over the open sockets have found, as one sample has it.

use std::collections::BTreeMap;

use tracer_model::samples::{PeerTraffic, PortConnections, Sample, SocketWalk};

/// Rows that a sample lists; those with the most data.
const MOST_ROWS: usize = 512;

/// Remote ports that a row lists; those with the most connections.
const MOST_PORTS: usize = 32;

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
        rows.iter_mut()
            .for_each(|row| fewer_ports(&mut row.connections));
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
    known.delivered_segments = sum(known.delivered_segments, more.delivered_segments);
    known.dsack_dups = sum(known.dsack_dups, more.dsack_dups);
    known.closed_sockets = sum(known.closed_sockets, more.closed_sockets);
    for one in &more.connections {
        add(&mut known.connections, one);
    }
    known.srtt_us_min = match (known.srtt_us_min, more.srtt_us_min) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    for (known, more) in [
        (&mut known.busy_us, more.busy_us),
        (&mut known.rwnd_limited_us, more.rwnd_limited_us),
        (&mut known.sndbuf_limited_us, more.sndbuf_limited_us),
    ] {
        *known = match (*known, more) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
    known.srtt_us_median = more.srtt_us_median.or(known.srtt_us_median);
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one? + other?)
}

fn add(all: &mut Vec<PortConnections>, more: &PortConnections) {
    match all.iter_mut().find(|known| known.port == more.port) {
        None => all.push(more.clone()),
        Some(known) => {
            known.established += more.established;
            known.graceful_closes += more.graceful_closes;
        }
    }
}

/// Adds up what goes beyond the ports that are listed, and puts them in order.
fn fewer_ports(all: &mut Vec<PortConnections>) {
    if all.len() > MOST_PORTS {
        all.sort_by_key(|one| std::cmp::Reverse(one.established + one.graceful_closes));
        for one in all.split_off(MOST_PORTS - 1) {
            add(all, &PortConnections { port: None, ..one });
        }
    }
    all.sort_by_key(|one| one.port);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ports: impl Iterator<Item = u16>) -> PeerTraffic {
        let connections = ports.map(|port| PortConnections {
            port: Some(port),
            established: u64::from(port),
            graceful_closes: 1,
        });
        PeerTraffic {
            sockets: 2,
            sent_segments: 5,
            closed_sockets: Some(1),
            connections: connections.collect(),
            ..PeerTraffic::default()
        }
    }

    #[test]
    fn connections_of_all_walks_add_up_and_those_of_many_ports_stand_together() {
        let mut walks = Walks::default();
        let walk = SocketWalk::default();
        walks.add(&walk, &[row(1..=40)], 0);
        walks.add(&walk, &[row(40..=41)], 0);
        let mut sample = Sample::default();
        walks.put(&mut sample);
        let rows = sample.traffic.expect("the walks");
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.sockets, row.sent_segments), (2, 10));
        assert_eq!(row.closed_sockets, Some(2));
        let ports: Vec<_> = row.connections.iter().map(|one| one.port).collect();
        assert_eq!((ports.len(), ports[0], ports[1]), (32, None, Some(11)));
        let rest = &row.connections[0];
        assert_eq!((rest.established, rest.graceful_closes), (55, 10));
        let last = &row.connections[30];
        assert_eq!((last.port, last.established), (Some(40), 80));
    }
}
