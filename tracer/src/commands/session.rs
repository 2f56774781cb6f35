//! One run: takes records from the rings to where they are printed or recorded, and counts every one of them.

mod beside;
mod counts;
mod known;
mod printer;
mod tape;
mod witness;

pub use beside::Beside;
use known::Known;
pub use printer::Printer;
pub use tape::{Deck, Tape, object, windows};
pub use witness::Witness;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracer_common::{AggregateKey, AggregateValue, Head, event_kind, filter as bit};

use crate::output::FinishOutcome;
use crate::render::Clock;
use tracer_capture::decode::{self, Aggregated, Record};
use tracer_capture::kernel::load::Loaded;
use tracer_capture::names::KernelNames;
use tracer_capture::owner::Owners;
use tracer_capture::sys;
use tracer_format::writer::Report;
use tracer_model::event::{Counted, Event, EventKind, Flow, Lost, LostAt, Owner};
use tracer_model::filter::Resolved;
use tracer_model::tally::Tally;

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

/// How a run ended.
pub struct Finished {
    pub printed: FinishOutcome,
    /// Bytes of output that were left out beside a recording because nobody read them.
    pub left_out: usize,
    /// How the recording ended.
    pub report: Option<Report>,
}

/// Everything that a run needs.
pub struct Session {
    loaded: Loaded,
    owners: Owners,
    known: Known,
    names: KernelNames,
    benign: Vec<u32>,
    resolved: Resolved,
    clock: Clock,
    /// While it waits for a reader and there is no tape, rings are not read, and their loss is counted.
    printer: Option<Printer>,
    tape: Option<Tape>,
    /// Remembers what a report at the end needs.
    witness: Option<Witness>,
    tally: Tally,
    /// Loss that was printed already, per event kind.
    reported_lost: [u64; event_kind::COUNT],
    /// Looks at the rings since something was in them.
    empty_pumps: u64,
    /// Event lines still to print.
    left: Option<u64>,
    /// CLOCK_BOOTTIME of the batch.
    now_boot_ns: u64,
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
        clock: Clock,
        mut printer: Option<Printer>,
        tape: Option<Tape>,
        count: Option<u64>,
    ) -> Self {
        let benign = names.benign_reasons();
        if let Some(printer) = &mut printer {
            printer.beside_recording = tape.is_some();
        }
        Self {
            loaded,
            owners,
            known: Known::default(),
            names,
            benign,
            resolved,
            clock,
            printer,
            tape,
            witness: None,
            tally: Tally::default(),
            reported_lost: [0; event_kind::COUNT],
            empty_pumps: 0,
            left: count,
            now_boot_ns: sys::boot_clock_ns(),
            children_missed: false,
        }
    }

    /// Lets a witness watch.
    #[must_use]
    pub fn watched_by(mut self, witness: Option<Witness>) -> Self {
        self.witness = witness;
        self
    }

    /// Descriptors of the rings.
    pub fn ring_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.loaded.rings.fds()
    }

    /// Prints what stands above the events.
    pub fn start(&mut self) {
        let header = self
            .printer
            .as_ref()
            .and_then(|printer| printer.renderer.header());
        self.print(header.unwrap_or_default());
    }

    /// Has nothing come for a while?
    pub fn is_idle(&self) -> bool {
        self.empty_pumps > 20
    }

    /// Takes what the rings hold now.
    pub fn pump(&mut self) -> Result<Step> {
        loop {
            if self.reader_gone() || self.left == Some(0) {
                return Ok(Step::End);
            }
            if !self.may_go_on() {
                return Ok(Step::Go);
            }
            if self.pump_batch()? < BATCH_RECORDS {
                return Ok(Step::Go);
            }
        }
    }

    /// One batch of records, in order of time over all rings; gives how many there were.
    fn pump_batch(&mut self) -> Result<usize> {
        self.now_boot_ns = sys::boot_clock_ns();
        let mut records = Vec::new();
        let tally = &mut self.tally;
        let taken =
            self.loaded.rings.drain(BATCH_RECORDS, |event_kind, bytes| {
                match decode::decode(event_kind, bytes) {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        log::warn!("{error}");
                        tally.undecoded(event_kind);
                    }
                }
            });
        self.empty_pumps = if taken == 0 { self.empty_pumps + 1 } else { 0 };
        records.sort_by_key(|record| record.head().boot_ns);
        self.look_up(records.iter().map(Record::head))?;
        let mut text = String::new();
        for record in &records {
            self.record(record, &mut text);
        }
        self.print(text);
        Ok(taken)
    }

    /// Asks the open files when any event needs it, and learns of the children of wanted processes.
    fn look_up<'a>(&mut self, mut heads: impl Iterator<Item = &'a Head> + Clone) -> Result<()> {
        self.owners.begin();
        self.known.clear();
        let unsure = heads.clone().filter(|head| self.owners.needs_holders(head));
        if let Some(latest) = unsure.map(|head| head.boot_ns).max() {
            let loaded = &mut self.loaded;
            self.owners
                .holders_mut()
                .refresh(latest, &sys::boot_clock_ns, &mut || loaded.walk());
        }
        if self.resolved.config.filters & bit::FOLLOW != 0
            && heads.any(|head| !head.owner_is_sure())
        {
            self.resolved.pids = self.loaded.pids()?;
        }
        Ok(())
    }

    /// Attributes, filters and prints one record.
    fn record(&mut self, record: &Record, text: &mut String) {
        let head = record.head();
        let known = self.known.take(head);
        let keep = known.is_some() || !self.owners.needs_holders(head);
        let owner = known.unwrap_or_else(|| self.owners.resolve(head));
        let event = decode::event(record, owner, &self.names);
        if self.removes(head, &event) {
            self.tally.filtered_emitted(head.event_kind);
        } else {
            self.tally.delivered(head.event_kind);
            self.line(&event, text);
        }
        if keep {
            self.known.keep(head, event.owner);
        }
    }

    /// The filter, where the kernel could not be sure of the owner or does not know the cgroup.
    fn removes(&self, head: &Head, event: &Event) -> bool {
        let is_decided = self.resolved.config.filters == 0 || head.owner_is_sure();
        (self.resolved.cgroup_is_decided_here || !is_decided) && !self.resolved.matches(event)
    }

    /// The same for what is only counted: where the kernel is not sure of the owner, it counts.
    fn leaves_out(&self, counted: &Counted) -> bool {
        let nobody = Owner::default();
        self.resolved.cgroup_is_decided_here
            && !self
                .resolved
                .matches_owner(counted.owner.as_ref().unwrap_or(&nobody))
    }

    fn line(&mut self, event: &Event, text: &mut String) {
        match &mut self.left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        self.say(event, text);
    }

    /// Prints what was aggregated since the last time.
    pub fn deliver_aggregates(&mut self) -> Result<Step> {
        if !self.may_go_on() {
            return Ok(Step::Go);
        }
        self.now_boot_ns = sys::boot_clock_ns();
        self.follow_wall_clock()?;
        self.forget_ended()?;
        let taken = self.loaded.take_aggregates()?;
        self.aggregates(&taken)?;
        if self.tape.is_some() {
            let totals = self.totals_so_far()?;
            let now_boot_ns = self.now_boot_ns;
            if let Some(tape) = &mut self.tape {
                tape.second(&totals, now_boot_ns);
            }
        }
        if let Some(witness) = &mut self.witness {
            witness.second(self.now_boot_ns, &self.clock);
        }
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
    fn follow_wall_clock(&mut self) -> Result<()> {
        let now = sys::wall_minus_boot_ns();
        if now.abs_diff(self.clock.wall_minus_boot_ns) > CLOCK_STEP_NS {
            self.clock.wall_minus_boot_ns = now;
            if self.tape.is_some() {
                let totals = self.totals_so_far()?;
                if let Some(tape) = &mut self.tape {
                    tape.clock_stepped(now, &totals, self.now_boot_ns);
                }
            }
        }
        Ok(())
    }

    /// Attributes, filters and prints aggregated events.
    fn aggregates(&mut self, taken: &[(AggregateKey, AggregateValue)]) -> Result<()> {
        let heads: Vec<_> = taken
            .iter()
            .map(|(key, value)| value.head(key.event_kind))
            .collect();
        self.look_up(heads.iter())?;
        let list_would_block = self.resolved.config.list_would_block != 0;
        let mut events = Vec::new();
        for ((key, value), head) in taken.iter().zip(&heads) {
            let owner = self.owners.resolve(head);
            match decode::aggregated(key, value, owner, &self.names, list_would_block) {
                Ok(Aggregated::Event(event)) if self.removes(head, &event) => {
                    self.tally.filtered_aggregated(key.event_kind, value.count);
                }
                Ok(Aggregated::Event(event)) => events.push(event),
                Ok(Aggregated::Counted(counted)) if self.leaves_out(&counted) => {
                    self.tally.filtered_aggregated(key.event_kind, value.count);
                }
                Ok(Aggregated::Counted(counted)) => {
                    if let Some(flow) = &counted.flow {
                        self.trouble(flow);
                    }
                    self.tally.count(*counted);
                }
                Err(error) => log::warn!("{error}"),
            }
        }
        events.sort_by_key(|event| event.boot_ns);
        let mut text = String::new();
        for event in &events {
            self.line(event, &mut text);
        }
        self.losses(&mut text)?;
        self.print(text);
        Ok(())
    }

    /// Says at once what the rings had no room for, not only in the totals.
    fn losses(&mut self, text: &mut String) -> Result<()> {
        let counters = self.loaded.counters().context("cannot read the counters")?;
        for (index, counters) in counters.iter().enumerate() {
            let count = counters.lost - self.reported_lost[index];
            if count > 0 {
                self.reported_lost[index] = counters.lost;
                let lost = Lost {
                    at: LostAt::Ring,
                    event_kind: EventKind::from_number(index as u32),
                    count,
                };
                self.say(&Event::lost(sys::boot_clock_ns(), lost), text);
            }
        }
        Ok(())
    }

    /// The socket of this flow deserves a look.
    fn trouble(&mut self, flow: &Flow) {
        if let Some(tape) = &mut self.tape {
            tape.trouble(flow);
        }
        if let Some(witness) = &mut self.witness {
            witness.trouble(flow);
        }
    }

    /// Gives an event to whoever takes it.
    fn say(&mut self, event: &Event, text: &mut String) {
        if let Some(witness) = &mut self.witness {
            witness.event(event, &self.clock);
        }
        if self.tape.as_mut().is_some_and(|tape| tape.event(event)) {
            self.close_block();
        }
        if let Some(printer) = &self.printer {
            text.push_str(&printer.renderer.event(event, &self.clock));
        }
    }

    /// Closes the block at hand with the counters as they stand after its last event.
    fn close_block(&mut self) {
        let totals = self.totals_so_far();
        let totals = totals.inspect_err(|error| log::warn!("{error:#}")).ok();
        if let Some(tape) = &mut self.tape {
            tape.close(totals.as_ref(), self.now_boot_ns);
        }
    }

    fn print(&mut self, text: String) {
        if let Some(printer) = &mut self.printer {
            printer.print(text.into_bytes());
        }
    }

    /// A recording goes on whoever reads what is printed.
    fn may_go_on(&mut self) -> bool {
        let printed = self.printer.as_mut().is_none_or(Printer::flush);
        printed || self.tape.is_some()
    }

    /// Is there nobody left for whom it would be worth going on?
    fn reader_gone(&self) -> bool {
        match &self.tape {
            Some(tape) => tape.status().reader_gone,
            None => self.printer.as_ref().is_some_and(Printer::reader_gone),
        }
    }

    /// A signal asks for what is held in memory.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn fire(&mut self, expression: &str) -> Result<()> {
        if self.tape.is_some() {
            let totals = self.totals_so_far()?;
            if let Some(tape) = &mut self.tape {
                tape.fire(expression.to_owned(), &totals, sys::boot_clock_ns());
            }
        }
        Ok(())
    }

    /// The recording, where there is one.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// Detaches, takes what is left, prints and records counts and totals, and waits for the output.
    pub fn finish(mut self, patience: Duration) -> Result<Finished> {
        let missed = self.missed();
        self.loaded.detach();
        // A reader that does not read gets no more: the run must end.
        let mut reads = self.flush_while_read(patience);
        while reads && self.pump_batch()? > 0 {
            reads = self.flush_while_read(patience);
        }
        let mut report = None;
        if reads {
            let last = self.loaded.take_last_aggregates()?;
            self.aggregates(&last)?;
            let counted = self.counted()?;
            let totals = self.totals(&missed)?;
            let witness = self.witness.take();
            let judged = witness.map(|witness| witness.finish(&counted, &totals, &self.clock));
            if let Some(printer) = &mut self.printer {
                let mut text = printer.renderer.counted(&counted, &self.clock);
                if let Some(judged) = &judged {
                    text.push_str(&printer.renderer.report(judged));
                } else {
                    text.push_str(&printer.renderer.totals(&totals));
                }
                printer.print(text.into_bytes());
                printer.flush_while_read(patience);
            }
            let tape = self.tape.take();
            report = tape.map(|tape| tape.finish(&counted, &totals, sys::boot_clock_ns()));
        }
        let left_out = self.printer.as_ref().map_or(0, Printer::left_out);
        let printed = match self.printer {
            Some(printer) => printer
                .finish()
                .context("stdout takes no more output: make room, or write elsewhere")?,
            None => FinishOutcome::Complete,
        };
        Ok(Finished {
            printed,
            left_out,
            report,
        })
    }

    fn flush_while_read(&mut self, patience: Duration) -> bool {
        let printed = self
            .printer
            .as_mut()
            .is_none_or(|printer| printer.flush_while_read(patience));
        printed || self.tape.is_some()
    }
}
