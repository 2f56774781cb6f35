//! What processes have sent to hosts, summed up. Bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_common::{Owner, TrafficRow};
use tracer_model::samples::PeerTraffic;

/// Pairs of a process and a host that are kept apart.
const MOST_PAIRS: usize = 4_096;
/// Round-trip times of which the median is taken, per pair.
const MOST_TIMES: usize = 256;

/// Sums per process and remote host.
#[derive(Debug, Default)]
pub struct Traffic {
    pairs: HashMap<Pair, Sum>,
    /// Sockets whose pair found no place.
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
    sent_bytes: u64,
    acked_bytes: u64,
    /// Eighths of microseconds.
    times: Vec<u32>,
}

impl Traffic {
    /// Adds what a socket has sent.
    pub fn add(&mut self, row: &TrafficRow) {
        let remote = if row.family == libc::AF_INET as u32 {
            let [a, b, c, d, ..] = row.remote;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            Ipv6Addr::from(row.remote).to_canonical()
        };
        let pair = Pair {
            pid: row.owner.pid,
            start_ns: row.owner.start_ns,
            netns: row.netns,
            remote,
        };
        if self.pairs.len() >= MOST_PAIRS && !self.pairs.contains_key(&pair) {
            self.left_out += 1;
            return;
        }
        let sum = self.pairs.entry(pair).or_default();
        sum.owner = row.owner;
        sum.sockets += 1;
        sum.sent_segments += u64::from(row.sent_segments);
        sum.retransmitted_segments += u64::from(row.retransmitted_segments);
        sum.sent_bytes = sum.sent_bytes.saturating_add(row.sent_bytes);
        sum.acked_bytes = sum.acked_bytes.saturating_add(row.acked_bytes);
        if row.srtt_us8 != 0 && sum.times.len() < MOST_TIMES {
            sum.times.push(row.srtt_us8);
        }
    }

    /// A row per process and host, in their order.
    pub fn rows(self) -> Vec<(Owner, IpAddr, PeerTraffic)> {
        let mut pairs: Vec<_> = self.pairs.into_iter().collect();
        pairs.sort_by_key(|(pair, _)| *pair);
        pairs
            .into_iter()
            .map(|(pair, sum)| (sum.owner, pair.remote, peer(pair, sum)))
            .collect()
    }
}

fn peer(pair: Pair, mut sum: Sum) -> PeerTraffic {
    sum.times.sort_unstable();
    let us = |eighths: Option<&u32>| eighths.map(|eighths| u64::from(eighths >> 3));
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
        sent_bytes: sum.sent_bytes,
        acked_bytes: sum.acked_bytes,
        srtt_us_min: us(sum.times.first()),
        srtt_us_median: us(sum.times.get(sum.times.len() / 2)),
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
        let rows = traffic.rows();
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
    fn pairs_beyond_the_bound_are_counted() {
        let mut traffic = Traffic::default();
        for pid in 1..=MOST_PAIRS as u32 + 5 {
            traffic.add(&row(pid, 1, 1));
        }
        assert_eq!(traffic.left_out, 5);
        assert_eq!(traffic.rows().len(), MOST_PAIRS);
    }
}
