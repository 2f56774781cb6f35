//! What the kernel told, socket by socket, kept small: the evidence that log lines are matched with.

use std::collections::HashMap;
use std::net::IpAddr;

use super::parse::Named;
use tracer_model::event::{
    Attribution, Cause, Detail, Direction, Endpoint, Event, Outcome, Owner, TcpState, Trigger,
};

/// Facts that are kept, over all sockets: about 40 MiB.
const FACTS: usize = 400_000;
/// Sockets that are kept apart.
const SOCKETS: usize = 50_000;

/// The evidence.
#[derive(Debug, Default)]
pub struct SocketIndex {
    pub sockets: Vec<SocketFacts>,
    by_key: HashMap<Key, usize>,
    facts: usize,
    /// Events beyond the bounds.
    pub left_out: u64,
}

type Key = (
    usize,
    Option<u64>,
    Option<Endpoint>,
    Option<Endpoint>,
    Option<u32>,
);

/// One socket towards one destination.
#[derive(Debug)]
pub struct SocketFacts {
    /// Index of the trace.
    pub trace: usize,
    pub proto: String,
    pub local: Option<Endpoint>,
    pub remote: Option<Endpoint>,
    /// The kernel's cookie.
    pub cookie: Option<u64>,
    pub owner: Owner,
    /// In the order of time.
    pub facts: Vec<Fact>,
}

/// Something that happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Nanoseconds of the wall clock.
    pub wall_ns: i64,
    /// By which the event is found in the trace.
    pub boot_ns: u64,
    pub what: FactKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// A send failed; with what it asked for, bytes.
    Failed(u32, Option<u64>),
    /// The kernel ended the connection with this errno, or a connect failed with it; `true`: it was never
    /// established.
    Ended(u32, bool),
    /// A timer ran out, so often in a row, of this cause.
    Timeout(u32, Cause),
    /// A segment was sent again for another reason.
    Resent,
    Reset(Direction),
    /// A packet was dropped here, for this reason.
    Dropped(Option<String>),
    /// The device did not take a packet.
    Device(String),
}

impl FactKind {
    /// The errno that an application can get.
    pub const fn errno(&self) -> Option<u32> {
        match self {
            Self::Failed(errno, _) | Self::Ended(errno, _) => Some(*errno),
            _ => None,
        }
    }
}

impl SocketIndex {
    /// Takes an event.
    pub fn event(&mut self, trace: usize, wall_ns: i64, event: &Event) {
        let Some(flow) = &event.flow else { return };
        let Some(what) = what(event) else { return };
        let stream = flow.proto == "tcp" || flow.proto == "mptcp";
        let key: Key = match flow.socket {
            // After its end a socket has no remote end any more; without connections it has many.
            Some(cookie) if stream => (trace, Some(cookie), None, None, None),
            cookie => (
                trace,
                cookie,
                flow.local.clone(),
                flow.remote.clone(),
                flow.netns,
            ),
        };
        if self.facts >= FACTS || (!self.by_key.contains_key(&key) && self.sockets.len() >= SOCKETS)
        {
            self.left_out += 1;
            return;
        }
        let sockets = &mut self.sockets;
        let index = *self.by_key.entry(key).or_insert_with(|| {
            sockets.push(SocketFacts {
                trace,
                proto: flow.proto.to_string(),
                local: flow.local.clone(),
                remote: flow.remote.clone(),
                cookie: flow.socket,
                owner: event.owner.clone(),
                facts: Vec::new(),
            });
            sockets.len() - 1
        });
        let socket = &mut self.sockets[index];
        if socket.remote.is_none() {
            socket.remote = flow.remote.clone();
        }
        if socket.owner.pid.is_none() || event.owner.grade == Attribution::AtSend {
            socket.owner = event.owner.clone();
        }
        socket.facts.push(Fact {
            wall_ns,
            boot_ns: event.boot_ns,
            what,
        });
        self.facts += 1;
    }
}

fn what(event: &Event) -> Option<FactKind> {
    Some(match &event.detail {
        Detail::SendError(error) => FactKind::Failed(error.errno, error.requested_bytes),
        Detail::Connection(change) => {
            let errno = change.errno.filter(|errno| *errno != 0)?;
            FactKind::Ended(errno, change.from == Some(TcpState::SynSent))
        }
        Detail::Retransmit(resent) if resent.outcome != Outcome::Sent => return None,
        Detail::Retransmit(resent) if resent.trigger == Trigger::Timer => {
            match (resent.cause, resent.attempt) {
                (cause @ (Cause::Rto | Cause::Syn | Cause::SynAck), attempt) => {
                    FactKind::Timeout(attempt.unwrap_or(1), cause)
                }
                _ => FactKind::Resent,
            }
        }
        Detail::Retransmit(_) => FactKind::Resent,
        Detail::Reset(reset) => FactKind::Reset(reset.direction?),
        Detail::Drop(drop) => FactKind::Dropped(drop.reason.clone()),
        Detail::Device(device) if device.requeued() => return None,
        Detail::Device(device) => FactKind::Device(device.name().into_owned()),
        Detail::Send(_) | Detail::Waiting(_) | Detail::Blocked(_) | Detail::Lost(_) => return None,
    })
}

impl SocketFacts {
    /// May the log mean this destination? A name is not looked up; what it says beside it must agree.
    pub fn is_towards(&self, named: &Named) -> bool {
        is_at(self.remote.as_ref(), named)
    }

    /// May the log mean this own end? A socket that is bound to any address fits each.
    pub fn is_from(&self, named: &Named) -> bool {
        is_at(self.local.as_ref(), named)
    }

    /// Does this process own it, alone or with others?
    pub fn is_of(&self, pid: u32) -> bool {
        self.owner.pid == Some(pid)
            || self.owner.tid == Some(pid)
            || self.owner.holders.iter().any(|holder| holder.pid == pid)
            || (self.owner.pid.is_none() && self.owner.holders.is_empty())
    }

    /// The facts from one time to another, both included.
    pub fn between(&self, from_ns: i64, to_ns: i64) -> impl DoubleEndedIterator<Item = &Fact> {
        let facts = self.facts.iter();
        facts.filter(move |fact| (from_ns..=to_ns).contains(&fact.wall_ns))
    }
}

fn is_at(end: Option<&Endpoint>, named: &Named) -> bool {
    let (address, port): (Option<IpAddr>, Option<u16>) = match end {
        Some(Endpoint::Inet(end)) => (Some(end.ip()), Some(end.port())),
        Some(Endpoint::Address(address)) => (Some(*address), None),
        _ => (None, None),
    };
    let agrees = match (named.address, address) {
        (Some(one), Some(other)) => one == other.to_canonical() || other.is_unspecified(),
        (Some(_), None) => false,
        (None, _) => true,
    };
    agrees
        && match (named.port, port) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
}
