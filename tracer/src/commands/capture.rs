//! One run: takes records from the rings to where they are printed or recorded, and counts every one of them.

mod counts;
mod diagnosis_sink;
mod host_monitor;
mod owner_cache;
mod printer;
mod trace_sink;

pub use diagnosis_sink::DiagnosisSink;
pub use host_monitor::HostMonitor;
use owner_cache::OwnerCache;
pub use printer::Printer;
pub use trace_sink::{TraceSink, TraceTarget, object, windows};

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
use tracer_format::writer::WriterSummary;
use tracer_model::event::{Counted, Event, EventKind, Flow, Lost, LostAt, Owner};
use tracer_model::filter::FilterSpec;
use tracer_model::tally::Tally;

/// Records taken from each ring before they are printed: bounds the memory of a batch to a few MiB.
const BATCH_RECORDS: usize = 1024;

/// A difference between wall clock and boot clock beyond this is a step, not noise or slewing.
const CLOCK_STEP_NS: u128 = 10_000_000;

/// Processes under `--follow`: how many there is room for in the BPF programs, and beyond how many those that
/// have ended are forgotten.
const PIDS_ROOM: usize = 16_384;
const PIDS_KEPT: usize = 2048;

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopStep {
    Go,
    End,
}

/// How a run ended.
pub struct Finished {
    pub printed: FinishOutcome,
    /// Bytes of output that were left out beside a recording because nobody read them.
    pub left_out: usize,
    /// How the recording ended.
    pub report: Option<WriterSummary>,
}

/// Everything that a run needs.
pub struct Capture {
    loaded: Loaded,
    owners: Owners,
    owner_cache: OwnerCache,
    names: KernelNames,
    benign: Vec<u32>,
    filter: FilterSpec,
    clock: Clock,
    /// While it waits for a reader and nothing is recorded, rings are not read, and their loss is counted.
    printer: Option<Printer>,
    trace_sink: Option<TraceSink>,
    /// Collects what the report at the end needs.
    diagnosis_sink: Option<DiagnosisSink>,
    tally: Tally,
    /// Loss that was printed already, per event kind.
    reported_lost: [u64; event_kind::COUNT],
    /// Consecutive polls that found every ring empty.
    empty_polls: u64,
    /// Event lines still to print.
    left: Option<u64>,
    /// CLOCK_BOOTTIME of the batch.
    now_boot_ns: u64,
    /// That children were missed under `--follow` has been said.
    children_missed: bool,
}

impl Capture {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        loaded: Loaded,
        owners: Owners,
        names: KernelNames,
        filter: FilterSpec,
        clock: Clock,
        mut printer: Option<Printer>,
        trace_sink: Option<TraceSink>,
        count: Option<u64>,
    ) -> Self {
        let benign = names.benign_reasons();
        if let Some(printer) = &mut printer {
            printer.while_recording = trace_sink.is_some();
        }
        Self {
            loaded,
            owners,
            owner_cache: OwnerCache::default(),
            names,
            benign,
            filter,
            clock,
            printer,
            trace_sink,
            diagnosis_sink: None,
            tally: Tally::default(),
            reported_lost: [0; event_kind::COUNT],
            empty_polls: 0,
            left: count,
            now_boot_ns: sys::boot_clock_ns(),
            children_missed: false,
        }
    }

    /// Also feeds a diagnosis.
    #[must_use]
    pub fn with_diagnosis(mut self, diagnosis_sink: Option<DiagnosisSink>) -> Self {
        self.diagnosis_sink = diagnosis_sink;
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

    /// Have the rings been empty for a while?
    pub fn is_idle(&self) -> bool {
        self.empty_polls > 20
    }

    /// Takes what the rings hold now.
    pub fn pump(&mut self) -> Result<LoopStep> {
        loop {
            if self.reader_gone() || self.left == Some(0) {
                return Ok(LoopStep::End);
            }
            if !self.may_go_on() {
                return Ok(LoopStep::Go);
            }
            if self.pump_batch()? < BATCH_RECORDS {
                return Ok(LoopStep::Go);
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
        self.empty_polls = if taken == 0 { self.empty_polls + 1 } else { 0 };
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
        self.owner_cache.clear();
        let unsure = heads.clone().filter(|head| self.owners.needs_holders(head));
        if let Some(latest) = unsure.map(|head| head.boot_ns).max() {
            let loaded = &mut self.loaded;
            self.owners
                .holders_mut()
                .refresh(latest, &sys::boot_clock_ns, &mut || loaded.walk());
        }
        if self.filter.config.filters & bit::FOLLOW != 0 && heads.any(|head| !head.owner_is_sure())
        {
            self.filter.pids = self.loaded.pids()?;
        }
        Ok(())
    }

    /// Attributes, filters and prints one record.
    fn record(&mut self, record: &Record, text: &mut String) {
        let head = record.head();
        let known = self.owner_cache.take(head);
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
            self.owner_cache.keep(head, event.owner);
        }
    }

    /// The filter, where the kernel could not be sure of the owner or does not know the cgroup.
    fn removes(&self, head: &Head, event: &Event) -> bool {
        let is_decided = self.filter.config.filters == 0 || head.owner_is_sure();
        (self.filter.cgroup_is_decided_here || !is_decided) && !self.filter.matches(event)
    }

    /// The same for what is only counted: where the kernel is not sure of the owner, it counts.
    fn leaves_out(&self, counted: &Counted) -> bool {
        let nobody = Owner::default();
        self.filter.cgroup_is_decided_here
            && !self
                .filter
                .matches_owner(counted.owner.as_ref().unwrap_or(&nobody))
    }

    fn line(&mut self, event: &Event, text: &mut String) {
        match &mut self.left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        self.emit(event, text);
    }

    /// Prints what was aggregated since the last time.
    pub fn deliver_aggregates(&mut self) -> Result<LoopStep> {
        if !self.may_go_on() {
            return Ok(LoopStep::Go);
        }
        self.now_boot_ns = sys::boot_clock_ns();
        self.follow_wall_clock()?;
        self.forget_ended()?;
        let taken = self.loaded.take_aggregates()?;
        self.aggregates(&taken)?;
        if self.trace_sink.is_some() {
            let totals = self.totals_so_far()?;
            let now_boot_ns = self.now_boot_ns;
            if let Some(trace_sink) = &mut self.trace_sink {
                trace_sink.tick(&totals, now_boot_ns);
            }
        }
        if let Some(diagnosis_sink) = &mut self.diagnosis_sink {
            diagnosis_sink.tick(self.now_boot_ns, &self.clock);
        }
        Ok(if self.left == Some(0) {
            LoopStep::End
        } else {
            LoopStep::Go
        })
    }

    /// Under `--follow` every child is remembered, beyond its end for the sake of data in flight; but not so
    /// many that there is no room for new ones.
    fn forget_ended(&mut self) -> Result<()> {
        if self.filter.config.filters & bit::FOLLOW == 0 {
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
            if self.trace_sink.is_some() {
                let totals = self.totals_so_far()?;
                if let Some(trace_sink) = &mut self.trace_sink {
                    trace_sink.clock_stepped(now, &totals, self.now_boot_ns);
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
        let list_would_block = self.filter.config.list_would_block != 0;
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
                        self.sample_socket(flow);
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
                self.emit(&Event::lost(sys::boot_clock_ns(), lost), text);
            }
        }
        Ok(())
    }

    /// The socket of this flow deserves a look.
    fn sample_socket(&mut self, flow: &Flow) {
        if let Some(trace_sink) = &mut self.trace_sink {
            trace_sink.sample_socket(flow);
        }
        if let Some(diagnosis_sink) = &mut self.diagnosis_sink {
            diagnosis_sink.sample_socket(flow);
        }
    }

    /// Hands an event to every sink.
    fn emit(&mut self, event: &Event, text: &mut String) {
        if let Some(diagnosis_sink) = &mut self.diagnosis_sink {
            diagnosis_sink.event(event, &self.clock);
        }
        if self
            .trace_sink
            .as_mut()
            .is_some_and(|trace_sink| trace_sink.event(event))
        {
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
        if let Some(trace_sink) = &mut self.trace_sink {
            trace_sink.close(totals.as_ref(), self.now_boot_ns);
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
        printed || self.trace_sink.is_some()
    }

    /// Is there nobody left for whom it would be worth going on?
    fn reader_gone(&self) -> bool {
        match &self.trace_sink {
            Some(trace_sink) => trace_sink.status().reader_gone,
            None => self.printer.as_ref().is_some_and(Printer::reader_gone),
        }
    }

    /// A signal asks for what is held in memory.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn fire(&mut self, expression: &str) -> Result<()> {
        if self.trace_sink.is_some() {
            let totals = self.totals_so_far()?;
            if let Some(trace_sink) = &mut self.trace_sink {
                trace_sink.fire(expression.to_owned(), &totals, sys::boot_clock_ns());
            }
        }
        Ok(())
    }

    /// The recording, where there is one.
    pub fn trace_sink(&self) -> Option<&TraceSink> {
        self.trace_sink.as_ref()
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
            let diagnosis_sink = self.diagnosis_sink.take();
            let judged = diagnosis_sink
                .map(|diagnosis_sink| diagnosis_sink.finish(&counted, &totals, &self.clock));
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
            let trace_sink = self.trace_sink.take();
            report = trace_sink
                .map(|trace_sink| trace_sink.finish(&counted, &totals, sys::boot_clock_ns()));
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
        printed || self.trace_sink.is_some()
    }
}
