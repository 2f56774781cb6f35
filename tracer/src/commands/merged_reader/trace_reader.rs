//! Reads one trace: block after block, event after event.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::totals_window::TotalsWindow;
use super::{Item, report_notice};
use crate::render::Clock;
use crate::sink::HostEnd;
use tracer_format::events::Decoder;
use tracer_format::note::{AnchorWhy, Gap, Note};
use tracer_format::reader::recording::ReadStep;
use tracer_format::reader::{ReadItem, Recording};
use tracer_format::{Block, Malformed};
use tracer_model::event::{Event, EventKind, Flow, Lost, LostAt, Owner, Totals};
use tracer_model::filter::FilterSpec;
use tracer_model::samples::Zone;
use tracer_model::tally::Tally;

/// No event can be in a block that was begun so long after it, nanoseconds: aggregated ones come a second late.
const LATE_NS: i128 = 5_000_000_000;

/// So many places of damage are remembered.
const DAMAGE: usize = 16;

/// The reader of one trace, with its filter and its clock.
pub struct TraceReader {
    recording: Recording,
    filter: FilterSpec,
    pub clock: Clock,
    /// The clock was set since the last item.
    pub clock_stepped: bool,
    /// Name of the host that recorded, where the trace says so.
    pub host: Option<String>,
    /// What the trace says of its recording, at its beginning.
    pub facts: Map<String, Value>,
    since: Option<i128>,
    until: Option<i128>,
    /// The block that is being read.
    open: Option<OpenBlock>,
    queue: VecDeque<(i128, Item)>,
    totals: TotalsWindow,
    counted: Tally,
    ended: bool,
    covered: Option<(i128, i128)>,
    /// The first of what is missing or damaged in it; a torn end is neither.
    damage: Vec<String>,
}

/// A block that is being read, event by event.
struct OpenBlock {
    /// For what its notes refer to; they are in `notes`.
    block: Block,
    notes: VecDeque<(u32, Note)>,
    events: Decoder,
    /// Events that have been read.
    done: u32,
    /// Only notes are left.
    at_end: bool,
}

impl OpenBlock {
    fn new(mut block: Block) -> Result<Self, Malformed> {
        let events = block.events()?;
        Ok(Self {
            notes: std::mem::take(&mut block.notes).into(),
            block,
            events,
            done: 0,
            at_end: false,
        })
    }
}

impl TraceReader {
    pub fn new(
        recording: Recording,
        filter: FilterSpec,
        zone: TimeZone,
        since: Option<i128>,
        until: Option<i128>,
    ) -> Self {
        Self {
            recording,
            filter,
            clock: Clock {
                wall_minus_boot_ns: 0,
                zone,
            },
            clock_stepped: false,
            host: None,
            facts: Map::new(),
            since,
            until,
            open: None,
            queue: VecDeque::new(),
            totals: TotalsWindow::default(),
            counted: Tally::default(),
            ended: false,
            covered: None,
            damage: Vec::new(),
        }
    }

    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.recording.name
    }

    /// How far it has been read, and its length where that is known, bytes.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.recording.position(), self.recording.length())
    }

    /// The time of what comes next, nanoseconds of the wall clock.
    ///
    /// # Errors
    /// When reading fails, or at damage when `strict`.
    pub fn peek(&mut self, strict: bool) -> Result<ReadStep<i128>> {
        while self.queue.is_empty() {
            // A filter may leave nothing of a whole night.
            if crate::interrupt::has_come() {
                return Ok(ReadStep::End);
            }
            if let Some(open) = self.open.take() {
                self.step(open, strict)?;
                continue;
            }
            match self.block(strict)? {
                ReadStep::Item(block) => match OpenBlock::new(*block) {
                    Ok(open) => self.open = Some(open),
                    Err(malformed) => self.malformed(&malformed.to_string(), strict)?,
                },
                ReadStep::Wait => return Ok(ReadStep::Wait),
                ReadStep::End => return Ok(ReadStep::End),
            }
        }
        Ok(self
            .queue
            .front()
            .map_or(ReadStep::End, |(wall_ns, _)| ReadStep::Item(*wall_ns)))
    }

    /// What comes next.
    pub fn take(&mut self) -> Option<Item> {
        self.queue.pop_front().map(|(_, item)| item)
    }

    /// The next block that may hold what is wanted. Whoever goes through blocks takes none by [`Self::take`].
    ///
    /// # Errors
    /// As [`Self::peek`].
    pub fn block(&mut self, strict: bool) -> Result<ReadStep<Box<Block>>> {
        loop {
            if self.ended || crate::interrupt::has_come() {
                return Ok(ReadStep::End);
            }
            match self.recording.next()? {
                ReadStep::End => self.ended = true,
                ReadStep::Wait => return Ok(ReadStep::Wait),
                ReadStep::Item(ReadItem::Notice(notice)) => {
                    if !notice.is_torn_tail() && self.damage.len() < DAMAGE {
                        self.damage.push(notice.to_string());
                    }
                    report_notice(&self.recording.name, &notice, strict)?;
                }
                ReadStep::Item(ReadItem::Block(block)) => {
                    let header = &block.header;
                    let offset = i128::from(header.wall_minus_boot_ns);
                    let before = std::mem::replace(&mut self.clock.wall_minus_boot_ns, offset);
                    self.clock_stepped |= before != offset && before != 0;
                    if header.starts() {
                        let facts = block.notes.iter().find_map(|(_, note)| match note {
                            Note::Header(facts) => Some(facts),
                            _ => None,
                        });
                        let host = facts.and_then(|facts| facts.get("host"));
                        self.host = host.and_then(Value::as_str).map(str::to_owned);
                    }
                    let early = self
                        .since
                        .is_some_and(|since| header.wall_ns(header.sealed_boot_ns) < since);
                    self.totals.block(&block, early);
                    if early {
                        continue;
                    }
                    let late = self.until.is_some_and(|until| {
                        header.wall_ns(header.first_boot_ns) > until.saturating_add(LATE_NS)
                    });
                    if late {
                        // Nothing that is wanted can follow, unless the clock is set back.
                        self.ended = header.clock_steps == 0;
                        continue;
                    }
                    // A recording begins before its first event.
                    let begun = block.notes.iter().find_map(|(_, note)| match note {
                        Note::Anchor(anchor) if anchor.why == AnchorWhy::Start => {
                            Some(anchor.boot_ns)
                        }
                        _ => None,
                    });
                    let first = header.first_boot_ns.min(begun.unwrap_or(u64::MAX));
                    let (first, last) =
                        (header.wall_ns(first), header.wall_ns(header.sealed_boot_ns));
                    let (from, to) = self.covered.unwrap_or((first, last));
                    self.covered = Some((from.min(first), to.max(last)));
                    return Ok(ReadStep::Item(block));
                }
            }
        }
    }

    /// Must a block be read for what comes next?
    pub fn reads_next(&self) -> bool {
        self.queue.is_empty() && self.open.is_none() && !self.ended
    }

    /// From when to when blocks have been read, nanoseconds of the wall clock, within what was asked for.
    fn covered(&self) -> Option<(i128, i128)> {
        let (first, last) = self.covered?;
        let first = self.since.map_or(first, |since| since.max(first));
        let last = self.until.map_or(last, |until| until.min(last));
        (first <= last).then_some((first, last))
    }

    /// Is an event one that is wanted? Counts it if not.
    pub fn wants(&mut self, event: &Event) -> bool {
        let wall_ns = i128::from(event.boot_ns) + self.clock.wall_minus_boot_ns;
        let wanted = self.in_time(wall_ns) && self.filter.matches(event);
        if !wanted {
            self.totals.remove(event.kind(), event.count);
        }
        wanted
    }

    /// Is an event wanted of which only this is known?
    pub fn wants_parts(
        &self,
        event_kind: EventKind,
        errno: Option<u32>,
        owner: &Owner,
        flow: Option<&Flow>,
    ) -> bool {
        self.filter.matches_parts(event_kind, errno, owner, flow)
    }

    /// An event that was read is not wanted.
    pub fn remove(&mut self, event_kind: EventKind, count: u64) {
        self.totals.remove(event_kind, count);
    }

    /// Is a time of the wall clock between the ends that were asked for?
    pub fn in_time(&self, wall_ns: i128) -> bool {
        self.since.is_none_or(|since| wall_ns >= since)
            && self.until.is_none_or(|until| wall_ns <= until)
    }

    /// Is every time wanted?
    pub fn is_whole(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Puts what comes next in a block into the queue: one event, or the notes before it. An event at a time, so that
    /// memory does not grow with what a block says that is in it.
    fn step(&mut self, mut open: OpenBlock, strict: bool) -> Result<()> {
        let done = open.done;
        if let Some((_, note)) = open
            .notes
            .pop_front_if(|(after, _)| *after <= done || open.at_end)
        {
            self.note(&open.block, note);
        } else if open.at_end {
            return Ok(());
        } else {
            match open.events.next() {
                Ok(None) => open.at_end = true,
                Ok(Some(event)) => {
                    open.done += 1;
                    if self.wants(&event) {
                        let wall_ns = open.block.header.wall_ns(event.boot_ns);
                        self.queue
                            .push_back((wall_ns, Item::Event(Box::new(event))));
                    }
                }
                Err(malformed) => return self.malformed(&malformed.to_string(), strict),
            }
        }
        self.open = Some(open);
        Ok(())
    }

    /// Says or refuses that a block is not what the format says.
    ///
    /// # Errors
    /// When `strict`.
    pub fn malformed(&self, why: &str, strict: bool) -> Result<()> {
        let name = tracer_model::escape::name(self.recording.name.as_bytes());
        if strict {
            anyhow::bail!("{name}: a block is not what the format says: {why} (--strict)");
        }
        super::warn(&format!("{name}: the rest of a block is skipped: {why}"));
        Ok(())
    }

    fn note(&mut self, block: &Block, note: Note) {
        match &note {
            Note::Counted(row) => {
                let counted = block.counted(row).filter(|_| self.is_whole());
                if let Some(row) = counted.filter(|row| self.filter.matches_counted(row)) {
                    self.counted.count(row);
                }
                return;
            }
            Note::Gap(gap) => return self.gap(block, gap),
            Note::Sample(_) | Note::Change(_) | Note::Trigger(_) => {}
            _ => return,
        }
        let boot_ns = note.boot_ns().unwrap_or(block.header.sealed_boot_ns);
        let wall_ns = block.header.wall_ns(boot_ns);
        if self.in_time(wall_ns) {
            self.queue
                .push_back((wall_ns, Item::Note(boot_ns, Box::new(note))));
        }
    }

    /// What the disk did not take is lost, and shown as such.
    fn gap(&mut self, block: &Block, gap: &Gap) {
        let mut sums = BTreeMap::<EventKind, u64>::new();
        for (name, count) in &gap.events {
            if let Ok(event_kind) = name.parse() {
                let sum = sums.entry(event_kind).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        for (event_kind, count) in sums {
            self.totals.lose(event_kind, count);
            let lost = Lost {
                at: LostAt::Disk,
                event_kind: Some(event_kind),
                count,
            };
            let wall_ns = block.header.wall_ns(gap.last_boot_ns);
            if self.in_time(wall_ns) {
                let event = Event::lost(gap.last_boot_ns, lost);
                self.queue
                    .push_back((wall_ns, Item::Event(Box::new(event))));
            }
        }
    }

    /// The end of what is read: what was counted instead of listed is filtered like events.
    pub fn host_end(&mut self) -> HostEnd {
        let narrow = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
        HostEnd {
            counted: self.counted.counted(),
            covered: self
                .covered()
                .map(|(first, last)| (narrow(first), narrow(last))),
            damage: std::mem::take(&mut self.damage),
        }
    }

    /// Totals of what was read.
    pub fn totals(&self) -> Totals {
        self.totals
            .totals(|event_kind| self.filter.wants_kind(event_kind))
    }
}

/// What a recording says of itself, when its first block has been read.
pub fn header(recording: &Recording) -> Option<Map<String, Value>> {
    let mut notes = recording.waiting().filter_map(|item| match item {
        ReadItem::Block(block) => Some(&block.notes),
        ReadItem::Notice(_) => None,
    });
    notes.find_map(|notes| {
        notes.iter().find_map(|(_, note)| match note {
            Note::Header(facts) => Some(facts.clone()),
            _ => None,
        })
    })
}

/// When the first block that has been read begins, nanoseconds of the wall clock.
pub fn first_wall(recording: &Recording) -> Option<i128> {
    recording.waiting().find_map(|item| match item {
        ReadItem::Block(block) => Some(block.header.wall_ns(block.header.first_boot_ns)),
        ReadItem::Notice(_) => None,
    })
}

/// The zone of the host that recorded.
pub fn zone(facts: &Map<String, Value>) -> Option<TimeZone> {
    let zone: Zone = serde_json::from_value(facts.get("zone")?.clone()).ok()?;
    zone.time_zone()
}
