//! Which processes hold which sockets: the result of the last walk over all open files, and when to walk
//! again. Bounded by the number of open sockets of the host.

use std::collections::HashMap;

use anyhow::Result;
use tracer_common::{Head, Holder, head_flag};

/// Why an owner may not be the whole truth: said of events that came while the budget was spent.
pub const NOT_IN_TIME: &str = "open files were not looked up in time: too many look-ups";

/// Said where the kernel does not let us walk over the open files.
pub const NOT_POSSIBLE: &str = "open files cannot be looked up on this host";

/// A process that holds a socket, and since when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What the walk found.
    pub holder: Holder,
    /// End of the first of the walks in a row that found it, nanoseconds of CLOCK_BOOTTIME: from then on it held
    /// the socket, and perhaps before.
    pub since_ns: u64,
}

/// What the open files say about one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The stored owner suffices.
    NotNeeded,
    /// The processes that hold it, by pid; empty when nobody does (any more).
    Found(&'a [Held]),
    /// The open files could not be asked, and why.
    Missed(&'static str),
}

/// The cache of open sockets.
#[derive(Debug)]
pub struct Holders {
    by_inode: HashMap<u64, Vec<Held>>,
    /// Inode by cookie, of sockets that have one.
    inodes: HashMap<u64, u64>,
    /// Walks may use this share of the time, in hundredths.
    share: u64,
    /// No walk before this time, nanoseconds of CLOCK_BOOTTIME.
    next_ns: u64,
    /// When the last walk began.
    walked_ns: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Stale,
    Failed,
}

impl Holders {
    /// Nothing is known until the first [`Self::refresh`]. Walks take at most `share` hundredths of the time, 1 to
    /// 100: with 5, a walk of 1 ms is followed by at least 19 ms without.
    pub fn new(share: u8) -> Self {
        Self {
            share: share.clamp(1, 100).into(),
            by_inode: HashMap::new(),
            inodes: HashMap::new(),
            next_ns: 0,
            walked_ns: 0,
            state: State::Stale,
        }
    }

    /// Walks again if the last event to be looked up, at `event_ns`, is younger than the last walk, and the
    /// budget allows. `now` reads CLOCK_BOOTTIME; `walk` gives every descriptor of any task that is a socket.
    pub fn refresh(
        &mut self,
        event_ns: u64,
        now: &dyn Fn() -> u64,
        walk: &mut dyn FnMut() -> Result<Vec<Holder>>,
    ) {
        let begun = now();
        if self.state == State::Fresh && self.walked_ns > event_ns {
            return;
        }
        if begun < self.next_ns {
            self.state = State::Stale;
            return;
        }
        let found = walk();
        let done = now();
        match found {
            Ok(found) => self.learn(found, done),
            Err(error) => {
                log::warn!("cannot look up who holds which socket: {error:#}");
                self.by_inode.clear();
                self.inodes.clear();
                self.state = State::Failed;
            }
        }
        self.walked_ns = begun;
        self.next_ns = done + (done - begun) * (100 - self.share) / self.share;
    }

    /// Takes over what a walk found that ended at `done_ns`.
    pub fn learn(&mut self, mut found: Vec<Holder>, done_ns: u64) {
        // Without its inode a socket cannot be told from others.
        found.retain(|holder| holder.inode != 0);
        self.inodes = found
            .iter()
            .filter(|holder| holder.cookie != 0)
            .map(|holder| (holder.cookie, holder.inode))
            .collect();
        let before = std::mem::take(&mut self.by_inode);
        for holder in found {
            let held = self.by_inode.entry(holder.inode).or_default();
            // A process may hold a socket by several descriptors.
            if held.iter().any(|known| is_same(known, &holder)) {
                continue;
            }
            let mut known = before.get(&holder.inode).into_iter().flatten();
            let known = known.find(|known| is_same(known, &holder));
            held.push(Held {
                holder,
                since_ns: known.map_or(done_ns, |known| known.since_ns),
            });
        }
        for held in self.by_inode.values_mut() {
            held.sort_by_key(|held| held.holder.owner.pid);
        }
        self.state = State::Fresh;
    }

    /// Who holds the socket of this event.
    pub fn of(&self, head: &Head) -> Lookup<'_> {
        match self.state {
            State::Fresh => Lookup::Found(self.entry(head).map_or(&[], Vec::as_slice)),
            State::Stale => Lookup::Missed(NOT_IN_TIME),
            State::Failed => Lookup::Missed(NOT_POSSIBLE),
        }
    }

    /// By cookie; by the inode of its file where the socket had no cookie at the event, or has no file of its own.
    fn entry(&self, head: &Head) -> Option<&Vec<Held>> {
        let inode = match head.flow.cookie {
            cookie if cookie != 0 && head.flags & head_flag::SUBFLOW == 0 => {
                self.inodes.get(&cookie)?
            }
            _ => &head.flow.inode,
        };
        self.by_inode.get(inode)
    }

    /// Cgroup id of a holder.
    pub fn cgroup_of(&self, head: &Head, pid: u32) -> Option<u64> {
        let mut held = self.entry(head)?.iter();
        held.find(|held| held.holder.owner.pid == pid)
            .map(|held| held.holder.owner.cgroup)
    }
}

fn is_same(known: &Held, holder: &Holder) -> bool {
    let (known, owner) = (&known.holder.owner, &holder.owner);
    (known.pid, known.start_ns) == (owner.pid, owner.start_ns)
}
