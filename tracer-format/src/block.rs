//! A block: about a second of events and notes, whole in itself.

use std::borrow::Cow;

use bytes::Bytes;

use super::column::{Column, Columns, Writer};
use super::events::{Codes, Decoder, Encoder, MOST_COUNT, Rows, Shared, code_name, kind_number};
use super::layout::{HEADER_BYTES, Header};
use super::note::{self, CountedRow, Note};
use super::tables::{self, Interner, Texts};
use super::wire::{Cursor, Malformed, put_varint};
use std::sync::Arc;
use tracer_model::event::{Counted, Event, EventKind, Flow, Owner};

/// A block is closed when its columns are this long, bytes.
pub const FULL_BYTES: usize = 256 << 10;

/// Collects events and notes for a block.
pub struct Builder {
    columns: Writer,
    tables: Interner,
    encoder: Encoder,
    events: u32,
    by_kind: [u64; EventKind::ALL.len()],
    first_boot_ns: u64,
    last_boot_ns: u64,
    notes: u32,
}

/// A closed block on its way to a file.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub header: Header,
    /// Header and payload, shared by everyone who has the block.
    pub bytes: Bytes,
    /// Events per event kind, in the order of [`EventKind::ALL`]: what a gap has to say if the block is not written.
    pub events: [u64; EventKind::ALL.len()],
}

/// What the block's header says beside what is in the block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seal {
    pub flags: u16,
    pub trace_id: [u8; 16],
    pub seq: u64,
    pub sealed_boot_ns: u64,
    pub wall_minus_boot_ns: i64,
    pub clock_steps: u32,
}

impl Builder {
    /// # Errors
    /// When there is no memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            columns: Writer::new()?,
            tables: Interner::default(),
            encoder: Encoder::default(),
            events: 0,
            by_kind: [0; EventKind::ALL.len()],
            first_boot_ns: u64::MAX,
            last_boot_ns: 0,
            notes: 0,
        })
    }

    /// Adds an event.
    pub fn event(&mut self, event: &Event) {
        self.encoder
            .event(&mut self.columns, &mut self.tables, event);
        self.events += 1;
        self.by_kind[kind_number(event.kind()) as usize] += 1;
        self.first_boot_ns = self.first_boot_ns.min(event.boot_ns);
        self.last_boot_ns = self.last_boot_ns.max(event.boot_ns);
    }

    /// Adds a note, which stands behind the events that came before it.
    pub fn note(&mut self, note: &Note) {
        // Strings and numbers in memory always make JSON.
        let mut json = serde_json::to_vec(note).unwrap_or_default();
        if json.len() > note::MOST_BYTES {
            json = note::left_out(json.len());
        }
        let mut head = Vec::new();
        put_varint(&mut head, self.events.into());
        put_varint(&mut head, json.len() as u64);
        self.columns.bytes(Column::Notes, &head);
        self.columns.bytes(Column::Notes, &json);
        self.notes += 1;
    }

    /// Adds what was counted instead of listed.
    pub fn counted(&mut self, counted: &Counted) {
        let (out, tables) = (&mut self.columns, &mut self.tables);
        let owner = counted.owner.as_ref().map(|owner| tables.owner(out, owner));
        let flow = counted.flow.as_ref().map(|flow| tables.flow(out, flow));
        self.note(&Note::Counted(CountedRow::new(counted, owner, flow)));
    }

    /// Neither events nor notes.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.notes == 0
    }

    /// Events so far.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Should it be closed, whatever its age? To be asked after each event and row; says so now and then.
    pub fn is_full(&self) -> bool {
        // To add up the columns takes longer than an event; a few more do no harm.
        (self.events + self.notes).is_multiple_of(16)
            && self.columns.raw_bytes() + self.encoder.waiting_bytes() >= FULL_BYTES
    }

    /// Closes the block and begins a new one.
    pub fn seal(&mut self, seal: &Seal) -> Sealed {
        self.encoder.finish(&mut self.columns);
        let raw_bytes = self.columns.raw_bytes();
        let mut bytes = vec![0; HEADER_BYTES];
        self.columns.seal(&mut bytes);
        let payload = &bytes[HEADER_BYTES..];
        let none = self.events == 0;
        let header = Header {
            flags: seal.flags,
            payload_bytes: payload.len() as u32,
            trace_id: seal.trace_id,
            seq: seal.seq,
            sealed_boot_ns: seal.sealed_boot_ns,
            first_boot_ns: if none {
                seal.sealed_boot_ns
            } else {
                self.first_boot_ns
            },
            last_boot_ns: if none {
                seal.sealed_boot_ns
            } else {
                self.last_boot_ns
            },
            wall_minus_boot_ns: seal.wall_minus_boot_ns,
            events: self.events,
            clock_steps: seal.clock_steps,
            raw_bytes: raw_bytes as u32,
            payload_crc: crc32c::crc32c(payload),
        };
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        self.tables.clear();
        self.encoder.clear();
        (self.events, self.notes) = (0, 0);
        (self.first_boot_ns, self.last_boot_ns) = (u64::MAX, 0);
        // It may be held for minutes.
        bytes.shrink_to_fit();
        Sealed {
            header,
            bytes: bytes.into(),
            events: std::mem::take(&mut self.by_kind),
        }
    }
}

/// A block that was read.
#[derive(Debug)]
pub struct Block {
    pub header: Header,
    /// Notes, each with the number of events that come before it.
    pub notes: Vec<(u32, Note)>,
    /// Owners of its events.
    pub owners: Arc<Vec<Owner>>,
    /// Flows of its events.
    pub flows: Arc<Vec<Flow>>,
    texts: Arc<Texts>,
    payload: Vec<u8>,
}

impl Block {
    /// Takes a block apart; `payload` has passed its checksum.
    ///
    /// # Errors
    /// When it is not what the format says.
    pub fn decode(header: Header, payload: Vec<u8>) -> Result<Self, Malformed> {
        let columns = Columns::find(&payload, header.raw_bytes)?;
        let texts = Texts::read(&columns)?;
        let owners = tables::owners(&columns, &texts)?;
        let flows = tables::flows(&columns, &texts)?;
        let notes = notes(&columns, &texts)?;
        Ok(Self {
            header,
            notes,
            owners: Arc::new(owners),
            flows: Arc::new(flows),
            texts: Arc::new(texts),
            payload,
        })
    }

    /// Its sections, as they are stored.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its events, in the order in which they were recorded. They need the block no longer.
    ///
    /// # Errors
    /// When a column does not unpack.
    pub fn events(&self) -> Result<Decoder, Malformed> {
        let shared = Shared {
            texts: Arc::clone(&self.texts),
            owners: Arc::clone(&self.owners),
            flows: Arc::clone(&self.flows),
        };
        Decoder::new(&self.columns()?, &self.header, shared)
    }

    /// Who, whom and when of its events: much less work than [`Self::events`].
    ///
    /// # Errors
    /// When a column does not unpack.
    pub fn rows(&self) -> Result<Rows, Malformed> {
        let columns = self.columns()?;
        Rows::new(
            &columns,
            self.header.events,
            self.owners.len(),
            self.flows.len(),
        )
    }

    /// What kinds of events they are, in the order of [`Self::rows`].
    ///
    /// # Errors
    /// When a column does not unpack.
    pub fn codes(&self) -> Result<Codes, Malformed> {
        Codes::new(&self.columns()?)
    }

    /// The name of a kind: cause, errno, reason; `None` where there is none.
    ///
    /// # Errors
    /// When it is not one of this block.
    pub fn code_name(
        &self,
        event_kind: EventKind,
        code: u64,
    ) -> Result<Option<Cow<'static, str>>, Malformed> {
        code_name(event_kind, code, &self.texts)
    }

    /// How many events there are of each event kind, and how many they stand for (more when some were aggregated), in
    /// the order of [`EventKind::ALL`]: two columns are read.
    ///
    /// # Errors
    /// When a column does not unpack, or has an event kind that is not known.
    pub fn tally(&self) -> Result<[(u64, u64); EventKind::ALL.len()], Malformed> {
        let columns = self.columns()?;
        let mut event_kinds = columns.unpack(Column::EventKind)?;
        let mut counts = columns.unpack(Column::Count)?;
        let mut tally = [(0_u64, 0_u64); EventKind::ALL.len()];
        for _ in 0..self.header.events {
            let event_kind = usize::try_from(event_kinds.number()?).unwrap_or(usize::MAX);
            let (events, count) = tally
                .get_mut(event_kind)
                .ok_or(Malformed("an event is of a kind that is not known"))?;
            *events += 1;
            *count = count.saturating_add(counts.number()?.wrapping_add(1));
        }
        Ok(tally)
    }

    fn columns(&self) -> Result<Columns<'_>, Malformed> {
        Columns::find(&self.payload, self.header.raw_bytes)
    }

    /// What a note says that was counted; `None` when this tool does not know it, or it cannot be.
    pub fn counted(&self, row: &CountedRow) -> Option<Counted> {
        let (event_kind, kind) = row.what()?;
        if row.count > MOST_COUNT {
            return None;
        }
        let index = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        Some(Counted {
            event_kind,
            kind,
            code: row.code.clone(),
            count: row.count,
            bytes: row.bytes,
            first_boot_ns: row.first_boot_ns,
            last_boot_ns: row.last_boot_ns,
            owner: row
                .owner
                .and_then(|row| self.owners.get(index(row)).cloned()),
            flow: row.flow.and_then(|row| self.flows.get(index(row)).cloned()),
        })
    }
}

fn notes(columns: &Columns, texts: &Texts) -> Result<Vec<(u32, Note)>, Malformed> {
    let mut column = columns.unpack(Column::Notes)?;
    let all = column.len();
    let mut cursor = Cursor::new(column.take(all)?);
    let mut notes = Vec::new();
    while !cursor.is_empty() {
        let after = super::column::small(cursor.varint()?)?;
        let length = cursor.length()?;
        let json = cursor.take(length)?;
        // A growing list takes up to twice what is in it.
        texts.take(2 * size_of::<(u32, Note)>() + note::memory(json)?)?;
        let note = serde_json::from_slice(json).map_err(|_| Malformed("a note is not JSON"))?;
        notes.push((after, note));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests;
