//! Which processes hold which sockets: the result of the last walk over all open files, and when to walk
//! again. Bounded by the number of open sockets of the host.

use std::collections::HashMap;

use anyhow::Result;
use tracer_common::{Flow, Holder};

/// Why an owner may not be the whole truth: said of events that came while the budget was spent.
pub const NOT_IN_TIME: &str = "open files were not looked up in time: too many look-ups";

/// Said where the kernel does not let us walk over the open files.
pub const NOT_POSSIBLE: &str = "open files cannot be looked up on this host";

/// What the open files say about one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The stored owner suffices.
    NotNeeded,
    /// The processes that hold it, by pid; empty when nobody does (any more).
    Found(&'a [Holder]),
    /// The open files could not be asked, and why.
    Missed(&'static str),
}

/// The cache of open sockets.
#[derive(Debug)]
pub struct Holders {
    by_inode: HashMap<u64, Vec<Holder>>,
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
        match walk() {
            Ok(mut found) => {
                // Without its inode a socket cannot be told from others.
                found.retain(|holder| holder.inode != 0);
                self.inodes = found
                    .iter()
                    .filter(|holder| holder.cookie != 0)
                    .map(|holder| (holder.cookie, holder.inode))
                    .collect();
                self.by_inode = group(found);
                self.state = State::Fresh;
            }
            Err(error) => {
                log::warn!("cannot look up who holds which socket: {error:#}");
                self.by_inode.clear();
                self.inodes.clear();
                self.state = State::Failed;
            }
        }
        self.walked_ns = begun;
        let done = now();
        self.next_ns = done + (done - begun) * (100 - self.share) / self.share;
    }

    /// Who holds the socket of this flow.
    pub fn of(&self, flow: &Flow) -> Lookup<'_> {
        match self.state {
            State::Fresh => Lookup::Found(self.entry(flow).map_or(&[], Vec::as_slice)),
            State::Stale => Lookup::Missed(NOT_IN_TIME),
            State::Failed => Lookup::Missed(NOT_POSSIBLE),
        }
    }

    /// By cookie; by the inode of its file where the socket had no cookie at the event.
    fn entry(&self, flow: &Flow) -> Option<&Vec<Holder>> {
        let inode = match flow.cookie {
            0 => &flow.inode,
            cookie => self.inodes.get(&cookie)?,
        };
        self.by_inode.get(inode)
    }

    /// Cgroup id of a holder.
    pub fn cgroup_of(&self, flow: &Flow, pid: u32) -> Option<u64> {
        let holders = self.entry(flow)?;
        holders
            .iter()
            .find(|holder| holder.owner.pid == pid)
            .map(|holder| holder.owner.cgroup)
    }
}

/// One entry per socket and process: a process may hold a socket by several descriptors.
fn group(found: Vec<Holder>) -> HashMap<u64, Vec<Holder>> {
    let mut by_inode: HashMap<u64, Vec<Holder>> = HashMap::new();
    for holder in found {
        let holders = by_inode.entry(holder.inode).or_default();
        if !holders
            .iter()
            .any(|known| known.owner.pid == holder.owner.pid)
        {
            holders.push(holder);
        }
    }
    for holders in by_inode.values_mut() {
        holders.sort_by_key(|holder| holder.owner.pid);
    }
    by_inode
}
