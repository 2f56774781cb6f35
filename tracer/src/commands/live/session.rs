//! One run: takes records from the rings to the output, and counts every one of them.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tracer_common::{
    AggregateKey, AggregateValue, BEYOND_MAP, CodeKey, Counters, Head, filter as bit, signal,
};

use crate::decode::{self, Aggregated, Record};
use crate::event::{CountedKind, Event, Lost, LostAt, Signal};
use crate::filter::Resolved;
use crate::kernel::load::Loaded;
use crate::names::KernelNames;
use crate::output::{BATCH_BYTES, FinishOutcome, Output, SendError};
use crate::owner::Owners;
use crate::render::{Clock, Renderer};
use crate::sys;
use crate::tally::Tally;

/// Records taken from each ring before they are printed: bounds the memory of a batch to a few MiB.
const BATCH_RECORDS: usize = 1024;

/// A difference between wall clock and boot clock beyond this is a step, not noise or slewing.
const CLOCK_STEP_NS: u128 = 10_000_000;

/// Processes under `--follow`: how many there is room for in the kernel half, and beyond how many those that
/// have ended are forgotten.
const PIDS_ROOM: usize = 16_384;
const PIDS_KEPT: usize = 2048;

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Go,
    End,
}

/// Everything that a run needs.
pub struct Session {
    loaded: Loaded,
    owners: Owners,
    names: KernelNames,
    benign: Vec<u32>,
    resolved: Resolved,
    renderer: Renderer,
    clock: Clock,
    output: Output,
    /// What the output did not take yet: while it waits, rings are not read, and their loss is counted.
    waiting: Option<Vec<u8>>,
    tally: Tally,
    /// Loss that was printed already, per signal.
    reported_lost: [u64; signal::COUNT],
    /// Looks at the rings since something was in them.
    empty_pumps: u64,
    /// Event lines still to print.
    left: Option<u64>,
    /// That children were missed under `--follow` has been said.
    children_missed: bool,
}

impl Session {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        loaded: Loaded,
        owners: Owners,
        names: KernelNames,
        resolved: Resolved,
        renderer: Renderer,
        clock: Clock,
        output: Output,
        count: Option<u64>,
    ) -> Self {
        let benign = names.benign_reasons();
        Self {
            loaded,
            owners,
            names,
            benign,
            resolved,
            renderer,
            clock,
            output,
            waiting: None,
            tally: Tally::default(),
            reported_lost: [0; signal::COUNT],
            empty_pumps: 0,
            left: count,
            children_missed: false,
        }
    }

    /// Descriptors of the rings.
    pub fn ring_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.loaded.rings.fds()
    }

    /// Prints what stands above the events.
    pub fn start(&mut self) {
        if let Some(header) = self.renderer.header() {
            self.print(header.into_bytes());
        }
    }

    /// Has nothing come for a while?
    pub fn is_idle(&self) -> bool {
        self.empty_pumps > 20
    }

    /// Takes what the rings hold now.
    pub fn pump(&mut self) -> Result<Step> {
        loop {
            if self.output.reader_gone() || self.left == Some(0) {
                return Ok(Step::End);
            }
            if !self.flush_waiting() {
                return Ok(Step::Go);
            }
            if self.pump_batch()? < BATCH_RECORDS {
                return Ok(Step::Go);
            }
        }
    }

    /// One batch of records, in order of time over all rings; gives how many there were.
    fn pump_batch(&mut self) -> Result<usize> {
        let mut records = Vec::new();
        let tally = &mut self.tally;
        let taken = self.loaded.rings.drain(BATCH_RECORDS, |signal, bytes| {
            match decode::decode(signal, bytes) {
                Ok(record) => records.push(record),
                Err(error) => {
                    log::warn!("{error}");
                    tally.undecoded(signal);
                }
            }
        });
        self.empty_pumps = if taken == 0 { self.empty_pumps + 1 } else { 0 };
        records.sort_by_key(|record| record.head().boot_ns);
        let heads = records.iter().map(|record| *record.head());
        self.look_up(heads.collect::<Vec<_>>().as_slice())?;
        let mut text = String::new();
        for record in &records {
            self.record(record, &mut text);
        }
        self.print(text.into_bytes());
        Ok(taken)
    }

    /// Asks the open files when any event needs it, and learns of the children of wanted processes.
    fn look_up(&mut self, heads: &[Head]) -> Result<()> {
        self.owners.begin();
        let unsure = heads.iter().filter(|head| self.owners.needs_holders(head));
        if let Some(latest) = unsure.map(|head| head.boot_ns).max() {
            let loaded = &mut self.loaded;
            self.owners
                .holders_mut()
                .refresh(latest, &sys::boot_clock_ns, &mut || loaded.walk());
        }
        if self.resolved.config.filters & bit::FOLLOW != 0
            && heads.iter().any(|head| !head.owner_is_sure())
        {
            self.resolved.pids = self.loaded.pids()?;
        }
        Ok(())
    }

    /// Attributes, filters and prints one record.
    fn record(&mut self, record: &Record, text: &mut String) {
        let head = record.head();
        let event = decode::event(record, self.owners.resolve(head), &self.names);
        if self.removes(head, &event) {
            return self.tally.filtered_emitted(head.signal);
        }
        self.tally.delivered(head.signal);
        self.line(&event, text);
    }

    /// The filter, where the kernel could not be sure of the owner.
    fn removes(&self, head: &Head, event: &Event) -> bool {
        self.resolved.config.filters != 0 && !head.owner_is_sure() && !self.resolved.matches(event)
    }

    fn line(&mut self, event: &Event, text: &mut String) {
        match &mut self.left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        text.push_str(&self.renderer.event(event, &self.clock));
    }

    /// Prints what was aggregated since the last time.
    pub fn deliver_aggregates(&mut self) -> Result<Step> {
        if !self.flush_waiting() {
            return Ok(Step::Go);
        }
        self.follow_wall_clock();
        self.forget_ended()?;
        let taken = self.loaded.take_aggregates()?;
        self.aggregates(&taken)?;
        Ok(if self.left == Some(0) {
            Step::End
        } else {
            Step::Go
        })
    }

    /// Under `--follow` every child is remembered, beyond its end for the sake of data in flight; but not so
    /// many that there is no room for new ones.
    fn forget_ended(&mut self) -> Result<()> {
        if self.resolved.config.filters & bit::FOLLOW == 0 {
            return Ok(());
        }
        let pids = self.loaded.pids()?;
        if pids.len() >= PIDS_ROOM && !self.children_missed {
            self.children_missed = true;
            log::error!(
                "--follow: {PIDS_ROOM} processes are followed at once, some children are missed"
            );
        }
        if pids.len() > PIDS_KEPT {
            self.loaded.forget(&self.owners.ended(&pids))?;
        }
        Ok(())
    }

    /// Takes over a step of the wall clock, but not the nanoseconds by which two readings differ: a process must
    /// keep its start.
    fn follow_wall_clock(&mut self) {
        let now = sys::wall_minus_boot_ns();
        if now.abs_diff(self.clock.wall_minus_boot_ns) > CLOCK_STEP_NS {
            self.clock.wall_minus_boot_ns = now;
        }
    }

    /// Attributes, filters and prints aggregated events.
    fn aggregates(&mut self, taken: &[(AggregateKey, AggregateValue)]) -> Result<()> {
        let heads: Vec<_> = taken
            .iter()
            .map(|(key, value)| value.head(key.signal))
            .collect();
        self.look_up(&heads)?;
        let list_would_block = self.resolved.config.list_would_block != 0;
        let mut events = Vec::new();
        for ((key, value), head) in taken.iter().zip(&heads) {
            let owner = self.owners.resolve(head);
            match decode::aggregated(key, value, owner, &self.names, list_would_block) {
                Ok(Aggregated::Event(event)) if self.removes(head, &event) => {
                    self.tally.filtered_aggregated(key.signal, value.count);
                }
                Ok(Aggregated::Event(event)) => events.push(event),
                Ok(Aggregated::Counted(counted)) => self.tally.count(*counted),
                Err(error) => log::warn!("{error}"),
            }
        }
        events.sort_by_key(|event| event.boot_ns);
        let mut text = String::new();
        for event in &events {
            self.line(event, &mut text);
        }
        text.push_str(&self.losses()?);
        self.print(text.into_bytes());
        Ok(())
    }

    /// Says at once what the rings had no room for, not only in the totals.
    fn losses(&mut self) -> Result<String> {
        let counters = self.loaded.counters().context("cannot read the counters")?;
        let mut text = String::new();
        for (index, counters) in counters.iter().enumerate() {
            let count = counters.lost - self.reported_lost[index];
            if count > 0 {
                self.reported_lost[index] = counters.lost;
                let lost = Lost {
                    at: LostAt::Ring,
                    signal: Signal::from_number(index as u32),
                    count,
                };
                text.push_str(
                    &self
                        .renderer
                        .event(&Event::lost(sys::boot_clock_ns(), lost), &self.clock),
                );
            }
        }
        Ok(text)
    }

    /// Queues output, in pieces that the queue can take.
    fn print(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.waiting {
            Some(waiting) => waiting.extend(bytes),
            None => self.waiting = Some(bytes),
        }
        self.flush_waiting();
    }

    /// Has the output taken everything?
    fn flush_waiting(&mut self) -> bool {
        while let Some(mut bytes) = self.waiting.take() {
            let rest = if bytes.len() > BATCH_BYTES {
                bytes.split_off(BATCH_BYTES)
            } else {
                Vec::new()
            };
            match self.output.send(bytes) {
                Ok(()) if rest.is_empty() => {}
                Ok(()) => self.waiting = Some(rest),
                Err(SendError::Full(mut bytes)) => {
                    bytes.extend(rest);
                    self.waiting = Some(bytes);
                    return false;
                }
                Err(SendError::Closed) => return true,
            }
        }
        true
    }

    /// Detaches, takes what is left, prints counts and totals, and waits for the output.
    pub fn finish(mut self, patience: Duration) -> Result<FinishOutcome> {
        let missed = self.missed();
        self.loaded.detach();
        // A reader that does not read gets no more: the run must end.
        let mut reads = self.flush_while_read(patience);
        while reads && self.pump_batch()? > 0 {
            reads = self.flush_while_read(patience);
        }
        if reads {
            let last = self.loaded.take_last_aggregates()?;
            self.aggregates(&last)?;
            let counted = self.counted()?;
            let rows = self.renderer.counted(&counted, &self.clock);
            self.print(rows.into_bytes());
            let counters = self.counters()?;
            let wanted = self.resolved.config.signals;
            let totals = self.tally.totals(&counters, &missed, wanted);
            self.print(self.renderer.totals(&totals).into_bytes());
            self.flush_while_read(patience);
        }
        self.output
            .finish(Duration::ZERO)
            .context("stdout takes no more output: make room, or write elsewhere")
    }

    /// Hands everything to the output and waits until it is written, for as long as somebody reads: a reader
    /// that takes nothing for `patience` is given up. Has everything been written?
    fn flush_while_read(&mut self, patience: Duration) -> bool {
        let mut left = usize::MAX;
        let mut deadline = Instant::now() + patience;
        loop {
            self.flush_waiting();
            let waiting = self.output.waiting_bytes() + self.waiting.as_ref().map_or(0, Vec::len);
            if self.output.is_closed() || (waiting > 0 && Instant::now() >= deadline) {
                return false;
            }
            if waiting == 0 {
                return true;
            }
            if waiting < left {
                left = waiting;
                deadline = Instant::now() + patience;
            }
            self.output.wait_for_room(deadline);
        }
    }

    fn counters(&self) -> Result<[Counters; signal::COUNT]> {
        self.loaded.counters().context("cannot read the counters")
    }

    /// Rows that were counted instead of listed.
    fn counted(&mut self) -> Result<Vec<crate::event::Counted>> {
        for (key, count) in self
            .loaded
            .codes()
            .context("cannot read what was counted by code")?
        {
            let kind = if key.signal & BEYOND_MAP != 0 {
                CountedKind::BeyondMap
            } else if key.signal == signal::DROP && self.benign.contains(&key.code) {
                CountedKind::Benign
            } else {
                CountedKind::NoLocalSocket
            };
            let key = CodeKey {
                signal: key.signal & !BEYOND_MAP,
                ..key
            };
            match decode::counted_by_code(&key, count, kind, &self.names) {
                Ok(counted) => self.tally.count(counted),
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(self.tally.counted())
    }

    /// Runs that the kernel skipped, per signal.
    fn missed(&self) -> [Option<u64>; signal::COUNT] {
        let mut missed = [None; signal::COUNT];
        for (signals, count) in self.loaded.misses() {
            for signal in signals {
                if let Some(count) = count {
                    *missed[signal as usize].get_or_insert(0) += count;
                }
            }
        }
        missed
    }
}
