//! The source of a run: takes records from the rings, counts every one of them, and gives the events, and what stands
//! beside them, to its sinks.

mod counts;
mod host_monitor;
mod owner_cache;
mod waiting;
mod walks;

pub use host_monitor::HostMonitor;
use owner_cache::OwnerCache;

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracer_common::{AggregateKey, AggregateValue, CodeKey, Head, event_kind, filter as bit};

use super::attach::Attached;
use crate::render::Clock;
use crate::sink::{At, End, HostEnd, Sink};
use tracer_capture::decode::{self, Aggregated, Record};
use tracer_capture::kernel::load::Loaded;
use tracer_capture::names::KernelNames;
use tracer_capture::owner::{Callers, Owners};
use tracer_capture::sys;
use tracer_capture::walk::Walker;
use tracer_model::event::{Counted, Event, EventKind, Lost, LostAt, Owner};
use tracer_model::filter::FilterSpec;
use tracer_model::tally::Tally;
use tracer_model::trigger::Triggers;

/// Records taken from each ring before they are printed: bounds the memory of a batch to a few MiB.
const BATCH_RECORDS: usize = 1024;

/// How often the sinks are told what was counted instead of listed, nanoseconds.
const TELL_NS: u64 = 5_000_000_000;

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

/// What a run asks of the host.
pub struct Capture {
    loaded: Loaded,
    owners: Owners,
    callers: Callers,
    owner_cache: OwnerCache,
    names: KernelNames,
    benign: Vec<u32>,
    filter: FilterSpec,
    clock: Clock,
    host_monitor: Option<HostMonitor>,
    /// Looks for sockets that wait, where that is wanted.
    walker: Option<Walker>,
    triggers: Triggers,
    tally: Tally,
    /// What was counted instead of listed since the sinks were told.
    recent: Tally,
    /// When they were told, nanoseconds of CLOCK_BOOTTIME.
    told_boot_ns: u64,
    /// What of the kernel's counts by code has been taken.
    codes: HashMap<CodeKey, u64>,
    /// Loss that was said already, per event kind.
    reported_lost: [u64; event_kind::COUNT],
    /// Consecutive polls that found every ring empty.
    empty_polls: u64,
    /// Events still to give.
    left: Option<u64>,
    /// CLOCK_BOOTTIME of the batch.
    now_boot_ns: u64,
    /// When it began, nanoseconds since 1970.
    begun_ns: i64,
    /// That children were missed under `--follow` has been said.
    children_missed: bool,
}

impl Capture {
    /// Begins at `now_boot_ns`; `count`: ends after so many events.
    pub fn new(
        attached: Attached,
        owners: Owners,
        mut host_monitor: Option<HostMonitor>,
        clock: Clock,
        now_boot_ns: u64,
        count: Option<u64>,
    ) -> Self {
        if let Some(host_monitor) = &mut host_monitor {
            host_monitor.begin(now_boot_ns);
        }
        Self {
            benign: attached.names.benign_reasons(),
            loaded: attached.loaded,
            owners,
            callers: Callers::default(),
            owner_cache: OwnerCache::default(),
            names: attached.names,
            filter: attached.filter,
            begun_ns: clock.wall_ns(now_boot_ns),
            clock,
            host_monitor,
            walker: None,
            triggers: Triggers::default(),
            tally: Tally::default(),
            recent: Tally::default(),
            told_boot_ns: now_boot_ns,
            codes: HashMap::new(),
            reported_lost: [0; event_kind::COUNT],
            empty_polls: 0,
            left: count,
            now_boot_ns,
            children_missed: false,
        }
    }

    /// Also looks for sockets that wait.
    #[must_use]
    pub fn with_walker(self, walker: Option<Walker>) -> Self {
        Self { walker, ..self }
    }

    /// Events like these are said to the sinks.
    #[must_use]
    pub fn with_triggers(self, triggers: Triggers) -> Self {
        Self { triggers, ..self }
    }

    /// Descriptors of the rings.
    pub fn ring_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.loaded.rings.fds()
    }

    /// Have the rings been empty for a while?
    pub fn is_idle(&self) -> bool {
        self.empty_polls > 20
    }

    /// Takes what the rings hold now.
    pub fn pump(&mut self, sink: &mut dyn Sink) -> Result<LoopStep> {
        loop {
            if sink.is_gone() || self.left == Some(0) {
                return Ok(LoopStep::End);
            }
            // While nobody takes anything rings are not read, and their loss is counted.
            if !sink.flush(Duration::ZERO) {
                return Ok(LoopStep::Go);
            }
            if self.pump_batch(sink)? < BATCH_RECORDS {
                sink.flush(Duration::ZERO);
                return Ok(LoopStep::Go);
            }
        }
    }

    /// One batch of records, in order of time over all rings; gives how many there were.
    fn pump_batch(&mut self, sink: &mut dyn Sink) -> Result<usize> {
        self.now_boot_ns = sys::boot_clock_ns();
        self.loaded.log();
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
        self.callers.join(records.iter_mut().map(Record::head_mut));
        self.look_up(records.iter().map(Record::head))?;
        for record in &records {
            self.record(record, sink);
        }
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

    /// Attributes and filters one record.
    fn record(&mut self, record: &Record, sink: &mut dyn Sink) {
        let head = record.head();
        let known = self.owner_cache.take(head);
        let keep = known.is_some() || !self.owners.needs_holders(head);
        let owner = known.unwrap_or_else(|| self.owners.resolve(head));
        let event = decode::event(record, owner, &self.names);
        if self.removes(head, &event) {
            self.tally.filtered_emitted(head.event_kind);
        } else {
            self.tally.delivered(head.event_kind);
            self.one(&event, sink);
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

    /// One of the events that are asked for.
    fn one(&mut self, event: &Event, sink: &mut dyn Sink) {
        match &mut self.left {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        self.emit(event, sink);
    }

    /// About once a second: what was aggregated since the last time, and what stands beside the events.
    pub fn tick(&mut self, sink: &mut dyn Sink) -> Result<LoopStep> {
        if !sink.flush(Duration::ZERO) {
            return Ok(LoopStep::Go);
        }
        self.now_boot_ns = sys::boot_clock_ns();
        self.follow_wall_clock(sink);
        self.forget_ended()?;
        let taken = self.loaded.take_aggregates()?;
        self.aggregates(&taken, sink)?;
        self.walk(sink);
        self.monitor(sink, false);
        // A run that is killed has told most of it.
        if self.now_boot_ns.saturating_sub(self.told_boot_ns) >= TELL_NS {
            self.tell_counted(sink)?;
        }
        self.at(|at| sink.tick(at));
        sink.flush(Duration::ZERO);
        Ok(if self.left == Some(0) {
            LoopStep::End
        } else {
            LoopStep::Go
        })
    }

    /// Samples and changes.
    fn monitor(&mut self, sink: &mut dyn Sink, is_end: bool) {
        let Some(host_monitor) = &mut self.host_monitor else {
            return;
        };
        let changes = host_monitor.changes(self.now_boot_ns);
        let sample = host_monitor.sample(self.now_boot_ns, is_end);
        self.at(|at| {
            changes.iter().for_each(|change| sink.change(at, change));
            sample.iter().for_each(|sample| sink.sample(at, sample));
        });
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
    fn follow_wall_clock(&mut self, sink: &mut dyn Sink) {
        let now = sys::wall_minus_boot_ns();
        if now.abs_diff(self.clock.wall_minus_boot_ns) > CLOCK_STEP_NS {
            self.clock.wall_minus_boot_ns = now;
            self.at(|at| sink.clock_step(at));
        }
    }

    /// Attributes and filters aggregated events.
    fn aggregates(
        &mut self,
        taken: &[(AggregateKey, AggregateValue)],
        sink: &mut dyn Sink,
    ) -> Result<()> {
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
                    if let (Some(host_monitor), Some(flow)) =
                        (&mut self.host_monitor, &counted.flow)
                    {
                        host_monitor.sample_socket(flow);
                    }
                    self.recent.count(*counted);
                }
                Err(error) => log::warn!("{error}"),
            }
        }
        events.sort_by_key(|event| event.boot_ns);
        for event in &events {
            self.one(event, sink);
        }
        self.losses(sink)
    }

    /// Says at once what the rings had no room for, not only in the totals.
    fn losses(&mut self, sink: &mut dyn Sink) -> Result<()> {
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
                self.emit(&Event::lost(sys::boot_clock_ns(), lost), sink);
            }
        }
        Ok(())
    }

    /// Gives an event to the sinks.
    fn emit(&mut self, event: &Event, sink: &mut dyn Sink) {
        if let Some(host_monitor) = &mut self.host_monitor {
            host_monitor.event(event);
        }
        self.at(|at| sink.event(at, event));
        let fired = self.triggers.observe(event);
        if let Some(trigger) = fired.map(|trigger| trigger.expression().to_owned()) {
            self.trigger(&trigger, sink);
        }
    }

    fn trigger(&mut self, expression: &str, sink: &mut dyn Sink) {
        self.at(|at| sink.trigger(at, expression));
        self.triggers.rearm();
    }

    /// A signal asks for what is held in memory.
    pub fn fire(&mut self, expression: &str, sink: &mut dyn Sink) {
        self.now_boot_ns = sys::boot_clock_ns();
        self.trigger(expression, sink);
    }

    /// With where the capture is.
    fn at(&self, give: impl FnOnce(&At<'_>)) {
        let totals = || {
            let totals = self.totals_so_far();
            totals.inspect_err(|error| log::warn!("{error:#}")).ok()
        };
        give(&At {
            host: 0,
            name: None,
            clock: &self.clock,
            boot_ns: self.now_boot_ns,
            totals: &totals,
        });
    }

    /// Detaches, takes what is left, and ends the sinks. A sink that takes nothing for `patience` gets no more: the
    /// run must end.
    pub fn finish(mut self, sink: &mut dyn Sink, patience: Duration) -> Result<()> {
        let missed = self.missed();
        let last_walk = self.last_walk();
        self.loaded.detach();
        let mut takes = sink.flush(patience);
        while takes && self.pump_batch(sink)? > 0 {
            takes = sink.flush(patience);
        }
        if !takes {
            return Ok(());
        }
        let last = self.loaded.take_last_aggregates()?;
        self.now_boot_ns = sys::boot_clock_ns();
        self.aggregates(&last, sink)?;
        if let Some(walked) = last_walk {
            self.last_walked(walked, sink)?;
        }
        self.monitor(sink, true);
        self.tell_counted(sink)?;
        let counted = self.tally.counted();
        let totals = self.totals(&missed)?;
        let host = HostEnd {
            counted,
            covered: Some((self.begun_ns, self.clock.wall_ns(self.now_boot_ns))),
            damage: Vec::new(),
        };
        self.at(|at| {
            sink.finish(&End {
                at: *at,
                hosts: &[host],
                totals: &totals,
            });
        });
        sink.flush(patience);
        Ok(())
    }
}
