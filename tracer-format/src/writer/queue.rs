//! Between the tracer's loop and the writer's thread: bounded, and nobody waits for the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gap::Loss;
use super::status::{Notice, Status, add};
use crate::block::Sealed;
use crate::note::Counters;
use tracer_model::event::EventKind;

/// An empty queue has room for no more than these: memory is bounded.
pub const IDLE_ITEMS: usize = 64;

/// A block on its way.
#[derive(Debug)]
pub struct Entry {
    pub sealed: Sealed,
    /// As of this block.
    pub counters: Counters,
    /// Blocks before this one for which there was no room.
    pub lost_before: Option<Box<Loss>>,
    /// Gives its memory back when nobody has it any more.
    pub _charge: Charge,
}

/// What the writer's thread is asked to do.
#[derive(Debug)]
pub enum Item {
    Block(Arc<Entry>),
    /// A window of the flight recorder, with the counters as they stood before it.
    Begin(Counters),
    /// The window is complete, but for what was dropped at its end.
    Close(Option<Box<Loss>>),
}

/// A bound of memory, bytes.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// Memory that is used as long as this lives.
#[derive(Debug)]
pub struct Charge {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    pub fn new(most: usize) -> Self {
        Self {
            used: Arc::default(),
            most,
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// `None` when there is no room. Only one thread charges; others may give back meanwhile.
    pub fn charge(&self, bytes: usize) -> Option<Charge> {
        if self.used().checked_add(bytes)? > self.most {
            return None;
        }
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Some(Charge {
            used: Arc::clone(&self.used),
            bytes,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// What both sides know.
#[derive(Debug, Default)]
pub struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    seen: Mutex<Seen>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Dropped behind the last item.
    lost: Option<Loss>,
    /// Blocks and events that were dropped before they came into the queue.
    dropped: Status,
    ending: bool,
}

#[derive(Debug, Default)]
struct Seen {
    status: Status,
    notices: Vec<Notice>,
    done: bool,
}

/// What the thread is to do next.
#[derive(Debug)]
pub enum Next {
    Item(Item),
    /// It is time to look at the clock.
    Tick,
    /// There is nothing more; what was dropped at the end.
    End(Option<Box<Loss>>),
}

impl Shared {
    /// A block: it goes in, unless there is no room for it, when it is counted.
    pub fn submit(&self, sealed: Sealed, counters: &Counters, charge: Option<Charge>, why: &str) {
        let mut queue = locked(&self.queue);
        let Some(charge) = charge else {
            queue.dropped.lose(&sealed.events);
            let loss = Loss::of(sealed.header, sealed.events, why);
            Loss::add(&mut queue.lost, loss);
            return;
        };
        let entry = Entry {
            sealed,
            counters: counters.clone(),
            lost_before: queue.lost.take().map(Box::new),
            _charge: charge,
        };
        queue.items.push_back(Item::Block(Arc::new(entry)));
        drop(queue);
        self.wake.notify_one();
    }

    /// Several things at once.
    pub fn push(&self, items: impl IntoIterator<Item = Item>) {
        locked(&self.queue).items.extend(items);
        self.wake.notify_one();
    }

    /// A block is not going to come.
    pub fn dropped(&self, events: &[u64; EventKind::ALL.len()]) {
        locked(&self.queue).dropped.lose(events);
    }

    /// Nothing more comes but what was dropped last.
    pub fn end(&self, lost: Option<Loss>) {
        let mut queue = locked(&self.queue);
        queue.ending = true;
        if let Some(lost) = lost {
            Loss::add(&mut queue.lost, lost);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for the next thing to do, at most so long.
    pub fn next(&self, most: Option<Duration>) -> Next {
        let mut queue = locked(&self.queue);
        loop {
            if let Some(item) = queue.items.pop_front() {
                if queue.items.is_empty() && queue.items.capacity() > IDLE_ITEMS {
                    queue.items = VecDeque::new();
                }
                return Next::Item(item);
            }
            if queue.ending {
                return Next::End(queue.lost.take().map(Box::new));
            }
            queue = match most {
                None => self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (queue, waited) = self
                        .wake
                        .wait_timeout(queue, most)
                        .unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && queue.items.is_empty() && !queue.ending {
                        return Next::Tick;
                    }
                    queue
                }
            };
        }
    }

    /// The thread tells what it did.
    pub fn publish(&self, status: &Status, notices: Vec<Notice>) {
        let mut seen = locked(&self.seen);
        seen.status.clone_from(status);
        seen.notices.extend(notices);
    }

    /// The thread has ended.
    pub fn done(&self) {
        locked(&self.seen).done = true;
        self.ended.notify_all();
    }

    /// Waits until the thread has ended, at most so long; gives whether it has.
    pub fn wait_done(&self, most: Duration) -> bool {
        let seen = locked(&self.seen);
        let (seen, _) = self
            .ended
            .wait_timeout_while(seen, most, |seen| !seen.done)
            .unwrap_or_else(PoisonError::into_inner);
        seen.done
    }

    /// See [`Status`].
    pub fn status(&self) -> Status {
        let mut status = locked(&self.seen).status.clone();
        let queue = locked(&self.queue);
        status.lost_blocks += queue.dropped.lost_blocks;
        add(&mut status.lost_events, &queue.dropped.lost_events);
        status
    }

    /// What has come since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut locked(&self.seen).notices)
    }

    /// Blocks that wait.
    pub fn waiting(&self) -> u64 {
        locked(&self.queue).items.len() as u64
    }
}

/// Nothing that holds a lock can leave what it guards half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
