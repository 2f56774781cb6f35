//! The source of replay, export, report and diff: the traces that the user named become events in the order of time,
//! filtered as live filters them, with the clock of the host that recorded them.

pub mod totals_window;
mod trace_reader;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Failure;
use super::warn;
use crate::cli::Filters;
use crate::interrupt::Interrupt;
use crate::render::Clock;
use crate::sink::{At, End, Sink};
pub use trace_reader::{TraceReader, zone};
use tracer_format::note::Note;
use tracer_format::reader::Notice;
use tracer_format::reader::recording::ReadStep;
use tracer_model::event::{Event, Flow, Totals};
use tracer_model::filter::{self, FilterSpec};
use tracer_model::when::{self, When};

/// What is asked of traces.
pub struct Wanted<'a> {
    pub paths: &'a [PathBuf],
    pub filters: &'a Filters,
    pub since: Option<When>,
    pub until: Option<When>,
    /// Go on with what is still being written.
    pub follow: bool,
    /// Fail on the first damage.
    pub strict: bool,
    /// Print times in UTC instead of the zone of the host that recorded.
    pub utc: bool,
}

/// Traces that are read side by side, in the order of time.
pub struct MergedReader {
    traces: Vec<TraceReader>,
    strict: bool,
    /// How far it has come, nanoseconds of CLOCK_BOOTTIME.
    boot_ns: u64,
    /// The second of the last tick, since 1970.
    second: i64,
}

/// What comes next.
#[derive(Debug)]
pub enum Item {
    Event(Box<Event>),
    /// A sample, a change, a trigger: everything beside the events. With its time, nanoseconds of CLOCK_BOOTTIME.
    Note(u64, Box<Note>),
}

/// How fast, and how far, a source goes.
pub trait Pace {
    /// How long to wait before an event of this time, nanoseconds since 1970.
    fn pause(&mut self, wall_ns: i64) -> Option<Duration>;
}

/// As fast as it goes.
impl Pace for () {
    fn pause(&mut self, _: i64) -> Option<Duration> {
        None
    }
}

impl MergedReader {
    /// Opens all traces and goes to where they are wanted from.
    ///
    /// # Errors
    /// When one cannot be read, or a filter or time means nothing there.
    pub fn open(wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let filter =
            filter::resolve_offline(&wanted.filters.into()).map_err(|error| match error {
                filter::Error::Usage(message) => Failure::Usage(message),
                filter::Error::Host(error) => Failure::Failed(error),
            })?;
        let mut traces = Vec::new();
        for path in wanted.paths {
            let name = path.to_str().with_context(|| {
                format!(
                    "{}: a path that is not UTF-8 cannot be read",
                    path.display()
                )
            })?;
            traces.push(open_trace(name, wanted, &filter)?);
        }
        Ok(Self {
            traces,
            strict: wanted.strict,
            boot_ns: 0,
            second: 0,
        })
    }

    /// The next event or note of all traces, in the order of time, with the index of its trace.
    ///
    /// # Errors
    /// When reading fails, or at damage when that is asked for.
    pub fn next(&mut self) -> Result<ReadStep<(usize, Item)>> {
        let mut first: Option<(i128, usize)> = None;
        let mut waits = false;
        for (index, trace) in self.traces.iter_mut().enumerate() {
            match trace.peek(self.strict)? {
                ReadStep::Item(wall_ns) => {
                    if first.is_none_or(|(earliest, _)| wall_ns < earliest) {
                        first = Some((wall_ns, index));
                    }
                }
                ReadStep::Wait => waits = true,
                ReadStep::End => {}
            }
        }
        Ok(match first {
            Some((_, index)) => match self.traces[index].take() {
                Some(item) => ReadStep::Item((index, item)),
                None => ReadStep::Wait,
            },
            None if waits => ReadStep::Wait,
            None => ReadStep::End,
        })
    }

    /// The traces, in the order as typed.
    pub fn traces(&self) -> &[TraceReader] {
        &self.traces
    }

    /// For going through blocks instead of events.
    pub fn traces_mut(&mut self) -> &mut [TraceReader] {
        &mut self.traces
    }

    /// The clock of a trace at its last event.
    pub fn clock(&self, trace: usize) -> &Clock {
        &self.traces[trace].clock
    }

    /// Gives everything to the sinks, in the order of time, but not more than `most` events.
    ///
    /// # Errors
    /// When reading fails, or at damage when that is asked for. Sinks keep what they have got.
    pub fn run(
        &mut self,
        sink: &mut dyn Sink,
        interrupt: &Interrupt,
        pace: &mut dyn Pace,
        most: u64,
    ) -> Result<()> {
        let mut left = most;
        let mut held = 0;
        while left > 0 && !interrupt.came() {
            // To read takes longer than to write what has been read; and what a block says that is in it must not wait in
            // memory.
            if (held >= FLUSH || self.traces.iter().any(TraceReader::reads_next))
                && !flush(sink, interrupt, Duration::ZERO)
            {
                break;
            }
            match self.next()? {
                ReadStep::End => break,
                ReadStep::Wait => interrupt.wait(LOOK_AGAIN),
                ReadStep::Item((trace, item)) => {
                    held = if held >= FLUSH { 0 } else { held } + bytes_of(&item);
                    if let Item::Event(event) = &item {
                        left -= 1;
                        let wall_ns = self.clock(trace).wall_ns(event.boot_ns);
                        if let Some(pause) = pace.pause(wall_ns) {
                            flush(sink, interrupt, Duration::ZERO);
                            interrupt.wait(pause);
                        }
                    }
                    self.give(trace, &item, sink);
                }
            }
        }
        self.finish(sink);
        flush(sink, interrupt, LOOK_AGAIN);
        Ok(())
    }

    /// Gives one item to the sinks, and what of the clock came before it.
    pub fn give(&mut self, trace: usize, item: &Item, sink: &mut dyn Sink) {
        self.boot_ns = match item {
            Item::Event(event) => event.boot_ns,
            Item::Note(boot_ns, _) => *boot_ns,
        };
        let stepped = std::mem::take(&mut self.traces[trace].clock_stepped);
        let second = self
            .clock(trace)
            .wall_ns(self.boot_ns)
            .div_euclid(1_000_000_000);
        let ticks = std::mem::replace(&mut self.second, second) != second;
        self.at(trace, |at| {
            if stepped {
                sink.clock_step(at);
            }
            if ticks {
                sink.tick(at);
            }
            match item {
                Item::Event(event) => sink.event(at, event),
                Item::Note(_, note) => match &**note {
                    Note::Sample(sample) => sink.sample(at, sample),
                    Note::Change(change) => sink.change(at, change),
                    Note::Trigger(fired) => sink.trigger(at, &fired.expression),
                    _ => {}
                },
            }
        });
    }

    /// Ends the sinks.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        let hosts: Vec<_> = self.traces.iter_mut().map(TraceReader::host_end).collect();
        let totals = self.totals();
        for (trace, host) in hosts.iter().enumerate() {
            self.at(trace, |at| sink.counted(at, &host.counted));
        }
        self.at(0, |at| {
            sink.finish(&End {
                at: At { name: None, ..*at },
                hosts: &hosts,
                totals: &totals,
            });
        });
    }

    /// With where a trace is.
    pub fn at(&self, trace: usize, give: impl FnOnce(&At<'_>)) {
        let several = self.traces.len() > 1;
        let reader = &self.traces[trace];
        give(&At {
            host: trace,
            name: several.then(|| reader.host.as_deref().unwrap_or(reader.name())),
            clock: &reader.clock,
            boot_ns: self.boot_ns,
            totals: &|| Some(self.totals()),
        });
    }

    /// Totals of what was read.
    pub fn totals(&self) -> Totals {
        self.traces.iter().map(TraceReader::totals).sum()
    }
}

/// Waits until everything is taken, or with some `patience` until it is written; `false`: nobody takes more.
pub fn flush(sink: &mut dyn Sink, interrupt: &Interrupt, mut patience: Duration) -> bool {
    while !sink.is_gone() {
        if sink.flush(patience) {
            return true;
        }
        if interrupt.came() {
            return false;
        }
        patience = LOOK_AGAIN;
    }
    false
}

/// Opens one trace.
fn open_trace(
    name: &str,
    wanted: &Wanted<'_>,
    filter: &FilterSpec,
) -> Result<TraceReader, Failure> {
    let mut recording = super::open_trace(name, wanted.follow)?;
    let (mut since, mut until) = (None, None);
    recording.take_first()?;
    let facts = trace_reader::header(&recording).unwrap_or_default();
    let zone = zone(&facts).unwrap_or(TimeZone::UTC);
    if wanted.since.is_some() || wanted.until.is_some() {
        let span = recording
            .span()?
            .or_else(|| trace_reader::first_wall(&recording).map(|at| (at, at)));
        let (first, last) = span.with_context(|| format!("{name}: no time is known in it"))?;
        let context = when::Context {
            zone: zone.clone(),
            first: timestamp(first)?,
            last: timestamp(last)?,
            now: Timestamp::now(),
            // The end of standard input is not known either.
            follow: wanted.follow || name == "-",
        };
        let (from, to) = match when::range(wanted.since, wanted.until, &context) {
            Ok(range) => range,
            // Of several traces, some need not cover the window.
            Err(why) if wanted.paths.len() > 1 => {
                warn(&format!(
                    "{}: left out: {why}",
                    tracer_model::escape::name(name.as_bytes())
                ));
                let never = (Timestamp::MAX, Timestamp::MIN);
                (Some(never.0), Some(never.1))
            }
            Err(why) => return Err(anyhow::anyhow!("{name}: {why}").into()),
        };
        since = from.map(|time| time.as_nanosecond());
        until = to.map(|time| time.as_nanosecond());
    }
    if let Some(since) = since {
        recording.begin_at(since)?;
    }
    let zone = if wanted.utc { TimeZone::UTC } else { zone };
    let mut trace = TraceReader::new(recording, filter.clone(), zone, since, until);
    trace.facts = facts;
    Ok(trace)
}

fn timestamp(wall_ns: i128) -> Result<Timestamp> {
    Timestamp::from_nanosecond(wall_ns).context("the trace has times beyond the year 9999")
}

/// Says or refuses what is wrong with a trace.
///
/// # Errors
/// When `strict` is asked for.
fn report_notice(name: &str, notice: &Notice, strict: bool) -> Result<()> {
    let name = tracer_model::escape::name(name.as_bytes());
    if strict {
        bail!("{name}: {notice} (--strict)");
    }
    warn(&format!("{name}: {notice}"));
    Ok(())
}

/// When items of so many bytes were given, what has come of them is handed on.
const FLUSH: usize = 256 << 10;

/// What an item takes in memory, bytes, about.
fn bytes_of(item: &Item) -> usize {
    match item {
        Item::Event(event) => {
            let flow = event.flow.as_ref().map_or(0, Flow::heap_bytes);
            1024 + event.owner.heap_bytes() + flow + event.detail.heap_bytes()
        }
        // A sample may have thousands of interfaces.
        Item::Note(..) => FLUSH / 8,
    }
}

/// How long to wait before looking again at a trace that is still being written.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);
