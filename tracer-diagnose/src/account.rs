//! The accounts of a report: every sign of trouble is explained by findings, left out on purpose, or unknown, and never
//! two of these. "Nothing wrong" is what remains when nothing is explained and nothing unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Match, Rule};
use super::sign::Sign;
use super::{Observed, Socket, Sum};

/// Fewer delays than this towards one address are no trouble, if the connections went on.
const FEW: u64 = 3;

/// What became of a sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Indices of the cases that explain it: each an equal part.
    Explained(Vec<usize>),
    LeftOut(&'static str),
    Unknown,
}

/// One sign of one socket.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Index into [`Observed::sockets`].
    pub socket: usize,
    pub sign: Sign,
    pub sum: Sum,
    pub harm: f64,
    pub fate: Fate,
}

/// What no finding is about, on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is, and why it is no trouble.
    pub what: String,
    /// How many events.
    pub count: u64,
}

/// Every sign of every socket, once.
pub fn entries(observed: &Observed, cases: &[(&'static Rule, Match)]) -> Vec<Entry> {
    let mut claims: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, (_, matched)) in cases.iter().enumerate() {
        for socket in matched.sockets.iter().collect::<BTreeSet<_>>() {
            claims.entry(*socket).or_default().push(index);
        }
    }
    let probes = super::rules::probes(observed);
    let mut all = Vec::new();
    for (index, socket) in observed.sockets.iter().enumerate() {
        for (sign, sum) in socket.signs() {
            let by = claims.get(&index).into_iter().flatten().copied();
            let by: Vec<_> = by.filter(|case| (cases[*case].1.claims)(&sign)).collect();
            let fate = match sign.on_purpose(socket) {
                _ if !by.is_empty() => Fate::Explained(by),
                Some(why) => Fate::LeftOut(why),
                None if is_kernels_own(socket) => {
                    Fate::LeftOut("multicast of the kernel itself, which belongs to no process")
                }
                None => match probes.get(&index) {
                    Some(why) => Fate::LeftOut(why),
                    None => Fate::Unknown,
                },
            };
            all.push(Entry {
                socket: index,
                harm: socket.harm(&sign, &sum),
                sign,
                sum,
                fate,
            });
        }
    }
    forgive(observed, &mut all);
    all
}

/// Neighbour discovery and the like: sent whenever an interface or an address comes, and heard by nobody in particular.
pub fn is_kernels_own(socket: &Socket) -> bool {
    socket.owner.pid.is_none()
        && socket
            .remote_address()
            .is_some_and(|remote| remote.is_multicast())
}

/// A few delays that the connections overcame are left out.
fn forgive(observed: &Observed, all: &mut [Entry]) {
    let mut delays: BTreeMap<_, u64> = BTreeMap::new();
    let key = |entry: &Entry| {
        let socket = &observed.sockets[entry.socket];
        (socket.host, socket.owner.pid, socket.remote_address())
    };
    let mut ended = BTreeSet::new();
    for entry in all.iter().filter(|entry| entry.fate == Fate::Unknown) {
        if entry.sign.is_final() {
            ended.insert(entry.socket);
        }
        *delays.entry(key(entry)).or_default() += entry.sum.count;
    }
    for entry in all.iter_mut() {
        let few = delays.get(&key(entry)).is_some_and(|count| *count < FEW);
        let went_on = !entry.sign.is_final() && !ended.contains(&entry.socket);
        if entry.fate == Fate::Unknown && few && went_on {
            entry.fate = Fate::LeftOut("single time-outs, after which the connection went on");
        }
    }
}

/// What is left out, added up by its reason.
pub fn left_out(entries: &[Entry]) -> Vec<LeftOut> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries {
        if let Fate::LeftOut(why) = entry.fate {
            *sums.entry(why).or_default() += entry.sum.count;
        }
    }
    let all = sums.into_iter();
    all.map(|(what, count)| LeftOut {
        what: what.to_owned(),
        count,
    })
    .collect()
}

#[cfg(test)]
mod tests;
