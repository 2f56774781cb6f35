//! Blocks to write, and a strict reader of what was written.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::block::{Block, Builder, Seal, Sealed};
use crate::layout::{HEADER_BYTES, Header, MARKER};
use crate::note::{Counters, Gap, Note};
use crate::start::Start;
use crate::writer::Writer;
use crate::writer::disk::Disk;
use crate::writer::queue::{Budget, Entry};
use crate::writer::recorder::{Place, Recorder, Shape};
use crate::writer::retention::{Retention, RetentionLimits};
use crate::writer::status::add;
use tracer_model::event::{EventKind, EventTotals, Totals};
use tracer_model::testing::{self, Rng};

pub type Events = [u64; EventKind::ALL.len()];

pub const TRACE: [u8; 16] = *b"a trace of tests";
/// So many can be had.
pub const MOST_BLOCKS: u64 = 120;
pub const SECOND: u64 = 1_000_000_000;
/// Later than any event that is made up.
pub const BEGIN: u64 = 1 << 41;

pub fn start() -> Start {
    let mut start = Start {
        trace_id: TRACE,
        ..Start::default()
    };
    start.facts.insert("host".into(), "test".into());
    start
}

/// Hands out one block per second, with a few events each.
#[derive(Default)]
pub struct Maker {
    handed: usize,
    pub submitted: Events,
}

/// Made once: sealing is the slow part of these tests. Numbers begin with 1, START has 0.
fn made() -> &'static [(Sealed, Counters)] {
    static MADE: OnceLock<Vec<(Sealed, Counters)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut builder = Builder::new().expect("memory");
        let mut rng = Rng::new(7);
        let mut seen = 0;
        let mut block = |seq| {
            for _ in 0..2 + rng.below(4) {
                builder.event(&testing::event(&mut rng));
            }
            let sealed_boot_ns = BEGIN + seq * SECOND;
            let sealed = builder.seal(&Seal {
                flags: 0,
                trace_id: TRACE,
                seq,
                sealed_boot_ns,
                wall_minus_boot_ns: 1_795_000_000_000_000_000,
                clock_steps: 0,
            });
            seen += sealed.events.iter().sum::<u64>();
            (sealed, counters(sealed_boot_ns, seen))
        };
        (1..=MOST_BLOCKS).map(&mut block).collect()
    })
}

/// Events in the first so many blocks.
pub fn seen_at(blocks: usize) -> u64 {
    let blocks = made().iter().take(blocks);
    blocks
        .map(|(sealed, _)| u64::from(sealed.header.events))
        .sum()
}

impl Maker {
    /// Blocks that were handed out.
    pub fn seq(&self) -> u64 {
        self.handed as u64
    }

    pub fn block(&mut self) -> (Sealed, Counters) {
        let (sealed, counters) = made()[self.handed].clone();
        self.handed += 1;
        add(&mut self.submitted, &sealed.events);
        (sealed, counters)
    }

    pub fn entry(&mut self) -> Entry {
        let (sealed, counters) = self.block();
        Entry {
            sealed,
            counters,
            lost_before: None,
            _charge: Budget::new(usize::MAX).charge(0).expect("room"),
        }
    }
}

fn counters(boot_ns: u64, seen: u64) -> Counters {
    let totals = EventTotals {
        seen,
        emitted: seen,
        delivered: seen,
        ..EventTotals::default()
    };
    Counters {
        boot_ns,
        totals: Totals {
            events: vec![(EventKind::Drop, totals)],
        },
    }
}

/// For the windows of a flight recorder.
pub fn windows(disk: Box<dyn Disk>) -> Writer {
    writer(recorder(disk, Shape::Windows, RetentionLimits::default()))
}

pub fn recorder(mut disk: Box<dyn Disk>, shape: Shape, keep: RetentionLimits) -> Recorder {
    let retention = Retention::new(&mut *disk, keep).expect("a list");
    let place = Place {
        shape,
        disk: Some(disk),
        folder: PathBuf::from("folder"),
        segment: None,
        retention,
    };
    Recorder::new(place, start(), Duration::from_secs(3))
}

/// Not started yet.
pub fn writer(recorder: Recorder) -> Writer {
    Writer {
        recorder,
        queue_bytes: 8 << 20,
        warnings: Vec::new(),
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Scanned<'a> {
    /// With all their bytes.
    pub blocks: Vec<(Header, &'a [u8])>,
    /// Bytes that belong to no whole block but have blocks behind them.
    pub damaged: usize,
    /// Bytes at the end.
    pub torn: usize,
}

/// Takes whole blocks only, and believes nothing that is not checked.
pub fn scan(bytes: &[u8]) -> Scanned<'_> {
    let mut scanned = Scanned::default();
    let mut at = 0;
    while at < bytes.len() {
        if let Some((header, block)) = block_at(&bytes[at..]) {
            scanned.damaged += std::mem::take(&mut scanned.torn);
            scanned.blocks.push((header, block));
            at += block.len();
            continue;
        }
        let next = bytes[at + 1..]
            .windows(MARKER.len())
            .position(|window| window == MARKER)
            .map_or(bytes.len(), |found| at + 1 + found);
        scanned.torn += next - at;
        at = next;
    }
    scanned
}

fn block_at(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::decode(bytes.first_chunk()?).ok()?;
    let end = HEADER_BYTES + header.payload_bytes as usize;
    let payload = bytes.get(HEADER_BYTES..end)?;
    (header.payload_crc == crc32c::crc32c(payload)).then_some((header, &bytes[..end]))
}

/// The notes of a block.
pub fn notes(header: Header, block: &[u8]) -> Vec<Note> {
    let block = Block::decode(header, block[HEADER_BYTES..].to_vec()).expect("a block");
    block.notes.into_iter().map(|(_, note)| note).collect()
}

/// What a whole recording says, and whether its numbers add up.
#[derive(Debug, Default)]
pub struct Account {
    /// Seen before the first file that is there.
    pub before: u64,
    pub written: Events,
    pub missing: Events,
    pub gaps: u64,
    pub damaged: usize,
    pub torn: usize,
    pub seqs: Vec<u64>,
}

impl Account {
    /// Events and gaps together.
    pub fn told(&self) -> Events {
        let mut told = self.written;
        add(&mut told, &self.missing);
        told
    }

    fn gap(&mut self, gap: &Gap) {
        self.gaps += 1;
        for (name, count) in &gap.events {
            let event_kind: EventKind = name.parse().expect("an event kind");
            let at = EventKind::ALL.iter().position(|other| *other == event_kind);
            self.missing[at.expect("one of all")] += count;
        }
    }

    fn start(&mut self, header: Header, block: &[u8], last: Option<u64>) {
        let last = last.unwrap_or(header.seq);
        assert_eq!(header.seq, last, "START has the number of the block before");
        let notes = notes(header, block);
        let [Note::Header(_), Note::Counters(counters)] = &*notes else {
            panic!("{notes:?}");
        };
        let first = counters.totals.events.first();
        let seen = first.map_or(0, |(_, sums)| sums.seen);
        if self.seqs.is_empty() && self.gaps == 0 {
            self.before = seen;
        }
        let told = self.before + self.told().iter().sum::<u64>();
        assert_eq!(seen, told, "START has the counters as they stood before");
    }
}

/// Reads the files of a recording in order; panics when numbers of blocks or counters do not fit, or a block is
/// not what was submitted.
pub fn account<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Account {
    let mut account = Account::default();
    let mut last: Option<u64> = None;
    for bytes in files {
        let scanned = scan(bytes);
        account.damaged += scanned.damaged;
        account.torn += scanned.torn;
        for (index, (header, block)) in scanned.blocks.into_iter().enumerate() {
            let seq = header.seq;
            assert_eq!(
                header.starts(),
                index == 0,
                "START is first, and only there"
            );
            if header.starts() {
                account.start(header, block, last);
            } else if header.events > 0 {
                let (sealed, _) = &made()[seq as usize - 1];
                assert!(sealed.bytes == block, "block {seq} is another");
                add(&mut account.written, &sealed.events);
                account.seqs.push(seq);
                assert_eq!(Some(seq), last.map(|last| last + 1));
            } else {
                let notes = notes(header, block);
                let [Note::Gap(gap)] = &*notes else {
                    panic!("{notes:?}");
                };
                account.gap(gap);
                assert_eq!(Some(seq), last.map(|last| last + gap.blocks));
            }
            last = Some(seq);
        }
    }
    account
}
