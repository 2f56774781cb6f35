//! One file: whole blocks, one after the other, whatever fails.

use std::io;

use super::disk::{Identity, Sink};
use super::gap::Loss;
use crate::note::Counters;

/// A file that is being written.
pub struct Segment {
    sink: Box<dyn Sink>,
    /// As the user should see it.
    pub name: String,
    /// Where the next block goes, bytes.
    end: u64,
    /// Bytes behind `end` of a block that could be neither finished nor cut off.
    torn: u64,
    /// When the oldest bytes were written that are not known to be on the disk, nanoseconds of CLOCK_BOOTTIME.
    unsynced_since: Option<u64>,
    /// Is there a START block?
    pub started: bool,
    /// When its first block was sealed, nanoseconds of CLOCK_BOOTTIME.
    pub began_boot_ns: u64,
    /// What is nowhere if the file is deleted.
    pub holds: Option<Loss>,
    /// As they stood before its first block.
    pub before: Counters,
    /// It has not the name any more that it was given, which has been said.
    pub renamed: bool,
}

/// Blocks that could not be written, or not all.
#[derive(Debug)]
pub struct Failed {
    pub error: io::Error,
    /// So many of the first blocks are in the file in spite of it.
    pub whole: usize,
}

impl Segment {
    pub fn new(sink: Box<dyn Sink>, name: String, began_boot_ns: u64) -> Self {
        Self {
            sink,
            name,
            end: 0,
            torn: 0,
            unsynced_since: None,
            started: false,
            began_boot_ns,
            holds: None,
            before: Counters::default(),
            renamed: false,
        }
    }

    /// See [`Sink::identity`]; `None` when it cannot be told.
    pub fn identity(&mut self) -> Option<Identity> {
        self.sink.identity().ok().flatten()
    }

    /// Length, bytes.
    pub fn bytes(&self) -> u64 {
        self.end + self.torn
    }

    /// Writes blocks: all of them, or none.
    ///
    /// # Errors
    /// When a block could not be written. What was written of them is cut off again. Where that fails as well,
    /// it is tried again before the next block; and if it still fails, the torn block stays where it is, and
    /// readers find the next one by its marker.
    pub fn append(&mut self, blocks: &[&[u8]], now_boot_ns: u64) -> Result<(), Failed> {
        self.mend();
        let mut written = 0;
        for block in blocks {
            if let Err(error) = self.write(block, &mut written) {
                return Err(self.undo(blocks, written, error));
            }
        }
        self.end += written;
        self.unsynced_since.get_or_insert(now_boot_ns);
        Ok(())
    }

    /// Adds to `written` what the file took.
    fn write(&mut self, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.sink.write_at(self.end + *written, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *written += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn undo(&mut self, blocks: &[&[u8]], written: u64, error: io::Error) -> Failed {
        let mut whole = 0;
        if written > 0 && self.sink.truncate(self.end).is_err() {
            let mut left = written;
            for block in blocks {
                let Some(rest) = left.checked_sub(block.len() as u64) else {
                    break;
                };
                left = rest;
                whole += 1;
            }
            self.end += written - left;
            self.torn = left;
        }
        Failed { error, whole }
    }

    /// Cuts off what is left of a block that failed.
    fn mend(&mut self) {
        if self.torn > 0 && self.sink.truncate(self.end).is_err() {
            self.end += self.torn;
        }
        self.torn = 0;
    }

    /// When the oldest bytes were written that are not known to be on the disk.
    pub fn unsynced_since(&self) -> Option<u64> {
        self.unsynced_since
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// See [`Sink::sync`]. It is not tried again for the same bytes: that would succeed without saving them.
    pub fn sync(&mut self) -> io::Result<()> {
        match self.unsynced_since.take() {
            Some(_) => self.sink.sync(),
            None => Ok(()),
        }
    }

    /// Nothing more will be written: the last attempt to cut off what is torn, and [`Self::sync`].
    ///
    /// # Errors
    /// See [`Self::sync`].
    pub fn close(&mut self) -> io::Result<()> {
        self.mend();
        self.sync()
    }
}
