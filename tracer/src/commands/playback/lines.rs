//! The lines of what is played: the same for replay and for export as JSON lines.

use std::io::{self, Write};

use super::{Play, Playback};
use crate::render::{Clock, Renderer};
use tracer_format::Note;

impl Playback {
    /// The line of an event or note, with its host where there are several traces; empty for a note of a newer
    /// tool.
    pub fn line(&self, renderer: &Renderer, track: usize, play: &Play) -> String {
        let clock = self.clock(track);
        let line = match play {
            Play::Event(event) => renderer.event(event, clock),
            Play::Note(note) => line_of_note(renderer, note, clock),
        };
        match self.tracks() {
            [_] => line,
            _ if line.is_empty() => line,
            tracks => {
                let track = &tracks[track];
                renderer.of_host(line, track.host.as_deref().unwrap_or(track.name()))
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
