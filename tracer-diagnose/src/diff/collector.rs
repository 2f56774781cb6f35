//! What is taken of a recording for a comparison, beside what a diagnosis takes: every count with the time at which
//! it came, every stall with its length. In bounded memory.

use std::collections::BTreeMap;
use tracer_model::linux;

use serde_json::{Map, Value};

use super::stall::{Key, Stalls};
use super::values::{Cells, Values};
use tracer_model::event::{Cause, Detail, Event, EventKind, Outcome, TcpState};
use tracer_model::samples::Sample;

/// Errnos that are kept apart per kind.
const ERRNOS: usize = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountKind {
    /// Sends that failed; a send that would block is none.
    SendErrors,
    SendError(u32),
    /// Connections that the kernel ended with an error.
    Disconnects,
    Disconnect(u32),
    /// Times that a timer sent data, a SYN or a SYN-ACK again.
    Timeouts,
    /// Retransmitted segments, as counted by events.
    Resent,
    /// Sends that took something.
    Sends,
}

/// Events of one kind.
#[derive(Clone, Debug, Default)]
pub struct Count {
    pub all: u64,
    /// Of them, in the network namespace whose counters were sampled.
    pub sampled: u64,
    /// When they came.
    pub cells: Cells,
}

/// What the host's own counters said, summed over the samples.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Time that was sampled, nanoseconds.
    pub sampled_ns: u64,
    /// Segments that left with something new in them (`Tcp.OutSegs`).
    pub segments: u64,
    /// `Tcp.RetransSegs`.
    pub resent_segments: u64,
    /// UDP over IPv4 and IPv6.
    pub datagrams: u64,
    /// Segments sent again and new segments, over time.
    pub cells: Vec<(f64, f64)>,
    /// Samples per cell.
    each: usize,
    filled: usize,
}

/// Collects from a recording what a comparison needs.
#[derive(Clone, Debug, Default)]
pub struct DiffCollector {
    pub counts: BTreeMap<CountKind, Count>,
    pub traffic: Traffic,
    /// How long connections stood still, and the longest time-out in each, microseconds.
    pub stalls: Stalls,
    /// How long sends blocked before they failed, microseconds.
    pub blocked_us: Values,
    netns: Option<u32>,
}

impl DiffCollector {
    /// Takes an event; `netns` is the namespace that samples are of, where that is known.
    pub fn event(&mut self, wall_ns: i64, event: &Event) {
        let flow = event.flow.as_ref();
        let key = |request: bool| flow.map(|flow| Key::new(flow, request));
        let count = event.count;
        match &event.detail {
            Detail::SendError(error) => {
                if error.errno != linux::EAGAIN as u32 {
                    self.add(CountKind::SendErrors, wall_ns, event, count);
                }
                self.add_errno(CountKind::SendError, error.errno, wall_ns, event);
                if let Some(us) = error.blocked_us.filter(|us| *us > 0) {
                    self.blocked_us.add(us as f64);
                }
            }
            Detail::Connection(change) => {
                if let Some(errno) = change.errno.filter(|errno| *errno != 0) {
                    self.add(CountKind::Disconnects, wall_ns, event, count);
                    self.add_errno(CountKind::Disconnect, errno, wall_ns, event);
                }
                let ended = matches!(
                    change.to,
                    Some(TcpState::Established | TcpState::Close | TcpState::TimeWait)
                );
                if let Some(key) = key(false).filter(|_| ended) {
                    self.stalls.end(&key, wall_ns);
                }
            }
            Detail::Retransmit(resent) => {
                if matches!(resent.cause, Cause::Rto | Cause::Syn | Cause::SynAck)
                    && resent.trigger == tracer_model::event::Trigger::Timer
                {
                    self.add(CountKind::Timeouts, wall_ns, event, count);
                    let rto_us = event.tcp.as_ref().and_then(|tcp| tcp.rto_us);
                    let key = key(resent.cause == Cause::SynAck);
                    if let (Some(key), Some(rto_us)) = (key, rto_us) {
                        self.stalls
                            .timeout(key, wall_ns, rto_us, resent.attempt.unwrap_or(1));
                    }
                } else if let Some(key) = key(false)
                    && resent.trigger == tracer_model::event::Trigger::Ack
                {
                    // Something has been acknowledged.
                    self.stalls.end(&key, wall_ns);
                }
                if resent.outcome == Outcome::Sent {
                    let segments = resent.segments.unwrap_or(count);
                    self.add(CountKind::Resent, wall_ns, event, segments);
                }
            }
            Detail::Send(_) => self.add(CountKind::Sends, wall_ns, event, count),
            Detail::Drop(_)
            | Detail::Device(_)
            | Detail::Reset(_)
            | Detail::Waiting(_)
            | Detail::Blocked(_)
            | Detail::Lost(_) => {}
        }
    }

    fn add_errno(&mut self, what: fn(u32) -> CountKind, errno: u32, wall_ns: i64, event: &Event) {
        if self.counts.contains_key(&what(errno)) || self.counts.len() < 2 * ERRNOS {
            self.add(what(errno), wall_ns, event, event.count);
        }
    }

    fn add(&mut self, what: CountKind, wall_ns: i64, event: &Event, count: u64) {
        let netns = event.flow.as_ref().and_then(|flow| flow.netns);
        let elsewhere = netns.is_some() && self.netns.is_some() && netns != self.netns;
        let known = self.counts.entry(what).or_default();
        known.all = known.all.saturating_add(count);
        if !elsewhere {
            known.sampled = known.sampled.saturating_add(count);
        }
        known.cells.add(wall_ns, count);
    }

    /// The network namespace that the samples are of, from the header of the trace.
    pub fn header(&mut self, facts: &Map<String, Value>) {
        let netns = facts.get("netns").and_then(Value::as_u64);
        self.netns = netns.and_then(|netns| u32::try_from(netns).ok());
    }

    /// Takes a sample of the host's counters.
    pub fn sample(&mut self, sample: &Sample) {
        let Some(counters) = &sample.counters else {
            return;
        };
        let reset = |name: &str| sample.reset.iter().any(|one| one == name);
        const NAMES: [&str; 4] = [
            "Tcp.OutSegs",
            "Tcp.RetransSegs",
            "Udp.OutDatagrams",
            "Udp6OutDatagrams",
        ];
        if NAMES.into_iter().any(reset) {
            return;
        }
        // Only what has grown is there.
        let [segments, resent, udp4, udp6] =
            NAMES.map(|name| counters.get(name).copied().unwrap_or(0));
        self.traffic.add(
            sample.interval_ns,
            segments,
            resent,
            udp4.saturating_add(udp6),
        );
    }

    /// The end of the recording: stalls that go on are as long as they are known to be.
    pub fn finish(&mut self) {
        self.stalls.finish();
    }

    /// How many of a kind, and in which cells.
    pub fn count(&self, what: CountKind) -> Count {
        self.counts.get(&what).cloned().unwrap_or_default()
    }

    /// The event kind from which this is counted.
    pub const fn event_kind(what: CountKind) -> EventKind {
        match what {
            CountKind::SendErrors | CountKind::SendError(_) => EventKind::SendError,
            CountKind::Disconnects | CountKind::Disconnect(_) => EventKind::Connection,
            CountKind::Timeouts | CountKind::Resent => EventKind::Retransmit,
            CountKind::Sends => EventKind::Send,
        }
    }
}

impl Traffic {
    /// No more cells than this, and then two of them become one.
    const CELLS: usize = 400;

    fn add(&mut self, interval_ns: u64, segments: u64, resent: u64, datagrams: u64) {
        self.sampled_ns = self.sampled_ns.saturating_add(interval_ns);
        self.segments = self.segments.saturating_add(segments);
        self.resent_segments = self.resent_segments.saturating_add(resent);
        self.datagrams = self.datagrams.saturating_add(datagrams);
        let each = self.each.max(1);
        match self.cells.last_mut().filter(|_| self.filled < each) {
            Some(last) => {
                last.0 += resent as f64;
                last.1 += segments as f64;
                self.filled += 1;
            }
            None => {
                self.cells.push((resent as f64, segments as f64));
                self.filled = 1;
            }
        }
        if self.cells.len() >= Self::CELLS && self.filled == each {
            self.cells = in_twos(&self.cells);
            self.each = each * 2;
            self.filled = self.each;
        }
    }

    /// All that left the host: new segments and datagrams.
    pub const fn packets(&self) -> u64 {
        self.segments.saturating_add(self.datagrams)
    }
}

fn in_twos(cells: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let twos = cells.chunks(2);
    twos.map(|two| {
        let sum = |part: fn(&(f64, f64)) -> f64| two.iter().map(part).sum();
        (sum(|cell| cell.0), sum(|cell| cell.1))
    })
    .collect()
}
