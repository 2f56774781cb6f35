//! A large trace out of a recorded one: its events in full blocks, over and over, later each time.
//!
//! Only for what depends on size. Each block is whole and valid: number, times and checksums are its own.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tracer_format::block::Block;
use tracer_format::column::Column;
use tracer_format::layout::{HEADER_BYTES, Header, flag};
use tracer_format::reader::recording::{ReadStep, Recording};
use tracer_format::reader::{Notice, ReadItem};
use tracer_format::wire::{Cursor, put_varint, unzigzag, zigzag};
use tracer_format::{Builder, Note, Seal, Sealed};

/// What a trace holds.
#[derive(Debug, Default)]
pub struct Content {
    pub events: u64,
    pub blocks: u64,
    /// Different flows, by protocol and ends.
    pub flows: usize,
    pub with_tcp: u64,
    /// Of the event kinds that are in the trace, what its totals say was lost.
    pub lost: u64,
    /// Stored bytes of each section, and bytes of headers.
    pub sections: Vec<(u64, u64)>,
    pub header_bytes: u64,
}

/// Reads a trace.
pub fn content(path: &Path) -> Result<Content> {
    let mut content = Content::default();
    let mut flows = std::collections::HashSet::new();
    let mut sections = std::collections::BTreeMap::<u64, u64>::new();
    blocks(path, |block| {
        content.blocks += 1;
        content.header_bytes += HEADER_BYTES as u64;
        let mut events = block.events()?;
        while let Some(event) = events.next()? {
            content.events += 1;
            content.with_tcp += u64::from(event.tcp.is_some());
        }
        flows.extend(block.flows.iter().cloned());
        for (_, note) in &block.notes {
            if let Note::Totals(counters) = note {
                let totals = &counters.totals;
                content.lost = totals.events.iter().map(|(_, sums)| sums.lost).sum();
            }
        }
        for section in split(block.payload())? {
            *sections.entry(section.number).or_default() += section.all.len() as u64;
        }
        Ok(())
    })?;
    content.flows = flows.len();
    content.sections = sections.into_iter().collect();
    Ok(content)
}

fn blocks(path: &Path, mut each: impl FnMut(&Block) -> Result<()>) -> Result<()> {
    let name = path.to_str().context("a path that is not UTF-8")?;
    let mut recording = Recording::open(name, false)?;
    loop {
        match recording.next()? {
            ReadStep::End | ReadStep::Wait => return Ok(()),
            ReadStep::Item(ReadItem::Block(block)) => each(&block)?,
            ReadStep::Item(ReadItem::Notice(notice)) => refuse(&notice)?,
        }
    }
}

fn refuse(notice: &Notice) -> Result<()> {
    anyhow::bail!("a trace that was just written is damaged: {notice:?}")
}

/// Makes a trace of at least `size` bytes; gives how many events are in it.
pub fn enlarge(from: &Path, to: &Path, size: u64) -> Result<u64> {
    let (start, full) = full_blocks(from)?;
    ensure!(!full.is_empty(), "the recorded trace has no events");
    let first = full.iter().map(|block| block.header.first_boot_ns).min();
    let last = full.iter().map(|block| block.header.last_boot_ns).max();
    // The next time comes right behind the one before.
    let step = last.unwrap_or(0) - first.unwrap_or(0) + 1000;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to)?);
    out.write_all(&start.bytes)?;
    let (mut written, mut events, mut seq) = (start.bytes.len() as u64, 0, start.header.seq);
    for turn in 0.. {
        for block in &full {
            seq += 1;
            let bytes = later(block, turn * step, seq)?;
            out.write_all(&bytes)?;
            written += bytes.len() as u64;
            events += u64::from(block.header.events);
        }
        if written >= size {
            break;
        }
    }
    let file = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(events)
}

/// The first block, and all events in blocks that are closed when they are full.
fn full_blocks(from: &Path) -> Result<(Sealed, Vec<Sealed>)> {
    let mut builder = Builder::new()?;
    let mut sealed = Vec::new();
    let mut start = None;
    let seal = |header: &Header, flags| Seal {
        flags,
        trace_id: header.trace_id,
        seq: 0,
        sealed_boot_ns: 0,
        wall_minus_boot_ns: header.wall_minus_boot_ns,
        clock_steps: 0,
    };
    let mut latest = 0;
    blocks(from, |block| {
        let header = &block.header;
        if start.is_none() {
            for (_, note) in &block.notes {
                builder.note(note);
            }
            let mut begin = builder.seal(&seal(header, flag::START));
            begin.header.sealed_boot_ns = header.sealed_boot_ns;
            begin.header.first_boot_ns = header.sealed_boot_ns;
            begin.header.last_boot_ns = header.sealed_boot_ns;
            let mut bytes = Vec::from(begin.bytes);
            bytes[..HEADER_BYTES].copy_from_slice(&begin.header.encode());
            begin.bytes = bytes.into();
            start = Some(begin);
        }
        let mut events = block.events()?;
        while let Some(event) = events.next()? {
            latest = event.boot_ns.max(latest);
            builder.event(&event);
            if builder.is_full() {
                let mut block = builder.seal(&seal(header, 0));
                block.header.sealed_boot_ns = latest;
                sealed.push(block);
            }
        }
        Ok(())
    })?;
    Ok((start.context("the recorded trace is empty")?, sealed))
}

struct Section<'a> {
    number: u64,
    packing: u64,
    length: u64,
    stored: &'a [u8],
    all: &'a [u8],
}

fn split(payload: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    let mut cursor = Cursor::new(payload);
    while !cursor.is_empty() {
        let at = payload.len() - cursor.len();
        let number = cursor.varint()?;
        let packing = cursor.varint()?;
        let length = cursor.varint()?;
        let count = cursor.length()?;
        let stored = cursor.take(count)?;
        let all = &payload[at..payload.len() - cursor.len()];
        sections.push(Section {
            number,
            packing,
            length,
            stored,
            all,
        });
    }
    Ok(sections)
}

/// The same block, `by` nanoseconds later: only the time of the first event is absolute.
fn later(block: &Sealed, by: u64, seq: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut raw_bytes = block.header.raw_bytes;
    for section in split(&block.bytes[HEADER_BYTES..])? {
        if section.number != Column::Time as u64 {
            bytes.extend_from_slice(section.all);
            continue;
        }
        let times = match section.packing {
            0 => section.stored.to_vec(),
            // A column of times with nothing but one byte has no time.
            _ => zstd::bulk::decompress(section.stored, usize::try_from(section.length)?)?,
        };
        let mut cursor = Cursor::new(&times);
        let first = unzigzag(cursor.varint()?).wrapping_add_unsigned(by);
        let mut moved = Vec::with_capacity(times.len() + 1);
        put_varint(&mut moved, zigzag(first));
        moved.extend_from_slice(&times[times.len() - cursor.len()..]);
        raw_bytes = raw_bytes - times.len() as u32 + moved.len() as u32;
        let packed = zstd::bulk::compress(&moved, 1)?;
        for number in [section.number, 1, moved.len() as u64, packed.len() as u64] {
            put_varint(&mut bytes, number);
        }
        bytes.extend_from_slice(&packed);
    }
    let payload = &bytes[HEADER_BYTES..];
    let header = Header {
        payload_bytes: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
        raw_bytes,
        seq,
        sealed_boot_ns: block.header.sealed_boot_ns + by,
        first_boot_ns: block.header.first_boot_ns + by,
        last_boot_ns: block.header.last_boot_ns + by,
        ..block.header
    };
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    Ok(bytes)
}
