//! The block that begins every file and segment: each stands alone.

use std::io;

use serde_json::{Map, Value};

use super::block::{Builder, Seal, Sealed};
use super::layout::{Header, flag};
use super::note::{Counters, Note};

/// What every segment of a recording begins with.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Of the recording.
    pub trace_id: [u8; 16],
    /// The note `header`.
    pub facts: Map<String, Value>,
}

impl Start {
    /// The block that stands before `next`. It has the number of the block before, so that numbers go on over
    /// segments; `counters` are as they stood before `next`. `is_window`: of the flight recorder.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn before(
        &self,
        next: &Header,
        counters: &Counters,
        is_window: bool,
    ) -> io::Result<Sealed> {
        let mut builder = Builder::new()?;
        builder.note(&Note::Header(self.facts.clone()));
        builder.note(&Note::Counters(counters.clone()));
        Ok(builder.seal(&Seal {
            flags: flag::START | if is_window { flag::WINDOW } else { 0 },
            trace_id: self.trace_id,
            seq: next.seq.saturating_sub(1),
            // The time of what follows, so that a search by time finds it.
            sealed_boot_ns: next.first_boot_ns.min(next.sealed_boot_ns),
            wall_minus_boot_ns: next.wall_minus_boot_ns,
            clock_steps: next.clock_steps,
        }))
    }
}
