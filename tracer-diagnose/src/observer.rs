//! Sums up a recording as it is read, in bounded memory.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::flows::Flows;
use super::observed::same;
use super::tables::HourCounts;
use super::{
    Conversation, FlowSegments, HostFacts, Hours, Observed, Peer, Role, Socket, TimedChange,
    TimedSample,
};
use tracer_model::event::{
    Cause, Counted, Detail, Direction, Endpoint, Event, Flow, Totals, Trigger, WaitReason,
    proto_from_name,
};
use tracer_model::samples::{Change, Found, Sample, SocketSample};

/// Sockets that are kept apart. When one more comes the half with less trouble is let go, and its events are counted.
const SOCKETS: usize = 20_000;
/// Ways to find a socket by its ends: one socket may have several.
const ENDS: usize = 4 * SOCKETS;
/// Events that are kept as they are, over all sockets: about 50 MiB.
const EVENTS: usize = 100_000;
/// Quarters of an hour that are counted: more than two years.
const QUARTERS: usize = 75_000;
const QUARTER_NS: i64 = 900_000_000_000;
/// Samples and changes that are kept, per host.
const NOTES: usize = 50_000;

/// See [`Observed`].
#[derive(Debug, Default)]
pub struct Observer {
    observed: Observed,
    by_cookie: HashMap<(usize, u64), Vec<usize>>,
    /// By host, protocol, network namespace, local port and remote end: a packet does not name its socket, and a socket
    /// that is bound to no address does not know its packets' source.
    by_ends: HashMap<(usize, String, Option<u32>, Endpoint, Endpoint), usize>,
    /// Events of each socket, kept or not.
    events_of: Vec<u64>,
    events: usize,
    hours: Hours,
    flows: Flows,
}

impl Observer {
    /// A host that recorded; gives its index.
    pub fn host(&mut self, host: HostFacts, header: &Map<String, Value>) -> usize {
        self.observed.coverage.header(header);
        self.observed.hosts.push(host);
        self.observed.hosts.len() - 1
    }

    /// An event, `wall_ns` nanoseconds since 1970 on the wall clock of its host.
    pub fn event(&mut self, host: usize, wall_ns: i64, event: &Event) {
        self.seen(wall_ns);
        let offset =
            i64::try_from(event.boot_ns).map_or(0, |boot_ns| wall_ns.saturating_sub(boot_ns));
        let known = &mut self.observed.hosts[host].wall_minus_boot_ns;
        *known = known.or(Some(offset));
        if let Detail::Lost(lost) = &event.detail {
            let sum = &mut self.observed.coverage.lost;
            sum.add(wall_ns, event.boot_ns, lost.count);
            return;
        }
        self.hour(host, wall_ns, event);
        let Some(flow) = &event.flow else {
            let sum = match &event.detail {
                Detail::Drop(drop) => {
                    let reason = drop.reason.clone().unwrap_or_default();
                    self.observed.stray_drops.entry(reason).or_default()
                }
                Detail::Device(device) => {
                    let interface = device
                        .interface
                        .as_ref()
                        .map(|name| name.lossy().into_owned());
                    let key = (
                        host,
                        interface.unwrap_or_default(),
                        device.name().into_owned(),
                    );
                    self.observed.stray_refusals.entry(key).or_default()
                }
                _ => return,
            };
            sum.add(wall_ns, event.boot_ns, event.count);
            return;
        };
        let by_interface = interface_of(flow, &event.detail);
        let index = self.socket(host, by_interface.as_ref().unwrap_or(flow));
        self.events_of[index] += 1;
        let keep = self.events < EVENTS;
        self.events += usize::from(keep);
        self.observed.sockets[index].add(wall_ns, event, keep);
    }

    /// A sample of the host's counters.
    pub fn sample(&mut self, host: usize, wall_ns: i64, sample: &Sample) {
        self.seen(wall_ns);
        self.observed.coverage.samples += 1;
        for one in &sample.sockets {
            if let Some(index) = self.sampled(host, one) {
                self.observed.sockets[index].sample(wall_ns, one);
            }
        }
        let ns = i64::try_from(sample.interval_ns).unwrap_or(0);
        for row in sample.traffic.iter().flatten() {
            self.flows
                .add(host, wall_ns.saturating_sub(ns), wall_ns, row);
        }
        let samples = &mut self.observed.hosts[host].samples;
        if samples.len() < NOTES {
            // What is summed up elsewhere need not be kept.
            let sample = Sample {
                traffic: None,
                sockets: Vec::new(),
                ..sample.clone()
            };
            samples.push(TimedSample { wall_ns, sample });
        }
    }

    /// A change of the network's configuration.
    pub fn change(&mut self, host: usize, wall_ns: i64, change: &Change) {
        let changes = &mut self.observed.hosts[host].changes;
        if changes.len() < NOTES {
            let change = change.clone();
            changes.push(TimedChange { wall_ns, change });
        }
    }

    /// A row of what was counted instead of listed.
    pub fn counted(&mut self, host: usize, counted: Counted) {
        if let (Some(flow), Some(owner)) = (&counted.flow, &counted.owner) {
            let index = self.socket(host, flow);
            self.observed.sockets[index].belongs_to(owner);
        }
        self.observed.counted.push((host, counted));
    }

    /// The end: what was counted in all, and what was observed.
    pub fn finish(mut self, totals: Totals) -> (Observed, Hours) {
        self.observed.coverage.totals = totals;
        self.observed.sockets.iter_mut().for_each(Socket::finish);
        self.observed.flows = std::mem::take(&mut self.flows).sums();
        self.flows();
        self.observed.conversations = conversations(&self.observed);
        (self.observed, self.hours)
    }

    /// Gives each socket what its flow sent, and what was held back to the socket that had it, or to one that stands for all of its flow. Where a wait was
    /// seen, that says more.
    fn flows(&mut self) {
        let mut by_ends: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, socket) in self.observed.sockets.iter().enumerate() {
            let ends = (socket.host, socket.owner.pid, socket.remote_address());
            by_ends.entry(ends).or_default().push(index);
        }
        for flow in &self.observed.flows {
            let sockets = &mut self.observed.sockets;
            let of = by_ends.get(&(flow.host, flow.owner.pid, Some(flow.remote.to_canonical())));
            let of: Vec<usize> = of
                .into_iter()
                .flatten()
                .copied()
                .filter(|index| flow.is_of(&sockets[*index]))
                .collect();
            for index in &of {
                let resent = flow.retransmitted_segments;
                sockets[*index].flow = Some(FlowSegments {
                    resent,
                    delivered: flow
                        .delivered_segments
                        .unwrap_or(flow.sent_segments.saturating_sub(resent)),
                    duplicates: flow.duplicates,
                });
            }
            if flow.window.is_none() && flow.buffer.is_none() {
                continue;
            }
            let waits = of.iter().flat_map(|index| &sockets[*index].waits);
            if waits
                .into_iter()
                .any(|wait| wait.latest.why == WaitReason::PeerWindow)
            {
                continue;
            }
            let first = of.first().map(|index| sockets[*index].remote.clone());
            let same = of
                .iter()
                .all(|index| Some(&sockets[*index].remote) == first.as_ref());
            let index = match of.first() {
                Some(index) if same => *index,
                _ => {
                    sockets.push(flow.stand_in());
                    sockets.len() - 1
                }
            };
            sockets[index].held_by_window = flow.window;
            sockets[index].held_by_buffer = flow.buffer;
        }
    }

    /// A part of a trace is missing.
    pub fn damaged(&mut self, what: &[String]) {
        self.observed.coverage.damage.extend_from_slice(what);
    }

    /// This time was observed, whether anything happened or not.
    pub fn covered(&mut self, first_ns: i64, last_ns: i64) {
        self.seen(first_ns);
        self.seen(last_ns);
    }

    fn hour(&mut self, host: usize, wall_ns: i64, event: &Event) {
        let mut counts = HourCounts::default();
        match &event.detail {
            Detail::SendError(_) => counts.errors = event.count,
            Detail::Retransmit(r)
                if r.trigger == Trigger::Timer
                    && matches!(r.cause, Cause::Rto | Cause::Syn | Cause::SynAck) =>
            {
                counts.timeouts = event.count;
            }
            Detail::Connection(c) if c.errno.is_some_and(|errno| errno != 0) => {
                counts.disconnects = event.count;
            }
            _ => return,
        }
        let quarter = (host, wall_ns.div_euclid(QUARTER_NS));
        if self.hours.0.len() < QUARTERS || self.hours.0.contains_key(&quarter) {
            let known = self.hours.0.entry(quarter).or_default();
            known.errors += counts.errors;
            known.timeouts += counts.timeouts;
            known.disconnects += counts.disconnects;
        }
    }

    fn seen(&mut self, wall_ns: i64) {
        let (first, last) = self.observed.span.unwrap_or((wall_ns, wall_ns));
        self.observed.span = Some((first.min(wall_ns), last.max(wall_ns)));
    }

    /// Lets the half of the sockets go that has less trouble; of equals, those that came later. Whoever has much trouble
    /// stays, whenever it came.
    fn make_room(&mut self) {
        let sockets = std::mem::take(&mut self.observed.sockets);
        let mut order: Vec<_> = (0..sockets.len()).collect();
        order.sort_by_cached_key(|index| Reverse(sockets[*index].trouble()));
        order.truncate(SOCKETS / 2);
        order.sort_unstable();
        let mut places = vec![None; sockets.len()];
        for (place, index) in order.iter().enumerate() {
            places[*index] = Some(place);
        }
        let events_of = std::mem::take(&mut self.events_of);
        for ((socket, events), place) in sockets.into_iter().zip(events_of).zip(&places) {
            if place.is_some() {
                self.observed.sockets.push(socket);
                self.events_of.push(events);
            } else {
                self.observed.coverage.sockets_left_out += events;
                self.events = self.events.saturating_sub(socket.events.len());
            }
        }
        self.by_cookie.retain(|_, known| {
            *known = known.iter().filter_map(|index| places[*index]).collect();
            !known.is_empty()
        });
        self.by_ends.retain(|_, found| match places[*found] {
            Some(place) => {
                *found = place;
                true
            }
            None => false,
        });
    }

    /// The socket of a flow.
    fn socket(&mut self, host: usize, flow: &Flow) -> usize {
        let sockets = &self.observed.sockets;
        // Most events are of a socket whose ends are known.
        if let Some(cookie) = flow.socket
            && let Some(&[.., last]) = self.by_cookie.get(&(host, cookie)).map(Vec::as_slice)
            && sockets[last].remote == flow.remote
            && sockets[last].local == flow.local
            && flow.remote.as_ref().is_some_and(has_port)
        {
            return last;
        }
        let remote = flow.remote.as_ref().filter(|remote| has_port(remote));
        let ends = match (&flow.local, remote) {
            (Some(local), Some(remote)) => Some((
                host,
                flow.proto.to_string(),
                flow.netns,
                without_address(local),
                remote.clone(),
            )),
            _ => None,
        };
        if let Some(cookie) = flow.socket {
            let known = self.by_cookie.get(&(host, cookie));
            let known = known.map_or(&[][..], Vec::as_slice);
            // After its end a socket has no remote end any more.
            let found = known.iter().rev().find(|index| {
                let socket = &sockets[**index];
                remote.is_none()
                    || socket.remote.as_ref() == remote
                    || socket.remote.as_ref().is_none_or(|known| !has_port(known))
            });
            if let Some(&found) = found {
                let socket = &mut self.observed.sockets[found];
                if socket.remote.as_ref().is_none_or(|known| !has_port(known)) && remote.is_some() {
                    socket.remote = remote.cloned();
                }
                // A port is given when the connection is asked for.
                if socket.local_port().unwrap_or(0) == 0 && flow.local.is_some() {
                    socket.local = flow.local.clone();
                }
                if let Some(ends) = ends.filter(|_| self.by_ends.len() < ENDS) {
                    self.by_ends.insert(ends, found);
                }
                return found;
            }
            // Its first packet was dropped within the call that first tells of the socket.
            let packets = ends
                .as_ref()
                .and_then(|ends| self.by_ends.get(ends).copied());
            if let Some(found) = packets.filter(|found| sockets[*found].cookie.is_none()) {
                self.observed.sockets[found].cookie = Some(cookie);
                self.by_cookie
                    .entry((host, cookie))
                    .or_default()
                    .push(found);
                return found;
            }
        } else if let Some(found) = ends.as_ref().and_then(|ends| self.by_ends.get(ends)) {
            return *found;
        }
        if sockets.len() >= SOCKETS {
            self.make_room();
        }
        let index = self.observed.sockets.len();
        if let Some(cookie) = flow.socket {
            self.by_cookie
                .entry((host, cookie))
                .or_default()
                .push(index);
        }
        if let Some(ends) = ends.filter(|_| self.by_ends.len() < ENDS) {
            self.by_ends.insert(ends, index);
        }
        self.observed.sockets.push(Socket::new(host, flow));
        self.events_of.push(0);
        index
    }

    /// The socket of a sample: one that had events, or whose sends were only counted.
    fn sampled(&mut self, host: usize, sample: &SocketSample) -> Option<usize> {
        if sample.found != Found::Yes {
            return None;
        }
        let end = |text: &str| text.parse().ok().map(Endpoint::Inet);
        let flow = Flow {
            proto: proto_from_name(sample.proto.clone()),
            local: Some(end(&sample.local)?),
            remote: Some(end(&sample.remote)?),
            netns: None,
            socket: sample.socket,
        };
        if sample.socket.is_some() {
            return Some(self.socket(host, &flow));
        }
        // Without a cookie the network namespace would be needed.
        self.observed.sockets.iter().rposition(|socket| {
            socket.host == host && socket.local == flow.local && socket.remote == flow.remote
        })
    }
}

/// The flow of a frame that a packet socket sent: it goes to the interface, and names no other end.
fn interface_of(flow: &Flow, detail: &Detail) -> Option<Flow> {
    let Detail::Drop(drop) = detail else {
        return None;
    };
    let sent =
        flow.proto == "packet" && flow.remote.is_none() && drop.direction == Some(Direction::Sent);
    let remote = Endpoint::Interface {
        index: drop.ifindex?,
        name: drop.interface.clone(),
    };
    sent.then(|| Flow {
        remote: Some(remote),
        ..flow.clone()
    })
}

/// The port alone, of an address that has one.
fn without_address(local: &Endpoint) -> Endpoint {
    match local {
        Endpoint::Inet(local) => Endpoint::Inet(([0, 0, 0, 0], local.port()).into()),
        other => other.clone(),
    }
}

fn has_port(endpoint: &Endpoint) -> bool {
    !matches!(endpoint, Endpoint::Inet(address) if address.port() == 0)
}

/// Sockets of one process and one destination belong together.
fn conversations(observed: &Observed) -> Vec<Conversation> {
    let mut all: Vec<Conversation> = Vec::new();
    let mut known: HashMap<(usize, Option<u32>, String, Peer), Vec<usize>> = HashMap::new();
    for (index, socket) in observed.sockets.iter().enumerate() {
        let role = role(observed, socket);
        let peer = peer(socket, role);
        let key = (
            socket.host,
            socket.owner.pid,
            socket.proto.clone(),
            peer.clone(),
        );
        let alike = known.entry(key).or_default();
        let found = alike.iter().find(|one| {
            let owner = &all[**one].owner;
            same(owner, &socket.owner) || (owner.pid.is_none() && socket.owner.pid.is_none())
        });
        if let Some(&found) = found {
            all[found].sockets.push(index);
            continue;
        }
        alike.push(all.len());
        all.push(Conversation {
            host: socket.host,
            owner: socket.owner.clone(),
            proto: socket.proto.clone(),
            role,
            peer,
            sockets: vec![index],
        });
    }
    all
}

/// Who opened it: as events say, or as the ports say, where only one of them is one that the kernel gives to clients.
fn role(observed: &Observed, socket: &Socket) -> Role {
    if socket.role != Role::Unknown || socket.proto != "tcp" && socket.proto != "mptcp" {
        return socket.role;
    }
    let mut range = observed.hosts[socket.host].sysctl_words("net.ipv4.ip_local_port_range");
    let (Some(Ok(low)), Some(Ok(high))) = (
        range.next().map(str::parse::<u16>),
        range.next().map(str::parse::<u16>),
    ) else {
        return Role::Unknown;
    };
    let given = |port: Option<u16>| port.is_some_and(|port| (low..=high).contains(&port));
    match (given(socket.local_port()), given(socket.remote_port())) {
        (true, false) => Role::Client,
        (false, true) => Role::Server,
        _ => Role::Unknown,
    }
}

fn peer(socket: &Socket, role: Role) -> Peer {
    match (role, &socket.remote, socket.local_port()) {
        (Role::Server, Some(Endpoint::Inet(remote)), Some(local_port)) => Peer::Client {
            remote: Endpoint::Address(remote.ip()),
            local_port,
        },
        (_, Some(remote), _) => Peer::Remote(remote.clone()),
        (_, None, _) => Peer::Unknown,
    }
}
