//! What could not be written, and the block that says so.
//!
//! The numbers of blocks stay easy to check: a gap block has the number of the **last** block that is missing.
//! So for every block of a recording `seq` is one more than that of the block before, except for a gap block,
//! where it is more by [`Gap::blocks`]; and a START block has the number of the block before it.

use std::io;

use crate::block::{Builder, Seal, Sealed};
use crate::layout::Header;
use crate::note::{Gap, Note};
use tracer_model::event::EventKind;

/// No more reasons than these are listed for one gap: each is different from the others.
const MOST_REASONS: usize = 4;

/// Blocks, one after the other, that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Of the first block that is missing.
    pub first: Header,
    /// Of the last.
    pub last: Header,
    /// Blocks.
    pub blocks: u64,
    /// Events, in the order of [`EventKind::ALL`].
    pub events: [u64; EventKind::ALL.len()],
    first_boot_ns: u64,
    last_boot_ns: u64,
    why: Vec<String>,
}

impl Loss {
    /// One block.
    pub fn of(header: Header, events: [u64; EventKind::ALL.len()], why: &str) -> Self {
        Self {
            first: header,
            last: header,
            blocks: 1,
            events,
            first_boot_ns: header.first_boot_ns,
            last_boot_ns: header.last_boot_ns,
            why: vec![why.to_owned()],
        }
    }

    /// Adds what was lost next.
    pub fn then(&mut self, next: &Self) {
        self.last = next.last;
        self.blocks += next.blocks;
        for (sum, events) in self.events.iter_mut().zip(next.events) {
            *sum += events;
        }
        self.first_boot_ns = self.first_boot_ns.min(next.first_boot_ns);
        self.last_boot_ns = self.last_boot_ns.max(next.last_boot_ns);
        for why in &next.why {
            if self.why.len() < MOST_REASONS && !self.why.contains(why) {
                self.why.push(why.clone());
            }
        }
    }

    /// Adds what was lost next to what may have been lost before.
    pub fn add(loss: &mut Option<Self>, next: Self) {
        match loss {
            Some(loss) => loss.then(&next),
            None => *loss = Some(next),
        }
    }

    /// Events of all kinds.
    pub fn all_events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// What it takes in memory, bytes.
    pub fn memory(&self) -> usize {
        let reasons = self.why.iter().map(|why| why.capacity() + size_of_val(why));
        // Each reason, their list, and itself are allocations.
        size_of::<Self>() + reasons.sum::<usize>() + 16 * (self.why.capacity() + 2)
    }

    /// As a note.
    pub fn note(&self) -> Gap {
        let events = EventKind::ALL.into_iter().zip(self.events);
        Gap {
            first_boot_ns: self.first_boot_ns,
            last_boot_ns: self.last_boot_ns,
            blocks: self.blocks,
            events: events
                .filter(|(_, count)| *count > 0)
                .map(|(event_kind, count)| (event_kind.name().to_owned(), count))
                .collect(),
            why: self.why.join("; "),
        }
    }

    /// The gap block: stands where the blocks are missing.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn block(&self) -> io::Result<Sealed> {
        let mut builder = Builder::new()?;
        builder.note(&Note::Gap(self.note()));
        Ok(builder.seal(&Seal {
            flags: 0,
            trace_id: self.last.trace_id,
            seq: self.last.seq,
            sealed_boot_ns: self.last.sealed_boot_ns,
            wall_minus_boot_ns: self.last.wall_minus_boot_ns,
            clock_steps: self.last.clock_steps,
        }))
    }
}

/// What the kernel says about an error, without Rust's numbers.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
