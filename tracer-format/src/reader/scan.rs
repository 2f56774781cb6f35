//! From bytes to blocks that are whole. What is not whole is skipped to the next marker, and said.
//!
//! Works on anything that can be read from front to back; memory is bounded by the longest block.

use std::io::{self, Read};

use memchr::memmem;

use crate::layout::{HEADER_BYTES, Header, MARKER, NoHeader, VERSION};

/// How much is read at once, bytes: little, for as many traces may be read side by side as files can be open.
const CHUNK: usize = 64 << 10;

/// A block whose checksums are right, not yet taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Where it begins, bytes.
    pub offset: u64,
    pub header: Header,
    pub payload: Vec<u8>,
}

/// What a scan finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Block(Raw),
    /// Bytes that are no block, in front of one that is.
    Damage(Span),
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

/// Finds blocks.
#[derive(Debug)]
pub struct Scanner<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer has been dealt with.
    done: usize,
    /// Where the buffer begins in the input.
    offset: u64,
    /// Bytes that are no block, up to the place where we are.
    damage: Option<Damage>,
}

#[derive(Clone, Copy, Debug)]
struct Damage {
    offset: u64,
    /// It begins with a block that is longer than what there is.
    cut: bool,
    /// It is nothing but zeros so far: a file system that lost power leaves such at the end.
    zeros: bool,
}

enum Look {
    Block(Header),
    /// Whole or not, no block begins here.
    None,
    /// A block may begin here, but it is longer than what there is.
    Short,
    /// Everything that there is has been dealt with.
    End,
}

impl<R: Read> Scanner<R> {
    /// Begins at the front of `input`, which is `offset` bytes into the file.
    pub fn new(input: R, offset: u64) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            done: 0,
            offset,
            damage: None,
        }
    }

    /// The next block or damage; `None` when there is no more for now. Whoever knows that nothing will be added
    /// calls [`Self::last`] then.
    ///
    /// # Errors
    /// When reading fails, or a block is of a newer version of the format.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        self.search(false)
    }

    /// As [`Self::next`] where nothing will be added: a block that is cut off is no reason to wait, and what
    /// lies behind its beginning is searched too.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn last(&mut self) -> io::Result<Option<Found>> {
        self.search(true)
    }

    /// What is left behind the last block, and whether it looks like the end of a recorder that was killed (or
    /// of a host that lost power), not like damage.
    pub fn rest(&self) -> Option<(Span, bool)> {
        let end = self.offset + self.buffer.len() as u64;
        let Some(damage) = self.damage else {
            let bytes = end - self.position();
            let offset = self.position();
            return (bytes > 0).then_some((Span { offset, bytes }, true));
        };
        let zeros = damage.zeros && all_zero(&self.buffer[self.done..]);
        let span = Span {
            offset: damage.offset,
            bytes: end - damage.offset,
        };
        Some((span, damage.cut || zeros))
    }

    /// What is read from.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// How far the input has been dealt with, bytes.
    pub fn position(&self) -> u64 {
        self.offset + self.done as u64
    }

    fn search(&mut self, nothing_more: bool) -> io::Result<Option<Found>> {
        loop {
            let look = self.look()?;
            match look {
                Look::Block(header) => {
                    if let Some(Damage { offset, .. }) = self.damage.take() {
                        let bytes = self.position() - offset;
                        return Ok(Some(Found::Damage(Span { offset, bytes })));
                    }
                    return Ok(Some(Found::Block(self.take(header))));
                }
                Look::End => return Ok(None),
                Look::Short if !nothing_more => return Ok(None),
                Look::Short | Look::None => {
                    let offset = self.position();
                    self.damage.get_or_insert(Damage {
                        offset,
                        cut: matches!(look, Look::Short),
                        zeros: true,
                    });
                    if !self.skip(nothing_more)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Is there a whole block at the place where we are?
    fn look(&mut self) -> io::Result<Look> {
        self.fill(HEADER_BYTES)?;
        let Some(bytes) = self.buffer[self.done..].first_chunk() else {
            let rest = &self.buffer[self.done..];
            if rest.is_empty() {
                return Ok(Look::End);
            }
            let common = rest.len().min(MARKER.len());
            return Ok(if rest[..common] == MARKER[..common] {
                Look::Short
            } else {
                Look::None
            });
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(NoHeader::Malformed(_)) => return Ok(Look::None),
            Err(NoHeader::Newer(version)) => {
                let text = format!(
                    "the trace has format {version}, this sendtrace reads up to {VERSION}: use a newer \
                     sendtrace"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        };
        let length = HEADER_BYTES + header.payload_bytes as usize;
        self.fill(length)?;
        let Some(block) = self.buffer[self.done..].get(..length) else {
            return Ok(Look::Short);
        };
        let right = crc32c::crc32c(&block[HEADER_BYTES..]) == header.payload_crc;
        Ok(if right {
            Look::Block(header)
        } else {
            Look::None
        })
    }

    fn take(&mut self, header: Header) -> Raw {
        let offset = self.position();
        let start = self.done + HEADER_BYTES;
        let end = start + header.payload_bytes as usize;
        let payload = self.buffer[start..end].to_vec();
        self.done = end;
        Raw {
            offset,
            header,
            payload,
        }
    }

    /// Goes on to the next marker; `false` when there is none in what can be read now.
    fn skip(&mut self, nothing_more: bool) -> io::Result<bool> {
        // At least one byte on: the marker may be the one that was no block.
        let mut from = self.done + 1;
        loop {
            let rest = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = memmem::find(rest, &MARKER) {
                self.pass(from + at);
                return Ok(true);
            }
            // The last bytes may be the beginning of a marker.
            let end = self.buffer.len();
            self.pass(from.max(end.saturating_sub(MARKER.len() - 1)).min(end));
            let known = self.buffer.len() - self.done;
            if !self.fill(known + 1)? {
                if nothing_more {
                    self.pass(self.buffer.len());
                }
                return Ok(false);
            }
            from = self.done;
        }
    }

    /// Leaves bytes behind that are no block.
    fn pass(&mut self, to: usize) {
        let passed = &self.buffer[self.done..to];
        if let Some(damage) = &mut self.damage {
            damage.zeros &= all_zero(passed);
        }
        self.done = to;
    }

    /// Reads until `wanted` bytes lie behind the place where we are; `false` when there are not so many yet.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffer.len() - self.done < wanted {
            if self.done > 0 {
                self.buffer.drain(..self.done);
                self.offset += self.done as u64;
                self.done = 0;
            }
            let known = self.buffer.len();
            let room = CHUNK.max(wanted - known);
            self.buffer.resize(known + room, 0);
            let result = self.input.read(&mut self.buffer[known..]);
            let read = result.as_ref().map_or(0, |read| *read);
            self.buffer.truncate(known + read);
            match result {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
