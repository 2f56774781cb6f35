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

/// What is wrong with a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub what: NoticeKind,
    /// The last block before and the first after it, nanoseconds of CLOCK_BOOTTIME, where there are such.
    pub after_boot_ns: Option<u64>,
    pub before_boot_ns: Option<u64>,
}

/// The kind of a [`Notice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Bytes that are no block.
    Damage(Span),
    /// A block that is not what the format says, although its checksum is right.
    Malformed(u64, &'static str),
    /// The numbers of blocks have a hole.
    Missing(u64),
    /// Blocks that had come already, or of another recording.
    Foreign(u64),
    /// The last block was cut off.
    Torn(Span),
}

impl Notice {
    /// Is this how a recording ends whose recorder was killed? All else is damage.
    pub fn is_torn_tail(&self) -> bool {
        matches!(self.what, NoticeKind::Torn(_))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            NoticeKind::Damage(span) => {
                write!(
                    f,
                    "{} damaged bytes at {} are skipped",
                    span.bytes, span.offset
                )?;
            }
            NoticeKind::Malformed(offset, why) => {
                write!(f, "the block at {offset} is skipped: {why}")?
            }
            NoticeKind::Missing(1) => f.write_str("one block is missing")?,
            NoticeKind::Missing(blocks) => write!(f, "{blocks} blocks are missing")?,
            NoticeKind::Foreign(offset) => write!(
                f,
                "the block at {offset} is skipped: it came already, or is of another recording"
            )?,
            NoticeKind::Torn(span) => write!(
                f,
                "the last {} bytes, from {} on, are no whole block: the recorder was ended in the middle",
                span.bytes, span.offset
            )?,
        }
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
    /// Damage whose end in time is not known yet.
    open: Vec<NoticeKind>,
    /// The next block is the first after a jump: numbers say nothing.
    jumped: bool,
}

impl Chain {
    /// Blocks are left out on purpose: the next one does not follow the last one.
    pub fn jump(&mut self) {
        self.jumped = true;
    }

    /// Takes what a scan found; gives what there is to say and the block, if it is one to be used.
    pub fn add(&mut self, found: Found, out: &mut Vec<ReadItem>) {
        match found {
            Found::Damage(span) => self.open.push(NoticeKind::Damage(span)),
            Found::Block(raw) => self.block(raw, out),
        }
    }

    /// The end; `rest` is what was left behind the last block, and whether it is a block that was cut off.
    pub fn finish(&mut self, rest: Option<(Span, bool)>, out: &mut Vec<ReadItem>) {
        self.open.extend(rest.map(|(span, torn)| match torn {
            true => NoticeKind::Torn(span),
            false => NoticeKind::Damage(span),
        }));
        self.say(None, out);
    }

    fn block(&mut self, raw: Raw, out: &mut Vec<ReadItem>) {
        let Raw {
            offset,
            header,
            payload,
        } = raw;
        if self.is_foreign(&header) {
            self.open.push(NoticeKind::Foreign(offset));
            return;
        }
        let block = match Block::decode(header, payload) {
            Ok(block) => block,
            Err(malformed) => return self.open.push(NoticeKind::Malformed(offset, malformed.0)),
        };
        let missing = self.missing(&block);
        if missing > 0 {
            self.open.push(NoticeKind::Missing(missing));
        }
        self.say(Some(&header), out);
        self.jumped = false;
        self.last = Some(Last {
            trace_id: header.trace_id,
            seq: header.seq,
            sealed_boot_ns: header.sealed_boot_ns,
        });
        out.push(ReadItem::Block(Box::new(block)));
    }

    /// A block that came already must not count twice; one of another recording without a beginning of its own
    /// is what a file system left from another file.
    fn is_foreign(&self, header: &Header) -> bool {
        let Some(last) = self.last else { return false };
        if header.trace_id != last.trace_id {
            return !header.starts();
        }
        // A segment begins with the number of the last block of the segment before.
        header.seq < last.seq || (header.seq == last.seq && !header.starts())
    }

    /// How many blocks are missing before this one; gaps that the recorder knew of have a note of their own.
    fn missing(&self, block: &Block) -> u64 {
        let Some(last) = self.last.filter(|_| !self.jumped) else {
            return 0;
        };
        if block.header.trace_id != last.trace_id {
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
        jump.saturating_sub(told.sum())
    }

    fn say(&mut self, next: Option<&Header>, out: &mut Vec<ReadItem>) {
        for what in self.open.drain(..) {
            out.push(ReadItem::Notice(Notice {
                what,
                after_boot_ns: self.last.map(|last| last.sealed_boot_ns),
                before_boot_ns: next.map(|header| header.first_boot_ns),
            }));
        }
    }
}
