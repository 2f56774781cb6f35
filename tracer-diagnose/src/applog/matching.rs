//! Which log line is about which socket. Never a guess: several that fit are several, and none is none.

use std::collections::{BTreeMap, HashMap};

use super::clock::Offset;
use super::parse::Entry;
use super::socket_index::{Fact, FactKind, SocketFacts, SocketIndex};
use super::words;

/// An error is looked for so long before its line, nanoseconds.
pub const BEFORE_NS: i64 = 2_000_000_000;
/// So close before its line an error is its own, where only one socket has one.
const CLOSE_NS: i64 = 50_000_000;
/// Sockets that are named of those that fit.
const NAMED: usize = 8;

/// A line, with what the kernel knows of it.
#[derive(Clone, Debug)]
pub struct Matched {
    pub entry: Entry,
    /// By the clock of the trace, nanoseconds.
    pub wall_ns: i64,
    pub found: Found,
    /// For people; nothing in it is escaped yet.
    pub words: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The socket, and the events that carry it, by their `boot_ns`. `exact`: the kernel told the same errno.
    Socket {
        index: usize,
        events: Vec<u64>,
        exact: bool,
    },
    /// Several sockets fit.
    Ambiguous {
        sockets: Vec<usize>,
        all: usize,
    },
    Nothing,
}

/// Facts by their time, so that a line looks at those around it alone.
struct Index<'a> {
    socket_index: &'a SocketIndex,
    /// Time, socket, fact.
    all: Vec<(i64, usize, usize)>,
    by_errno: HashMap<u32, Vec<(i64, usize, usize)>>,
}

impl<'a> Index<'a> {
    fn new(socket_index: &'a SocketIndex) -> Self {
        let mut all = Vec::new();
        let mut by_errno: HashMap<u32, Vec<_>> = HashMap::new();
        for (socket, facts) in socket_index.sockets.iter().enumerate() {
            for (number, fact) in facts.facts.iter().enumerate() {
                let entry = (fact.wall_ns, socket, number);
                all.push(entry);
                if let Some(errno) = fact.what.errno() {
                    by_errno.entry(errno).or_default().push(entry);
                }
            }
        }
        all.sort_unstable();
        by_errno
            .values_mut()
            .for_each(|facts| facts.sort_unstable());
        Self {
            socket_index,
            all,
            by_errno,
        }
    }

    /// The last fact of each socket that fits, from one time to another.
    fn last(
        &self,
        facts: &[(i64, usize, usize)],
        (from_ns, until_ns): (i64, i64),
        fits: impl Fn(&SocketFacts) -> bool,
    ) -> BTreeMap<usize, &'a Fact> {
        let start = facts.partition_point(|(at, ..)| *at < from_ns);
        let inside = facts[start..].iter().take_while(|(at, ..)| *at <= until_ns);
        let mut last = BTreeMap::new();
        for (_, socket, number) in inside {
            let of = &self.socket_index.sockets[*socket];
            if last.contains_key(socket) || fits(of) {
                last.insert(*socket, &of.facts[*number]);
            }
        }
        last
    }
}

/// Matches the lines; they come back in the order of time.
pub fn all(mut entries: Vec<Entry>, socket_index: &SocketIndex, offset: &Offset) -> Vec<Matched> {
    entries.sort_by_key(|entry| (entry.time.ns, entry.line));
    let index = Index::new(socket_index);
    // The socket of the last line of the same request.
    let mut last: HashMap<String, usize> = HashMap::new();
    let mut matched = Vec::with_capacity(entries.len());
    for entry in entries {
        let wall_ns = entry.time.ns.saturating_sub(offset.ns());
        let found = find(&entry, wall_ns, &index);
        let id = entry.id.as_ref().map(|(_, id)| id.clone());
        let before = id.as_ref().and_then(|id| last.get(id)).copied();
        let words = words::of(&entry, wall_ns, &found, before, socket_index);
        if let (Some(id), Found::Socket { index, .. }) = (id, &found) {
            last.insert(id, *index);
        }
        matched.push(Matched {
            entry,
            wall_ns,
            found,
            words,
        });
    }
    matched
}

fn find(entry: &Entry, wall_ns: i64, index: &Index<'_>) -> Found {
    let socket_index = index.socket_index;
    let fits = |socket: &SocketFacts| {
        entry
            .peer
            .as_ref()
            .is_none_or(|peer| socket.is_towards(peer))
            && entry
                .local
                .as_ref()
                .is_none_or(|local| socket.is_from(local))
            && entry.pid.is_none_or(|pid| socket.is_of(pid))
    };
    // A time that is written in seconds may be nearly one later.
    let until_ns = wall_ns.saturating_add(entry.time.precision_ns.max(1_000_000));
    let from = |ns: i64| (wall_ns.saturating_sub(ns), until_ns);
    let one = |index: usize, fact: &Fact, exact: bool| Found::Socket {
        index,
        events: words::evidence(&socket_index.sockets[index], fact),
        exact,
    };
    if let Some(facts) = entry.errno.and_then(|errno| index.by_errno.get(&errno)) {
        for window in [from(CLOSE_NS), from(BEFORE_NS)] {
            let mut with = index.last(facts, window, fits);
            // Where the size tells sockets apart it is heard; an application may count otherwise.
            let sized = |fact: &Fact| match fact.what {
                FactKind::Failed(_, Some(bytes)) => Some(bytes) == entry.bytes,
                _ => false,
            };
            if with.values().any(|fact| sized(fact)) {
                with.retain(|_, fact| sized(fact));
            }
            let mut all = with.iter();
            match (all.next(), all.next()) {
                (None, _) => {}
                (Some((index, fact)), None) => return one(*index, fact, true),
                _ => return ambiguous(with.into_keys()),
            }
        }
    }
    // Without a destination and a process any trouble would fit.
    if entry.pid.is_none()
        && entry
            .peer
            .as_ref()
            .is_none_or(|peer| peer.address.is_none())
    {
        return Found::Nothing;
    }
    let with = index.last(&index.all, from(BEFORE_NS), fits);
    let mut all = with.iter();
    match (all.next(), all.next()) {
        (None, _) => Found::Nothing,
        (Some((index, fact)), None) => one(*index, fact, false),
        _ => ambiguous(with.into_keys()),
    }
}

fn ambiguous(sockets: impl Iterator<Item = usize>) -> Found {
    let sockets: Vec<_> = sockets.collect();
    Found::Ambiguous {
        all: sockets.len(),
        sockets: sockets.into_iter().take(NAMED).collect(),
    }
}
