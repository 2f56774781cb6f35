//! What a writer has done, for whoever watches.

use std::collections::HashMap;
use std::path::PathBuf;

use super::gap::Loss;
use tracer_model::event::EventKind;

/// The same warning is not repeated within this time, nanoseconds.
const QUIET_NS: u64 = 60_000_000_000;
/// No more than these wait to be read.
const MOST_NOTICES: usize = 64;

/// Counts since the writer began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Of all files, bytes.
    pub bytes: u64,
    /// Of those that were submitted, written.
    pub blocks: u64,
    /// Written, in the order of [`EventKind::ALL`].
    pub events: [u64; EventKind::ALL.len()],
    /// Files that were begun.
    pub files: u64,
    /// Blocks that were dropped.
    pub lost_blocks: u64,
    /// Events that were dropped with them, in the order of [`EventKind::ALL`].
    pub lost_events: [u64; EventKind::ALL.len()],
    /// Blocks that were written into a file that was deleted meanwhile; they are among those dropped.
    pub deleted_blocks: u64,
    /// The file that is being written, or was last. `None` for standard output, and before the first.
    pub path: Option<PathBuf>,
    /// Why nothing is written at the moment.
    pub problem: Option<String>,
    /// Nobody reads standard output any more: there is nothing left to do.
    pub reader_gone: bool,
}

impl Status {
    /// Events of all kinds that were written.
    pub fn all_events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Events of all kinds that were dropped.
    pub fn all_lost_events(&self) -> u64 {
        self.lost_events.iter().sum()
    }

    /// What was written is nowhere.
    pub(super) fn unwrite(&mut self, loss: &Loss) {
        self.blocks = self.blocks.saturating_sub(loss.blocks);
        self.lost_blocks += loss.blocks;
        self.deleted_blocks += loss.blocks;
        for (sum, events) in self.events.iter_mut().zip(loss.events) {
            *sum = sum.saturating_sub(events);
        }
        add(&mut self.lost_events, &loss.events);
    }

    /// Counts a block that was dropped.
    pub(super) fn lose(&mut self, events: &[u64; EventKind::ALL.len()]) {
        self.lost_blocks += 1;
        add(&mut self.lost_events, events);
    }
}

/// Adds numbers per event kind.
pub(super) fn add(sums: &mut [u64; EventKind::ALL.len()], events: &[u64; EventKind::ALL.len()]) {
    for (sum, events) in sums.iter_mut().zip(events) {
        *sum += events;
    }
}

/// A message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// One line.
    Warning(String),
    /// A window of the flight recorder is on the disk, whole.
    Complete(PathBuf),
}

/// Notices that wait to be read.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: Vec<Notice>,
    said: HashMap<String, u64>,
}

impl Notices {
    /// Warns, unless the same was said within the last minute. `key` says what counts as the same.
    pub fn warn(&mut self, key: &str, text: String, now_boot_ns: u64) {
        self.said
            .retain(|_, said| now_boot_ns.saturating_sub(*said) < QUIET_NS);
        if self.said.contains_key(key) || self.waiting.len() >= MOST_NOTICES {
            return;
        }
        self.said.insert(key.to_owned(), now_boot_ns);
        self.waiting.push(Notice::Warning(text));
    }

    /// Says it in any case.
    pub fn tell(&mut self, notice: Notice) {
        self.waiting.push(notice);
    }

    /// What has come since the last call.
    pub fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.waiting)
    }
}
