//! What processes have sent to hosts, summed up. Bounded.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_common::{Owner, PeerKey, PeerSums, TrafficRow};
use tracer_model::samples::{PeerTraffic, PortConnections};

use super::Row;

/// Pairs of a process and a host that are kept apart.
const MOST_PAIRS: usize = 4_096;
/// Round-trip times of which the median is taken, per pair.
const MOST_TIMES: usize = 256;

/// Sums per process and remote host.
#[derive(Debug, Default)]
pub struct Traffic {
    pairs: HashMap<Pair, Sum>,
    /// Sockets and connections whose pair found no place.
    pub left_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pair {
    pid: u32,
    start_ns: u64,
    netns: u32,
    remote: IpAddr,
}

#[derive(Debug, Default)]
struct Sum {
    owner: Owner,
    sockets: u64,
    sent_segments: u64,
    retransmitted_segments: u64,
    delivered_segments: u64,
    dsack_dups: u64,
    sent_bytes: u64,
    acked_bytes: u64,
    closed_sockets: u64,
    /// By remote port: connects that reached ESTABLISHED, and graceful closes.
    connections: BTreeMap<Option<u16>, [u64; 2]>,
    /// Eighths of microseconds.
    times: Vec<u32>,
    /// Jiffies busy, limited by the peer's window, limited by the send buffer.
    chronos: [u64; 3],
}

impl Traffic {
    /// Adds a row of the walk.
    pub fn take(&mut self, row: Row) {
        match row {
            Row::Traffic(row) => self.add(&row),
            Row::Peer(key, sums) => self.add_connections(&key, &sums),
            Row::LeftOut(connections) => self.left_out += connections,
            Row::Waiting(_) => {}
        }
    }

    /// Adds what a socket has sent.
    fn add(&mut self, row: &TrafficRow) {
        let pair = Pair {
            pid: row.owner.pid,
            start_ns: row.owner.start_ns,
            netns: row.netns,
            remote: address(row.family, row.remote),
        };
        let Some(sum) = self.sum(pair, &row.owner) else {
            self.left_out += 1;
            return;
        };
        sum.sockets += 1;
        sum.delivered_segments += u64::from(row.delivered_segments);
        sum.dsack_dups += u64::from(row.dsack_dups);
        sum.sent_segments += u64::from(row.sent_segments);
        sum.retransmitted_segments += u64::from(row.retransmitted_segments);
        sum.sent_bytes = sum.sent_bytes.saturating_add(row.sent_bytes);
        sum.acked_bytes = sum.acked_bytes.saturating_add(row.acked_bytes);
        for (sum, jiffies) in sum.chronos.iter_mut().zip(row.chrono_jiffies) {
            *sum += u64::from(jiffies);
        }
        if row.srtt_us8 != 0 && sum.times.len() < MOST_TIMES {
            sum.times.push(row.srtt_us8);
        }
    }

    /// Adds connections that were established, and those that have closed.
    fn add_connections(&mut self, key: &PeerKey, sums: &PeerSums) {
        let pair = Pair {
            pid: key.pid,
            start_ns: key.start_ns,
            netns: key.netns,
            remote: address(key.family.into(), key.remote),
        };
        let Some(sum) = self.sum(pair, &sums.owner) else {
            self.left_out += sums.established + sums.closed_sockets;
            return;
        };
        sum.closed_sockets += sums.closed_sockets;
        sum.sent_segments += sums.sent_segments;
        sum.retransmitted_segments += sums.retransmitted_segments;
        sum.delivered_segments += sums.delivered_segments;
        sum.dsack_dups += sums.dsack_dups;
        sum.sent_bytes = sum.sent_bytes.saturating_add(sums.sent_bytes);
        sum.acked_bytes = sum.acked_bytes.saturating_add(sums.acked_bytes);
        if sums.established + sums.graceful_closes > 0 {
            let port = (key.port != 0).then(|| u16::from_be(key.port));
            let [established, closed] = sum.connections.entry(port).or_default();
            *established += sums.established;
            *closed += sums.graceful_closes;
        }
    }

    /// The sum of this pair; `None` when there is no room for another one.
    fn sum(&mut self, pair: Pair, owner: &Owner) -> Option<&mut Sum> {
        if self.pairs.len() >= MOST_PAIRS && !self.pairs.contains_key(&pair) {
            return None;
        }
        let sum = self.pairs.entry(pair).or_default();
        sum.owner = *owner;
        Some(sum)
    }

    /// A row per process and host, in their order. `hz`: jiffies per second.
    pub fn rows(self, hz: u64) -> Vec<(Owner, IpAddr, PeerTraffic)> {
        let mut pairs: Vec<_> = self.pairs.into_iter().collect();
        pairs.sort_by_key(|(pair, _)| *pair);
        pairs
            .into_iter()
            .map(|(pair, sum)| (sum.owner, pair.remote, peer(pair, sum, hz)))
            .collect()
    }
}

fn address(family: u32, octets: [u8; 16]) -> IpAddr {
    if family == libc::AF_INET as u32 {
        let [a, b, c, d, ..] = octets;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        Ipv6Addr::from(octets).to_canonical()
    }
}

fn peer(pair: Pair, mut sum: Sum, hz: u64) -> PeerTraffic {
    sum.times.sort_unstable();
    let us = |eighths: Option<&u32>| eighths.map(|eighths| u64::from(eighths >> 3));
    let [only_busy, window, buffer] = sum.chronos;
    let time = |jiffies: u64| (jiffies * 1_000_000).checked_div(hz);
    let comm = tracer_model::event::RawName::from_padded(&sum.owner.comm);
    PeerTraffic {
        pid: (pair.pid != 0).then_some(pair.pid),
        started_boot_ns: (pair.start_ns != 0).then_some(pair.start_ns),
        comm: comm.map(|comm| comm.lossy().into_owned()),
        netns: (pair.netns != 0).then_some(pair.netns),
        remote: pair.remote.to_string(),
        sockets: sum.sockets,
        sent_segments: sum.sent_segments,
        retransmitted_segments: sum.retransmitted_segments,
        delivered_segments: Some(sum.delivered_segments),
        dsack_dups: Some(sum.dsack_dups),
        sent_bytes: sum.sent_bytes,
        acked_bytes: sum.acked_bytes,
        closed_sockets: Some(sum.closed_sockets),
        connections: sum
            .connections
            .into_iter()
            .map(|(port, [established, graceful_closes])| PortConnections {
                port,
                established,
                graceful_closes,
            })
            .collect(),
        srtt_us_min: us(sum.times.first()),
        srtt_us_median: us(sum.times.get(sum.times.len() / 2)),
        busy_us: time(only_busy + window + buffer),
        rwnd_limited_us: time(window),
        sndbuf_limited_us: time(buffer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: u32, last: u8, srtt_us: u32) -> TrafficRow {
        let mut remote = [0; 16];
        remote[..4].copy_from_slice(&[10, 0, 0, last]);
        TrafficRow {
            owner: Owner {
                pid,
                start_ns: 1,
                ..Owner::default()
            },
            remote,
            family: libc::AF_INET as u32,
            sent_segments: 10,
            retransmitted_segments: 1,
            sent_bytes: 1000,
            acked_bytes: 900,
            srtt_us8: srtt_us << 3,
            ..TrafficRow::default()
        }
    }

    #[test]
    fn sockets_of_one_process_to_one_host_are_one_row() {
        let mut traffic = Traffic::default();
        for (pid, last, us) in [(1, 1, 300), (1, 1, 100), (1, 2, 0), (2, 1, 7), (1, 1, 200)] {
            traffic.add(&row(pid, last, us));
        }
        let rows = traffic.rows(100);
        let short: Vec<_> = rows
            .iter()
            .map(|(_, _, peer)| (peer.pid, peer.remote.as_str(), peer.sockets))
            .collect();
        assert_eq!(
            short,
            [
                (Some(1), "10.0.0.1", 3),
                (Some(1), "10.0.0.2", 1),
                (Some(2), "10.0.0.1", 1)
            ]
        );
        let first = &rows[0].2;
        assert_eq!((first.sent_segments, first.sent_bytes), (30, 3000));
        assert_eq!((first.acked_bytes, first.retransmitted_segments), (2700, 3));
        assert_eq!(
            (first.srtt_us_min, first.srtt_us_median),
            (Some(100), Some(200))
        );
        assert_eq!(rows[1].2.srtt_us_min, None);
    }

    #[test]
    fn connections_are_counted_by_port_and_what_closed_ones_had_sent_is_in_the_sums() {
        let mut traffic = Traffic::default();
        traffic.add(&row(1, 1, 300));
        let owner = row(1, 1, 0).owner;
        let mut key = PeerKey {
            pid: 1,
            start_ns: 1,
            remote: row(1, 1, 0).remote,
            family: libc::AF_INET as u16,
            ..PeerKey::default()
        };
        for (port, established, closed) in [(443_u16, 5, 2), (80, 1, 1), (0, 0, 3)] {
            key.port = port.to_be();
            let sums = PeerSums {
                owner,
                established,
                graceful_closes: closed,
                closed_sockets: closed,
                sent_segments: 10 * closed,
                sent_bytes: 100 * closed,
                ..PeerSums::default()
            };
            traffic.take(Row::Peer(key, Box::new(sums)));
        }
        traffic.take(Row::LeftOut(4));
        assert_eq!(traffic.left_out, 4);
        let rows = traffic.rows(100);
        let [(_, _, peer)] = &rows[..] else {
            panic!("{rows:?}")
        };
        let by_port: Vec<_> = peer
            .connections
            .iter()
            .map(|one| (one.port, one.established, one.graceful_closes))
            .collect();
        assert_eq!(by_port, [(None, 0, 3), (Some(80), 1, 1), (Some(443), 5, 2)]);
        assert_eq!((peer.sockets, peer.closed_sockets), (1, Some(6)));
        assert_eq!((peer.sent_segments, peer.sent_bytes), (70, 1600));
    }

    #[test]
    fn pairs_beyond_the_bound_are_counted() {
        let mut traffic = Traffic::default();
        for pid in 1..=MOST_PAIRS as u32 + 5 {
            traffic.add(&row(pid, 1, 1));
        }
        assert_eq!(traffic.left_out, 5);
        assert_eq!(traffic.rows(100).len(), MOST_PAIRS);
    }
}
