//! The flight recorder: a bounded memory of the last minutes, which lands on disk when a trigger fires.
//!
//! A window is what is held when the trigger fires and what comes within `after`, in one file that is a whole
//! trace: it is written as `….trace.part` and gets its name when it is complete and synced. A trigger that
//! fires within a window makes it longer, up to ten times `after`; then the recorder arms itself again, and
//! still holds what it has written, so that a window that follows at once has its minutes before too.
//!
//! Memory: blocks that are held and blocks that wait for the disk share one bound, and a block that is both
//! counts once. When the bound is reached the oldest blocks leave; when all that is left waits for the disk,
//! what comes is dropped, and a gap in the next window says so.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::block::Sealed;
use super::note::Counters;
use super::writer::{
    Budget, Charge, Entry, Handle, IDLE_ITEMS, Item, Loss, Watcher, Writer, WriterSummary,
};
use tracer_model::event::{EventKind, EventTotals};

/// How much longer than asked for a window may become when triggers go on firing.
const MOST_AFTER: u64 = 10;
/// Allocations that belong to a block.
const ALLOCATIONS: usize = 4;
/// What the allocator takes for each allocation besides its size, bytes.
const ALLOCATION: usize = 16;
/// While the writer's queue grows it has as many places three times at most.
const PLACES: usize = 3;
/// What is there without any block, bytes: counters, what was dropped last.
const BASE: usize = 8 << 10;

/// How much is held, and written.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Memory for blocks and all that belongs to them, bytes.
    pub memory: usize,
    /// Blocks that were sealed longer ago are not held.
    pub before: Duration,
    /// What comes so long after a trigger belongs to its window.
    pub after: Duration,
}

/// Holds blocks until a trigger fires.
pub struct Flight {
    handle: Handle,
    budget: Budget,
    held: VecDeque<Arc<Entry>>,
    before_ns: u64,
    after_ns: u64,
    /// As they stood before the first block that is held.
    counters: Counters,
    /// For what there was no room behind the last block that is held.
    lost: Option<Loss>,
    window: Option<Window>,
    _base: Option<Charge>,
}

/// The window that is open, nanoseconds of CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
struct Window {
    until: u64,
    limit: u64,
}

impl Flight {
    /// Begins to hold blocks. `writer` was opened for [`super::writer::Target::Windows`].
    ///
    /// # Errors
    /// When there can be no more threads; when `settings` have no room for blocks at all.
    pub fn start(writer: Writer, settings: &Settings) -> io::Result<Self> {
        let budget = Budget::new(settings.memory);
        // Never grows: no block costs less.
        let places = settings.memory / least_cost() + 1;
        let base =
            BASE + places * size_of::<Arc<Entry>>() + IDLE_ITEMS * size_of::<Item>() * PLACES;
        let charge = budget.charge(base).ok_or_else(|| {
            let least = base + (1 << 20);
            io::Error::other(format!(
                "{} bytes of memory hold nothing: give {least} at least",
                settings.memory
            ))
        })?;
        Ok(Self {
            handle: writer.start_with(budget.clone())?,
            budget,
            held: VecDeque::with_capacity(places),
            before_ns: nanoseconds(settings.before),
            after_ns: nanoseconds(settings.after),
            counters: Counters::default(),
            lost: None,
            window: None,
            _base: Some(charge),
        })
    }

    /// Takes a block, with the counters as of this block. Never waits and never fails.
    pub fn push(&mut self, sealed: Sealed, counters: &Counters) {
        let now_boot_ns = sealed.header.sealed_boot_ns;
        self.forget(now_boot_ns);
        let counters = counters.clone();
        let cost = cost(&sealed, &counters, self.lost.as_ref());
        let charge = loop {
            match self.budget.charge(cost) {
                Some(charge) => break Some(charge),
                None if self.drop_oldest() => {}
                None => break None,
            }
        };
        match charge {
            Some(charge) => {
                let entry = Arc::new(Entry {
                    sealed,
                    counters,
                    lost_before: self.lost.take().map(Box::new),
                    _charge: charge,
                });
                if self.window.is_some() {
                    let item = Item::Block(Arc::clone(&entry));
                    self.handle.shared().push([item]);
                }
                self.held.push_back(entry);
            }
            None => {
                if self.window.is_some() {
                    self.handle.shared().dropped(&sealed.events);
                }
                let why = "the memory of the flight recorder waits for the disk";
                Loss::add(&mut self.lost, Loss::of(sealed.header, sealed.events, why));
            }
        }
        self.tick(now_boot_ns);
    }

    /// A trigger fired. What is held, and what comes, goes to a new file; `false` when a window is open already,
    /// which is made longer.
    pub fn trigger(&mut self, now_boot_ns: u64) -> bool {
        let until = now_boot_ns.saturating_add(self.after_ns);
        if let Some(window) = &mut self.window {
            window.until = window.until.max(until).min(window.limit);
            return false;
        }
        self.forget(now_boot_ns);
        let begin = Item::Begin(self.counters.clone());
        let blocks = self.held.iter().map(|entry| Item::Block(Arc::clone(entry)));
        self.handle
            .shared()
            .push(std::iter::once(begin).chain(blocks));
        let most = self.after_ns.saturating_mul(MOST_AFTER);
        self.window = Some(Window {
            until,
            limit: now_boot_ns.saturating_add(most),
        });
        true
    }

    /// When [`Self::tick`] has something to do, nanoseconds of CLOCK_BOOTTIME; `None` while no window is open.
    pub fn due_boot_ns(&self) -> Option<u64> {
        self.window.map(|window| window.until)
    }

    /// Completes the window when its time is over.
    pub fn tick(&mut self, now_boot_ns: u64) {
        if self.due_boot_ns().is_some_and(|due| due <= now_boot_ns) {
            let lost = self.lost.clone().map(Box::new);
            self.handle.shared().push([Item::Close(lost)]);
            self.window = None;
        }
    }

    /// Bytes in use: blocks that are held or wait for the disk, and all that belongs to them.
    pub fn memory(&self) -> usize {
        self.budget.used()
    }

    /// Time that is held, nanoseconds.
    pub fn held_ns(&self) -> u64 {
        let time = |entry: Option<&Arc<Entry>>| entry.map(|entry| entry.sealed.header);
        match (time(self.held.front()), time(self.held.back())) {
            (Some(first), Some(last)) => last.sealed_boot_ns.saturating_sub(first.first_boot_ns),
            _ => 0,
        }
    }

    /// For whoever watches what is done.
    pub fn watcher(&self) -> Watcher {
        self.handle.watcher()
    }

    /// Completes the window that is open, and ends; waits for it no longer than `most`.
    pub fn finish(mut self, most: Duration) -> WriterSummary {
        let lost = self.lost.take().filter(|_| self.window.is_some());
        self.handle.end(lost, most)
    }

    /// Lets blocks go that are too old.
    fn forget(&mut self, now_boot_ns: u64) {
        let oldest = now_boot_ns.saturating_sub(self.before_ns);
        while self
            .held
            .front()
            .is_some_and(|entry| entry.sealed.header.sealed_boot_ns < oldest)
        {
            self.drop_oldest();
        }
    }

    /// `false` when none is held.
    fn drop_oldest(&mut self) -> bool {
        let Some(entry) = self.held.pop_front() else {
            return false;
        };
        self.counters.clone_from(&entry.counters);
        true
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a block costs that has nothing in it.
const fn least_cost() -> usize {
    // The two counts of an Arc are usize.
    size_of::<Entry>()
        + 2 * size_of::<usize>()
        + PLACES * size_of::<Item>()
        + ALLOCATIONS * ALLOCATION
        + super::layout::HEADER_BYTES
}

/// What a block takes as long as anybody has it, bytes.
fn cost(sealed: &Sealed, counters: &Counters, lost: Option<&Loss>) -> usize {
    let header = super::layout::HEADER_BYTES;
    least_cost()
        + sealed.bytes.len().saturating_sub(header)
        + counters.totals.events.capacity() * size_of::<(EventKind, EventTotals)>()
        + lost.map_or(0, Loss::memory)
}

#[cfg(test)]
mod tests;
