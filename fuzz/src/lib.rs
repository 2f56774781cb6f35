//! What is done to hostile bytes, and what must be true of whatever comes out.

use std::io::Read;

use tracer_model::event::{Event, EventKind};
use tracer_format::layout::{HEADER_BYTES, Header, MARKER};
use tracer_format::reader::scan::{Found, Scanner};
use tracer_format::reader::{Chain, ReadItem};
use tracer_format::{Block, Builder, Malformed, Note, Seal};

/// A function that a target feeds.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 2] = [("reader", reader), ("decoder", decoder)];

/// No block has more events than a header can say; this many are put together at most.
const MOST_EVENTS: usize = 20_000;

/// Bytes as a file: as they are, and with checksums made right, without which little is ever looked at.
pub fn reader(bytes: &[u8]) {
    read(bytes);
    let repaired = repaired(bytes);
    if repaired != bytes {
        read(&repaired);
    }
}

/// Bytes as a block's payload: the first eight are what its header says of events and lengths.
pub fn decoder(bytes: &[u8]) {
    let Some((head, payload)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let [events, raw_bytes] = [&head[..4], &head[4..]].map(number);
    let header = Header {
        payload_bytes: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
        events,
        raw_bytes,
        ..Header::default()
    };
    // What the scan refuses never comes here.
    if Header::decode(&header.encode()).is_ok()
        && let Ok(block) = Block::decode(header, payload.to_vec())
    {
        take_apart(&block);
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// Every byte is part of a block or said to be none, in order; however the bytes come in.
fn read(bytes: &[u8]) {
    let Some(found) = scan(bytes) else { return };
    let dripping = Dripping { bytes, turn: 0 };
    assert_eq!(
        scan(dripping).as_ref(),
        Some(&found),
        "it matters how bytes come in"
    );
    let mut at = 0;
    let mut chain = Chain::default();
    let mut items = Vec::new();
    for found in found.0 {
        let (offset, length) = match &found {
            Found::Damage(span) => (span.offset, span.bytes),
            Found::Block(raw) => (raw.offset, (HEADER_BYTES + raw.payload.len()) as u64),
        };
        assert_eq!(offset, at, "bytes that nobody accounts for");
        at += length;
        chain.add(found, &mut items);
    }
    let rest = found.1;
    assert_eq!(
        at + rest.map_or(0, |(span, _)| span.bytes),
        bytes.len() as u64
    );
    chain.finish(rest, &mut items);
    for item in items {
        match item {
            ReadItem::Block(block) => take_apart(&block),
            ReadItem::Notice(notice) => drop(notice.to_string()),
        }
    }
}

type Scan = (
    Vec<Found>,
    Option<(tracer_format::reader::scan::Span, bool)>,
);

/// `None` for a trace of a newer format.
fn scan(input: impl Read) -> Option<Scan> {
    let mut scanner = Scanner::new(input, 0);
    let mut found = Vec::new();
    while let Some(next) = scanner.last().ok()? {
        found.push(next);
    }
    Some((found, scanner.rest()))
}

/// Gives its bytes in pieces of odd lengths.
struct Dripping<'a> {
    bytes: &'a [u8],
    turn: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        const LENGTHS: [usize; 5] = [1, 97, 7, 300, 4096];
        self.turn += 1;
        let most = LENGTHS[self.turn % LENGTHS.len()].min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}

/// The same bytes with right checksums wherever there is a marker.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        if bytes[at..at + MARKER.len()] != MARKER {
            at += 1;
            continue;
        }
        let length = number(&bytes[at + 12..at + 16]) as usize;
        let end = (at + HEADER_BYTES).saturating_add(length).min(bytes.len());
        let crc = crc32c::crc32c(&bytes[at + HEADER_BYTES..end]);
        bytes[at + 88..at + 92].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[at..at + 92]);
        bytes[at + 92..at + 96].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    bytes
}

/// Everything that a reader may ask of a block.
fn take_apart(block: &Block) {
    let _ = codes(block);
    for (_, note) in &block.notes {
        if let Note::Counted(row) = note {
            drop(block.counted(row));
        }
    }
    let Ok(events) = events(block) else { return };
    // What was read can be written, and is the same when it is read again.
    let mut builder = Builder::new().expect("memory");
    events.iter().for_each(|event| builder.event(event));
    let sealed = builder.seal(&Seal::default());
    if sealed.header.raw_bytes > tracer_format::layout::MOST_BYTES {
        return;
    }
    let payload = sealed.bytes[HEADER_BYTES..].to_vec();
    let again = Block::decode(sealed.header, payload).expect("our own block");
    assert_eq!(self::events(&again).expect("our own events"), events);
}

fn events(block: &Block) -> Result<Vec<Event>, Malformed> {
    let mut decoder = block.events()?;
    let mut events = Vec::new();
    while let Some(event) = decoder.next()? {
        events.push(event);
        if events.len() >= MOST_EVENTS {
            break;
        }
    }
    Ok(events)
}

fn codes(block: &Block) -> Result<u64, Malformed> {
    let (mut rows, mut codes) = (block.rows()?, block.codes()?);
    let mut count: u64 = 0;
    while let Some(row) = rows.next()? {
        assert!(row.owner < block.owners.len());
        assert!(row.flow.is_none_or(|flow| flow < block.flows.len()));
        let code = codes.next(row.event_kind)?;
        if row.event_kind != EventKind::Lost {
            let _ = block.code_name(row.event_kind, code);
        }
        count = count.saturating_add(row.count);
    }
    Ok(count)
}
