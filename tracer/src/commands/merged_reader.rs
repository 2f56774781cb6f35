//! The merged reader of replay, export and report: the traces that the user named become events in the order of
//! time, filtered as live filters them, with the clock of the host that recorded them.

mod lines;
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
use crate::render::Clock;
pub use trace_reader::{NextBlock, TraceReader, zone};
use tracer_format::note::Note;
use tracer_format::reader::Notice;
use tracer_model::event::{Counted, Event, Totals};
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
}

/// What comes next.
#[derive(Debug)]
pub enum Item {
    Event(Box<Event>),
    /// A sample, a change, a trigger: everything beside the events.
    Note(Box<Note>),
}

/// See [`MergedReader::next`].
pub enum NextItem {
    /// The index of its trace, and the item.
    Item(usize, Item),
    /// Nothing for now: a recorder is at work.
    Wait,
    End,
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
        })
    }

    /// The next event or note of all traces, in the order of time.
    ///
    /// # Errors
    /// When reading fails, or at damage when that is asked for.
    pub fn next(&mut self) -> Result<NextItem> {
        let mut first: Option<(i128, usize)> = None;
        let mut waits = false;
        for (index, trace) in self.traces.iter_mut().enumerate() {
            match trace.peek(self.strict)? {
                trace_reader::Peeked::At(wall_ns) => {
                    if first.is_none_or(|(earliest, _)| wall_ns < earliest) {
                        first = Some((wall_ns, index));
                    }
                }
                trace_reader::Peeked::Wait => waits = true,
                trace_reader::Peeked::End => {}
            }
        }
        Ok(match first {
            Some((_, index)) => match self.traces[index].take() {
                Some(item) => NextItem::Item(index, item),
                None => NextItem::Wait,
            },
            None if waits => NextItem::Wait,
            None => NextItem::End,
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

    /// What was counted instead of listed, in all traces.
    pub fn counted(&mut self) -> Vec<Counted> {
        self.traces
            .iter_mut()
            .flat_map(TraceReader::counted)
            .collect()
    }

    /// Totals of what was read.
    pub fn totals(&self) -> Totals {
        totals_window::add(self.traces.iter().map(TraceReader::totals))
    }
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
        let (from, to) = when::range(wanted.since, wanted.until, &context)
            .map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
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

/// How long to wait before looking again at a trace that is still being written.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);
