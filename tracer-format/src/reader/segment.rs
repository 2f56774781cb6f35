//! One file: from its front to its end, or from a time on.
//!
//! A time is found without an index: markers make it possible to begin anywhere, and blocks are closed in the
//! order of time, so a search that halves the file reads some dozen headers, whatever its size.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use memchr::memmem;

use crate::layout::{HEADER_BYTES, Header, MARKER, MOST_BYTES};

/// When the halves are shorter than this, bytes, headers are walked. Tests have small files.
const WALK: u64 = if cfg!(test) { 4 << 10 } else { 1 << 20 };
/// How much is read to find a marker, bytes.
const PROBE: usize = 64 << 10;

/// Where to begin reading in a file for all that was recorded from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the block to begin with, bytes; the end of the file when all is older.
    pub offset: u64,
    /// Of the block before it.
    pub before: Option<u64>,
}

/// Finds the first block that was closed at or after `wall_ns`.
///
/// # Errors
/// When reading fails.
pub fn seek(file: &File, wall_ns: i128) -> io::Result<Place> {
    let end = file.metadata()?.len();
    let front = Place {
        offset: 0,
        before: None,
    };
    // Where the front is damaged, or the clock was set, time does not tell the place.
    let Some(first) = header_at(file, 0)? else {
        return Ok(front);
    };
    if last(file)?.is_some_and(|last| last.clock_steps != first.clock_steps) {
        return Ok(front);
    }
    let (mut low, mut high) = (0, end);
    while high - low > WALK {
        let middle = low + (high - low) / 2;
        match next_header(file, middle, high, Some(&first.trace_id))? {
            None => high = middle,
            Some((offset, header)) if is_before(&header, wall_ns) => low = offset,
            Some(_) => high = middle,
        }
    }
    walk(file, low, end, &first, wall_ns)
}

/// The header of the block with which a file begins.
///
/// # Errors
/// When reading fails.
pub fn first(file: &File) -> io::Result<Option<Header>> {
    header_at(file, 0)
}

/// The header of the last block of a file, or of one before it when the end is damaged; `None` when much is.
///
/// # Errors
/// When reading fails.
pub fn last(file: &File) -> io::Result<Option<Header>> {
    let end = file.metadata()?.len();
    let mut from = end.saturating_sub(PROBE as u64);
    loop {
        let mut found = None;
        let mut at = from;
        while let Some((offset, header)) = next_header(file, at, end, None)? {
            found = Some(header);
            at = offset + HEADER_BYTES as u64;
        }
        if found.is_some() || from == 0 || end - from > u64::from(MOST_BYTES) {
            return Ok(found);
        }
        from = from.saturating_sub((end - from).max(PROBE as u64));
    }
}

/// Was the block closed before a time of the wall clock?
pub fn is_before(header: &Header, wall_ns: i128) -> bool {
    header.wall_ns(header.sealed_boot_ns) < wall_ns
}

/// From header to header, beginning at one, until one is late enough.
fn walk(file: &File, from: u64, end: u64, first: &Header, wall_ns: i128) -> io::Result<Place> {
    let mut place = Place {
        offset: from,
        before: None,
    };
    while let Some(header) = header_at(file, place.offset)? {
        if !is_before(&header, wall_ns) || header.trace_id != first.trace_id {
            return Ok(place);
        }
        place = Place {
            offset: place.offset + HEADER_BYTES as u64 + u64::from(header.payload_bytes),
            before: Some(place.offset),
        };
        if place.offset >= end {
            break;
        }
    }
    Ok(place)
}

fn header_at(file: &File, offset: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Header::decode(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first header between two offsets; of a recording when its number is given.
fn next_header(
    file: &File,
    from: u64,
    to: u64,
    trace_id: Option<&[u8; 16]>,
) -> io::Result<Option<(u64, Header)>> {
    let mut probe = vec![0; PROBE];
    let mut at = from;
    while at < to {
        let read = file.read_at(&mut probe, at)?;
        for found in memmem::find_iter(&probe[..read], &MARKER) {
            let offset = at + found as u64;
            if offset >= to {
                return Ok(None);
            }
            if let Some(header) = header_at(file, offset)?
                && trace_id.is_none_or(|id| header.trace_id == *id)
            {
                return Ok(Some((offset, header)));
            }
        }
        if read < MARKER.len() {
            break;
        }
        // A marker may lie across two probes.
        at += (read - (MARKER.len() - 1)) as u64;
    }
    Ok(None)
}

/// A file being read, whose place is its own even when the file is open several times.
#[derive(Debug)]
pub struct FileInput(File);

impl FileInput {
    /// # Errors
    /// When the file cannot be read from there.
    pub fn new(mut file: File, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self(file))
    }
}

impl Read for FileInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
