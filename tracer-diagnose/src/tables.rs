//! What a report shows beside the findings: who sends again most, errors, drops, what came first, and the hours.

use std::collections::BTreeMap;

use super::{Observed, Peer, Socket, Sum};
use tracer_model::errno;
use tracer_model::event::{Cause, Direction, Owner};
use tracer_model::samples::Change;

/// Rows of a table at most.
const ROWS: usize = 20;
/// Entries of the timeline at most.
const MILESTONES: usize = 60;

/// The tables of a report.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub talkers: Vec<Talker>,
    pub errors: Vec<ErrorRow>,
    pub drops: Vec<DropRow>,
    pub timeline: Vec<TimelineEntry>,
    pub hours: Hours,
}

/// A conversation that sends again.
#[derive(Clone, Debug)]
pub struct Talker {
    /// Index of the host.
    pub host: usize,
    pub owner: Owner,
    pub proto: String,
    pub peer: Peer,
    /// Retransmits that were sent, all causes.
    pub resent: Sum,
    /// Of them, time-outs of data, SYN and SYN-ACK.
    pub timeouts: u64,
    /// Segments sent again per second of what was observed; `None` when that is too short.
    pub segments_per_s: Option<f64>,
}

/// Errors of one errno, owner and destination.
#[derive(Clone, Debug)]
pub struct ErrorRow {
    /// Index of the host.
    pub host: usize,
    pub errno: u32,
    pub owner: Owner,
    pub proto: String,
    pub peer: Peer,
    pub sum: Sum,
}

/// Dropped packets.
#[derive(Clone, Debug)]
pub struct DropRow {
    /// `None` where the kernel gave none.
    pub reason: Option<String>,
    pub direction: Option<Direction>,
    pub locations: Vec<String>,
    pub sum: Sum,
    /// Of them, packets of sockets that are known.
    pub of_sockets: u64,
}

/// The first of its kind.
#[derive(Clone, Debug)]
pub struct TimelineEntry {
    pub host: usize,
    pub wall_ns: i64,
    pub what: TimelineEvent,
    pub owner: Option<Owner>,
    pub peer: Option<Peer>,
    /// How many of the kind came in all.
    pub count: u64,
}

/// What a milestone is.
#[derive(Clone, Debug)]
pub enum TimelineEvent {
    /// For people: `first time-out (rto)`.
    First(String),
    /// The network's configuration changed.
    Change(Box<Change>),
    /// A line of an application's log, with its evidence: for people.
    Log(String),
}

/// Trouble by quarters of an hour, per host: counted from 1970 in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(pub BTreeMap<(usize, i64), HourCounts>);

/// What happened in a quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourCounts {
    pub errors: u64,
    pub timeouts: u64,
    pub disconnects: u64,
}

impl Tables {
    pub(super) fn new(observed: &Observed, hours: Hours) -> Self {
        Self {
            talkers: talkers(observed),
            errors: errors(observed),
            drops: drops(observed),
            timeline: timeline(observed),
            hours,
        }
    }
}

fn talkers(observed: &Observed) -> Vec<Talker> {
    let seconds = observed.span_ns() as f64 / 1e9;
    let mut all: Vec<_> = observed
        .conversations
        .iter()
        .filter_map(|conversation| {
            let sockets = || observed.sockets_of(conversation);
            let resent = Sum::of(sockets().flat_map(|socket| socket.retransmits.values()));
            (resent.count > 0).then(|| Talker {
                host: conversation.host,
                owner: conversation.owner.clone(),
                proto: conversation.proto.clone(),
                peer: conversation.peer.clone(),
                timeouts: sockets().map(Socket::timeouts).sum(),
                segments_per_s: (seconds >= 1.0).then(|| resent.segments as f64 / seconds),
                resent,
            })
        })
        .collect();
    all.sort_by(|a, b| {
        (b.resent.segments, b.resent.count).cmp(&(a.resent.segments, a.resent.count))
    });
    all.truncate(ROWS);
    all
}

fn errors(observed: &Observed) -> Vec<ErrorRow> {
    let mut all = Vec::new();
    for conversation in &observed.conversations {
        let mut sums: BTreeMap<u32, Sum> = BTreeMap::new();
        for socket in observed.sockets_of(conversation) {
            for (errno, sum) in &socket.errors {
                sums.entry(*errno).or_default().merge(sum);
            }
        }
        all.extend(sums.into_iter().map(|(errno, sum)| ErrorRow {
            host: conversation.host,
            errno,
            owner: conversation.owner.clone(),
            proto: conversation.proto.clone(),
            peer: conversation.peer.clone(),
            sum,
        }));
    }
    all.sort_by(|a, b| {
        b.sum
            .count
            .cmp(&a.sum.count)
            .then(a.sum.first_ns.cmp(&b.sum.first_ns))
    });
    all.truncate(ROWS);
    all
}

fn drops(observed: &Observed) -> Vec<DropRow> {
    let mut rows: BTreeMap<(String, Option<&'static str>), DropRow> = BTreeMap::new();
    let row = |reason: &str, direction: Option<Direction>| DropRow {
        reason: (!reason.is_empty() && !reason.ends_with("()")).then(|| reason.to_owned()),
        direction,
        locations: Vec::new(),
        sum: Sum::default(),
        of_sockets: 0,
    };
    for socket in &observed.sockets {
        for ((reason, direction), sum) in &socket.drops {
            let row = rows
                .entry((reason.clone(), direction.map(Direction::name)))
                .or_insert_with(|| row(reason, *direction));
            row.sum.merge(sum);
            row.of_sockets += sum.count;
            if let Some(function) = reason.strip_suffix("()") {
                row.locations = vec![function.to_owned()];
                continue;
            }
            let places = socket.locations.get(&(reason.clone(), *direction));
            for location in places.into_iter().flatten() {
                if row.locations.len() < 4 && !row.locations.contains(location) {
                    row.locations.push(location.clone());
                }
            }
        }
    }
    for (reason, sum) in &observed.stray_drops {
        let row = rows
            .entry((reason.clone(), None))
            .or_insert_with(|| row(reason, None));
        row.sum.merge(sum);
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sum.count));
    rows.truncate(ROWS);
    rows
}

/// The first of each kind per conversation, and the changes of the host's network, in the order of time.
fn timeline(observed: &Observed) -> Vec<TimelineEntry> {
    let mut all = Vec::new();
    for conversation in &observed.conversations {
        let mut kinds: BTreeMap<String, Sum> = BTreeMap::new();
        for socket in observed.sockets_of(conversation) {
            for (what, sum) in kinds_of(socket) {
                kinds.entry(what).or_default().merge(sum);
            }
            if let Some((at, errno)) = socket.ended_with() {
                let what = format!("connection ended with {}", errno::display(errno));
                kinds.entry(what).or_default().add(at, 0, 1);
            }
        }
        all.extend(kinds.into_iter().map(|(what, sum)| TimelineEntry {
            host: conversation.host,
            wall_ns: sum.first_ns,
            what: TimelineEvent::First(format!("first {what}")),
            owner: Some(conversation.owner.clone()),
            peer: Some(conversation.peer.clone()),
            count: sum.count,
        }));
    }
    // The conversations with most trouble, if not all fit; but in the order of time.
    all.sort_by_key(|milestone| std::cmp::Reverse(milestone.count));
    all.truncate(MILESTONES);
    for (host, facts) in observed.hosts.iter().enumerate() {
        let changes = facts.changes.iter().take(MILESTONES);
        all.extend(changes.map(|change| TimelineEntry {
            host,
            wall_ns: change.wall_ns,
            what: TimelineEvent::Change(Box::new(change.change.clone())),
            owner: None,
            peer: None,
            count: 1,
        }));
    }
    all.sort_by_key(|milestone| milestone.wall_ns);
    all
}

fn kinds_of(socket: &Socket) -> Vec<(String, &Sum)> {
    let mut kinds = Vec::new();
    for (cause, sum) in &socket.retransmits {
        let what = match cause {
            Cause::Rto => "time-out (rto)".to_owned(),
            Cause::Syn => "connection request sent again (syn)".to_owned(),
            Cause::SynAck => "answer to a connection request sent again (synack)".to_owned(),
            Cause::Fast => "fast retransmit".to_owned(),
            Cause::Tlp => "loss probe (tlp)".to_owned(),
            Cause::Mtu => "retransmit after an ICMP message (mtu)".to_owned(),
            Cause::Unknown => "retransmit of unknown cause".to_owned(),
        };
        kinds.push((what, sum));
    }
    for (errno, sum) in &socket.errors {
        kinds.push((format!("send error {}", errno::display(*errno)), sum));
    }
    if socket.resets_sent.count > 0 {
        kinds.push(("RST sent".to_owned(), &socket.resets_sent));
    }
    if socket.resets_received.count > 0 {
        kinds.push(("RST received".to_owned(), &socket.resets_received));
    }
    for ((reason, _), sum) in &socket.drops {
        let reason = if reason.is_empty() {
            "no reason given"
        } else {
            reason
        };
        kinds.push((format!("packet dropped here ({reason})"), sum));
    }
    for (name, sum) in &socket.devices {
        kinds.push((format!("transmit error {name}"), sum));
    }
    kinds
}
