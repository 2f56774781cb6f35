//! The walk over the open sockets of all processes: which of them wait and since when, and what the others send.
//!
//! Nothing happens at a socket that waits, so no hook sees it. Every interval the kernel's own iterator looks at
//! each socket of each process, in every network namespace. Sockets without a descriptor are not among them: closed
//! by their process, not accepted yet, or the kernel's own.

mod traffic;
mod waits;

use std::time::Duration;

use anyhow::Result;
use tracer_common::{Holder, PeerKey, PeerSums, TrafficRow, WaitingRow, WalkState};

pub use traffic::Traffic;
use waits::Waits;
pub use waits::{Stage, Told, Waiter};

use tracer_model::samples::SocketWalk;

/// Sockets that wait of which each walk keeps the descriptors, in all.
const MOST_ROWS: usize = 20_000;

/// A row of the walk.
pub enum Row {
    /// A socket that waits, by one of its descriptors.
    Waiting(Box<WaitingRow>),
    /// What a socket has sent.
    Traffic(TrafficRow),
    /// What connections that were established or closed since the last walk have come to.
    Peer(PeerKey, Box<PeerSums>),
    /// How many of those found no place.
    LeftOut(u64),
}

/// Walks, hands out the rows, and gives what the last of them says.
pub type Walk<'a> = dyn FnMut(&mut dyn FnMut(Row)) -> Result<WalkState> + 'a;

/// When to walk, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From one walk to the next.
    pub every: Duration,
    /// Waits are told from here on.
    pub waiting: Duration,
    /// Walks may take this share of a processor's time, in hundredths, 1 to 100.
    pub share: u8,
}

/// Walks, and remembers from walk to walk.
pub struct Walker {
    settings: Settings,
    /// No walk before this time, nanoseconds of CLOCK_BOOTTIME.
    next_ns: u64,
    waits: Waits,
    failed: bool,
}

/// What a walk has found.
#[derive(Default)]
pub struct Walked {
    /// Waits that are to be told.
    pub told: Vec<Told>,
    /// What was sent since the walk before.
    pub traffic: Traffic,
    /// The walk itself.
    pub walk: SocketWalk,
}

impl Walker {
    /// Nothing is known yet. `hz`: jiffies per second.
    pub fn new(settings: Settings, hz: u64) -> Self {
        let waiting_us = u64::try_from(settings.waiting.as_micros()).unwrap_or(u64::MAX);
        Self {
            settings,
            next_ns: 0,
            waits: Waits::new(waiting_us, hz),
            failed: false,
        }
    }

    /// Walks if it is time to. `now` reads CLOCK_BOOTTIME, `cpu` the time that this thread has run, `walk` hands out
    /// the rows.
    pub fn poll(
        &mut self,
        now: &dyn Fn() -> u64,
        cpu: &dyn Fn() -> u64,
        walk: &mut Walk<'_>,
    ) -> Option<Walked> {
        (now() >= self.next_ns).then(|| self.walk(now, cpu, walk, false))?
    }

    /// Walks once more, before nobody looks any longer: waits that go on are told as unfinished.
    pub fn last(
        &mut self,
        now: &dyn Fn() -> u64,
        cpu: &dyn Fn() -> u64,
        walk: &mut Walk<'_>,
    ) -> Option<Walked> {
        self.walk(now, cpu, walk, true)
    }

    fn walk(
        &mut self,
        now: &dyn Fn() -> u64,
        cpu: &dyn Fn() -> u64,
        walk: &mut Walk<'_>,
        is_last: bool,
    ) -> Option<Walked> {
        let begun = now();
        let cpu_before = cpu();
        let mut rows = Vec::new();
        let mut left_out = 0;
        let mut traffic = Traffic::default();
        let state = walk(&mut |row| match row {
            Row::Waiting(row) if rows.len() < MOST_ROWS => rows.push(*row),
            Row::Waiting(_) => left_out += 1,
            row => traffic.take(row),
        });
        let done = now();
        let took = cpu().saturating_sub(cpu_before);
        let share = u64::from(self.settings.share.clamp(1, 100));
        let every = u64::try_from(self.settings.every.as_nanos()).unwrap_or(u64::MAX);
        // A tenth early is nearer than a turn of the loop late.
        let earliest = begun.saturating_add(every - every / 10);
        self.next_ns = earliest.max(done + took * (100 - share) / share);
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    log::warn!("cannot walk over the open sockets: {error:#}");
                }
                return None;
            }
        };
        self.failed = false;
        let waiters = waits::group(rows);
        let waiting_sockets = waiters.len() as u64;
        let told = self.waits.walked(done, waiters, is_last);
        let walk = SocketWalk {
            walks: 1,
            took_us: took / 1_000,
            descriptors: state.descriptors,
            tcp_sockets: state.tcp_sockets,
            waiting_sockets,
            left_out: left_out + self.waits.left_out,
        };
        Some(Walked {
            told,
            traffic,
            walk,
        })
    }
}

/// A holder as the look-up of owners has it.
fn holder(row: &WaitingRow) -> Holder {
    Holder {
        cookie: row.head.flow.cookie,
        inode: row.head.flow.inode,
        owner: row.holder,
        fd: row.fd,
        pad: 0,
    }
}
