//! What each process sent to each host over TCP, added up over a recording: the denominator of what went wrong, and the
//! only trace of what went wrong without any event.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::Socket;
use super::observed::same;
use tracer_model::event::{Attribution, Endpoint, Flow, Owner, RawName};
use tracer_model::samples::PeerTraffic;

/// Pairs of a process and a host that are kept apart.
const MOST: usize = 20_000;
/// Remote ports of a pair that are kept apart.
const MOST_PORTS: usize = 32;
/// Part of the time with data to send in which one thing held it back.
const PART: f64 = 0.7;
/// What is shorter is no trouble, microseconds.
const LEAST_US: u64 = 2_000_000;
/// A window of which this much passes in each round trip is open: the path is long, or the receiver's memory short.
const OPEN_BYTES: f64 = 32_768.0;

/// What one process sent to one host.
#[derive(Clone, Debug)]
pub struct FlowSum {
    /// Index of the host that recorded.
    pub host: usize,
    pub owner: Owner,
    pub netns: Option<u32>,
    pub remote: IpAddr,
    /// Sockets that sent something, at most at the same time.
    pub sockets: u64,
    /// Retransmitted ones and mere ACKs are among them.
    pub sent_segments: u64,
    pub retransmitted_segments: u64,
    /// What the peer has acknowledged; `None` in older traces.
    pub delivered_segments: Option<u64>,
    /// What the peer has said that it got twice; `None` in older traces.
    pub duplicates: Option<u64>,
    pub acked_bytes: u64,
    /// Connects that were established, by remote port; a few have no port.
    pub established: BTreeMap<Option<u16>, u64>,
    /// Time in which the window of the peer held data back, although little passed.
    pub window: Option<Held>,
    /// Time in which the send buffer held data back.
    pub buffer: Option<Held>,
}

/// Time in which one thing held data back, of the samples in which it did so for most of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Microseconds, of all sockets.
    pub us: u64,
    /// Time with data to send, microseconds.
    pub busy_us: u64,
    /// What was acknowledged in these samples.
    pub acked_bytes: u64,
    /// Begin of the first of these samples, nanoseconds of the wall clock.
    pub first_ns: i64,
    /// End of the last.
    pub last_ns: i64,
}

type Key = (usize, Option<u32>, Option<u64>, Option<u32>, IpAddr);

/// All of them.
#[derive(Debug, Default)]
pub struct Flows(HashMap<Key, FlowSum>);

impl Flows {
    /// Adds a row of a sample that covers this time.
    pub fn add(&mut self, host: usize, first_ns: i64, last_ns: i64, row: &PeerTraffic) {
        let Ok(remote) = row.remote.parse::<IpAddr>() else {
            return;
        };
        let key = (host, row.pid, row.started_boot_ns, row.netns, remote);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            return;
        }
        let sum = self.0.entry(key).or_insert_with(|| FlowSum {
            host,
            owner: Owner {
                grade: Attribution::Seeded,
                pid: row.pid,
                comm: row.comm.as_deref().map(RawName::from),
                started_boot_ns: row.started_boot_ns,
                ..Owner::default()
            },
            netns: row.netns,
            remote,
            sockets: 0,
            sent_segments: 0,
            retransmitted_segments: 0,
            delivered_segments: None,
            duplicates: None,
            acked_bytes: 0,
            established: BTreeMap::new(),
            window: None,
            buffer: None,
        });
        sum.sockets = sum.sockets.max(row.sockets);
        sum.sent_segments += row.sent_segments;
        sum.retransmitted_segments += row.retransmitted_segments;
        sum.acked_bytes += row.acked_bytes;
        for (known, more) in [
            (&mut sum.delivered_segments, row.delivered_segments),
            (&mut sum.duplicates, row.dsack_dups),
        ] {
            *known = match (*known, more) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            };
        }
        for one in &row.connections {
            if sum.established.len() < MOST_PORTS || sum.established.contains_key(&one.port) {
                *sum.established.entry(one.port).or_default() += one.established;
            }
        }
        let Some(busy_us) = row.busy_us else { return };
        let mut held = |to: fn(&mut FlowSum) -> &mut Option<Held>, us: Option<u64>| {
            let us = us.unwrap_or(0);
            if us as f64 >= busy_us as f64 * PART && us > 0 {
                let held = to(sum).get_or_insert(Held {
                    first_ns,
                    ..Held::default()
                });
                held.us += us;
                held.busy_us += busy_us;
                held.acked_bytes += row.acked_bytes;
                held.last_ns = last_ns;
            }
        };
        let round_trips = busy_us as f64 / row.srtt_us_median.unwrap_or(0).max(1) as f64;
        let is_open = row.acked_bytes as f64 >= OPEN_BYTES * round_trips.max(1.0);
        if !is_open {
            held(|sum| &mut sum.window, row.rwnd_limited_us);
        }
        held(|sum| &mut sum.buffer, row.sndbuf_limited_us);
    }

    /// In the order of host, process and address; what held nothing back for long has `None`.
    pub fn sums(self) -> Vec<FlowSum> {
        let mut sums: Vec<_> = self.0.into_iter().collect();
        sums.sort_by_key(|(key, _)| *key);
        let long = |held: Option<Held>| held.filter(|held| held.us >= LEAST_US);
        sums.into_iter()
            .map(|(_, sum)| FlowSum {
                window: long(sum.window),
                buffer: long(sum.buffer),
                ..sum
            })
            .collect()
    }
}

impl FlowSum {
    /// Is it what this socket's process sends to its remote host?
    pub fn is_of(&self, socket: &Socket) -> bool {
        socket.host == self.host
            && socket.proto == "tcp"
            && same(&socket.owner, &self.owner)
            && socket.remote_address() == Some(self.remote.to_canonical())
    }

    /// A socket that stands for those of this flow, of which nothing else is known.
    pub fn stand_in(&self) -> Socket {
        let flow = Flow {
            proto: "tcp".into(),
            local: None,
            remote: Some(Endpoint::Address(self.remote)),
            netns: self.netns,
            socket: None,
        };
        let held = self.window.or(self.buffer).unwrap_or_default();
        Socket {
            owner: self.owner.clone(),
            open: true,
            first_ns: held.first_ns,
            last_ns: held.last_ns,
            ..Socket::new(self.host, &flow)
        }
    }
}
