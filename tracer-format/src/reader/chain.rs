//! Blocks that follow each other: what is missing between them is said, and what comes twice is left out.

use std::fmt;

use super::scan::{Found, Raw, Span};
use crate::block::Block;
use crate::layout::Header;
use crate::note::Note;

/// What comes out of a trace.
#[derive(Debug)]
pub enum ReadItem {
    Block(Box<Block>),
    Notice(Notice),
}

/// What is wrong with a trace at one place: one hole, however it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Bytes that are no block: where the first are, and how many.
    pub damaged: Option<Span>,
    /// Blocks that are not what the format says, although their checksum is right.
    pub malformed: Option<Malformed>,
    /// How many the numbers of blocks leave out.
    pub missing: u64,
    /// Blocks that had come already, or of another recording.
    pub foreign: Option<Foreign>,
    /// The last block was cut off.
    pub torn: Option<Span>,
    /// The last block before, nanoseconds of CLOCK_BOOTTIME, where there is one.
    pub after_boot_ns: Option<u64>,
    /// The first block after it, nanoseconds of CLOCK_BOOTTIME, where there is one.
    pub before_boot_ns: Option<u64>,
}

/// See [`Notice::malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where the first one begins.
    pub offset: u64,
    /// What is wrong with it.
    pub why: &'static str,
    pub blocks: u64,
}

/// See [`Notice::foreign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where the first one begins.
    pub offset: u64,
    pub blocks: u64,
}

impl Notice {
    /// Is this how a recording ends whose recorder was killed? All else is damage.
    pub fn is_torn_tail(&self) -> bool {
        self.torn.is_some()
            && self.damaged.is_none()
            && self.malformed.is_none()
            && self.missing == 0
            && self.foreign.is_none()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add_damage(&mut self, span: Span) {
        let known = self.damaged.get_or_insert(Span { bytes: 0, ..span });
        known.bytes = known.bytes.saturating_add(span.bytes);
    }

    fn add_malformed(&mut self, offset: u64, why: &'static str) {
        let blocks = 0;
        let known = self.malformed.get_or_insert(Malformed {
            offset,
            why,
            blocks,
        });
        known.blocks += 1;
    }

    fn add_foreign(&mut self, offset: u64) {
        let known = self.foreign.get_or_insert(Foreign { offset, blocks: 0 });
        known.blocks += 1;
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(span) = self.damaged {
            let Span { offset, bytes } = span;
            parts.push(format!("{bytes} damaged bytes at {offset} are skipped"));
        }
        if let Some(Malformed {
            offset,
            why,
            blocks,
        }) = self.malformed
        {
            parts.push(match blocks {
                1 => format!("the block at {offset} is skipped: {why}"),
                _ => format!("{blocks} blocks from {offset} on are skipped: {why}"),
            });
        }
        if let Some(Foreign { offset, blocks }) = self.foreign {
            parts.push(match blocks {
                1 => format!(
                    "the block at {offset} is skipped: it came already, or is of another recording"
                ),
                _ => format!(
                    "{blocks} blocks from {offset} on are skipped: they came already, or are of another recording"
                ),
            });
        }
        match self.missing {
            0 => {}
            1 => parts.push("one block is missing".to_owned()),
            blocks => parts.push(format!("{blocks} blocks are missing")),
        }
        if let Some(Span { offset, bytes }) = self.torn {
            parts.push(format!(
                "the last {bytes} bytes, from {offset} on, are no whole block: the recorder was ended in the middle"
            ));
        }
        f.write_str(&parts.join("; "))?;
        if let (Some(after), Some(before)) = (self.after_boot_ns, self.before_boot_ns) {
            let seconds = before.saturating_sub(after) as f64 / 1e9;
            write!(
                f,
                "; {seconds:.3} s of the recording are not, or not wholly, covered"
            )?;
        }
        Ok(())
    }
}

/// What has been read last.
#[derive(Clone, Copy, Debug)]
struct Last {
    trace_id: [u8; 16],
    seq: u64,
    sealed_boot_ns: u64,
}

/// Checks blocks one after the other.
#[derive(Debug, Default)]
pub struct Chain {
    last: Option<Last>,
    /// What is wrong behind the last block, whose end in time is not known yet.
    hole: Notice,
    /// The next block is the first after a jump: numbers say nothing.
    jumped: bool,
    /// Blocks are in a window of the flight recorder that came already, in the window before: they are whole, and
    /// count once.
    overlaps: bool,
}

impl Chain {
    /// Blocks are left out on purpose: the next one does not follow the last one.
    pub fn jump(&mut self) {
        self.jumped = true;
    }

    /// Takes what a scan found; gives what there is to say and the block, if it is one to be used.
    pub fn add(&mut self, found: Found, out: &mut Vec<ReadItem>) {
        match found {
            Found::Damage(span) => self.hole.add_damage(span),
            Found::Block(raw) => self.block(raw, out),
        }
    }

    /// The end of a segment, which others may follow; `rest` is what was left behind the last block, and whether it
    /// is a block that was cut off.
    pub fn end_segment(&mut self, rest: Option<(Span, bool)>) {
        match rest {
            Some((span, true)) => self.hole.torn = Some(span),
            Some((span, false)) => self.hole.add_damage(span),
            None => {}
        }
    }

    /// The end: no segment follows.
    pub fn finish(&mut self, rest: Option<(Span, bool)>, out: &mut Vec<ReadItem>) {
        self.end_segment(rest);
        self.say(None, out);
    }

    fn block(&mut self, raw: Raw, out: &mut Vec<ReadItem>) {
        let Raw {
            offset,
            header,
            payload,
        } = raw;
        if self.is_foreign(&header) {
            if !self.overlaps {
                self.hole.add_foreign(offset);
            }
            return;
        }
        let block = match Block::decode(header, payload) {
            Ok(block) => block,
            Err(malformed) => return self.hole.add_malformed(offset, malformed.0),
        };
        self.hole.missing = self.missing(&block);
        self.say(Some(&header), out);
        self.jumped = false;
        self.overlaps = false;
        self.last = Some(Last {
            trace_id: header.trace_id,
            seq: header.seq,
            sealed_boot_ns: header.sealed_boot_ns,
        });
        out.push(ReadItem::Block(Box::new(block)));
    }

    /// A block that came already must not count twice; one of another recording without a beginning of its own
    /// is what a file system left from another file.
    fn is_foreign(&mut self, header: &Header) -> bool {
        let Some(last) = self.last else { return false };
        if header.trace_id != last.trace_id {
            return !header.starts();
        }
        self.overlaps |= header.begins_window() && header.seq < last.seq;
        // A segment begins with the number of the last block of the segment before.
        header.seq < last.seq || (header.seq == last.seq && !header.starts())
    }

    /// How many blocks are missing before this one; gaps that the recorder knew of have a note of their own, and
    /// nobody wanted what lies between two windows of the flight recorder.
    fn missing(&self, block: &Block) -> u64 {
        let Some(last) = self.last.filter(|_| !self.jumped) else {
            return 0;
        };
        if block.header.trace_id != last.trace_id || block.header.begins_window() {
            return 0;
        }
        let own = u64::from(!block.header.starts());
        let jump = block
            .header
            .seq
            .saturating_sub(last.seq)
            .saturating_sub(own);
        let told = block.notes.iter().map(|(_, note)| match note {
            Note::Gap(gap) => gap.blocks,
            _ => 0,
        });
        let told = told.fold(0, u64::saturating_add);
        jump.saturating_sub(told)
    }

    fn say(&mut self, next: Option<&Header>, out: &mut Vec<ReadItem>) {
        let hole = std::mem::take(&mut self.hole);
        if !hole.is_empty() {
            out.push(ReadItem::Notice(Notice {
                after_boot_ns: self.last.map(|last| last.sealed_boot_ns),
                before_boot_ns: next.map(|header| header.first_boot_ns),
                ..hole
            }));
        }
    }
}
