//! The lines of what is read: the same for replay and for export as JSON lines.

use std::io::{self, Write};

use super::{Item, MergedReader};
use crate::render::{Clock, Renderer};
use tracer_format::Note;

impl MergedReader {
    /// The line of an event or note, with its host where there are several traces; empty for a note of a newer
    /// tool.
    pub fn line(&self, renderer: &Renderer, trace: usize, item: &Item) -> String {
        let clock = self.clock(trace);
        let line = match item {
            Item::Event(event) => renderer.event(event, clock),
            Item::Note(note) => line_of_note(renderer, note, clock),
        };
        match self.traces() {
            [_] => line,
            _ if line.is_empty() => line,
            traces => {
                let trace = &traces[trace];
                renderer.of_host(line, trace.host.as_deref().unwrap_or(trace.name()))
            }
        }
    }

    /// Writes what stands at the end: rows of what was counted instead of listed, and the totals.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_end(&mut self, renderer: &Renderer, out: &mut impl Write) -> io::Result<()> {
        let counted = self.counted();
        let clock = self.clock(0);
        out.write_all(renderer.counted(&counted, clock).as_bytes())?;
        out.write_all(renderer.totals(&self.totals()).as_bytes())
    }
}

fn line_of_note(renderer: &Renderer, note: &Note, clock: &Clock) -> String {
    match note {
        Note::Sample(sample) => renderer.sample(sample, clock),
        Note::Change(change) => renderer.change(change, clock),
        Note::Trigger(fired) => renderer.trigger(fired.boot_ns, &fired.expression, clock),
        _ => String::new(),
    }
}
