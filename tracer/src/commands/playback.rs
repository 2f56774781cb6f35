//! What replay, export and report begin with: traces as typed become events in the order of time, filtered as
//! live filters them, with the clock of the host that recorded them.

mod lines;
pub mod sums;
mod track;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Failure;
use super::warn;
use crate::cli::Filters;
use crate::render::Clock;
use tracer_format::note::Note;
use tracer_format::reader::Notice;
use tracer_model::event::{Counted, Event, Totals};
use tracer_model::filter::{self, Resolved};
use tracer_model::when::{self, When};
pub use track::{Next, Track, zone};

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

/// Traces being played.
pub struct Playback {
    tracks: Vec<Track>,
    strict: bool,
}

/// What comes next.
#[derive(Debug)]
pub enum Play {
    Event(Box<Event>),
    /// A sample, a change, a trigger: everything beside the events.
    Note(Box<Note>),
}

/// See [`Playback::next`].
pub enum Step {
    /// Of which track, and what.
    Play(usize, Play),
    /// Nothing for now: a recorder is at work.
    Wait,
    End,
}

impl Playback {
    /// Opens all traces and goes to where they are wanted from.
    ///
    /// # Errors
    /// When one cannot be read, or a filter or time means nothing there.
    pub fn open(wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let resolved =
            filter::resolve_offline(&wanted.filters.into()).map_err(|error| match error {
                filter::Error::Usage(message) => Failure::Usage(message),
                filter::Error::Host(error) => Failure::Failed(error),
            })?;
        let mut tracks = Vec::new();
        for path in wanted.paths {
            let name = path.to_str().with_context(|| {
                format!(
                    "{}: a path that is not UTF-8 cannot be read",
                    path.display()
                )
            })?;
            tracks.push(track(name, wanted, &resolved)?);
        }
        Ok(Self {
            tracks,
            strict: wanted.strict,
        })
    }

    /// The next event or note of all traces, in the order of time.
    ///
    /// # Errors
    /// When reading fails, or at damage when that is asked for.
    pub fn next(&mut self) -> Result<Step> {
        let mut first: Option<(i128, usize)> = None;
        let mut waits = false;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            match track.peek(self.strict)? {
                track::Head::At(wall_ns) => {
                    if first.is_none_or(|(earliest, _)| wall_ns < earliest) {
                        first = Some((wall_ns, index));
                    }
                }
                track::Head::Wait => waits = true,
                track::Head::End => {}
            }
        }
        Ok(match first {
            Some((_, index)) => match self.tracks[index].take() {
                Some(play) => Step::Play(index, play),
                None => Step::Wait,
            },
            None if waits => Step::Wait,
            None => Step::End,
        })
    }

    /// The traces, in the order as typed.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// For going through blocks instead of events.
    pub fn tracks_mut(&mut self) -> &mut [Track] {
        &mut self.tracks
    }

    /// The clock of a trace at its last event.
    pub fn clock(&self, track: usize) -> &Clock {
        &self.tracks[track].clock
    }

    /// What was counted instead of listed, in all traces.
    pub fn counted(&mut self) -> Vec<Counted> {
        self.tracks.iter_mut().flat_map(Track::counted).collect()
    }

    /// Totals of what was played.
    pub fn totals(&self) -> Totals {
        sums::add(self.tracks.iter().map(Track::totals))
    }
}

/// Opens one trace.
fn track(name: &str, wanted: &Wanted<'_>, resolved: &Resolved) -> Result<Track, Failure> {
    let mut recording = super::open_trace(name, wanted.follow)?;
    let (mut since, mut until) = (None, None);
    recording.take_first()?;
    let facts = track::header(&recording).unwrap_or_default();
    let zone = zone(&facts).unwrap_or(TimeZone::UTC);
    if wanted.since.is_some() || wanted.until.is_some() {
        let span = recording
            .span()?
            .or_else(|| track::first_wall(&recording).map(|at| (at, at)));
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
    let mut track = Track::new(recording, resolved.clone(), zone, since, until);
    track.facts = facts;
    Ok(track)
}

fn timestamp(wall_ns: i128) -> Result<Timestamp> {
    Timestamp::from_nanosecond(wall_ns).context("the trace has times beyond the year 9999")
}

/// Says or refuses what is wrong with a trace.
///
/// # Errors
/// When `strict` is asked for.
fn heed(name: &str, notice: &Notice, strict: bool) -> Result<()> {
    let name = tracer_model::escape::name(name.as_bytes());
    if strict {
        bail!("{name}: {notice} (--strict)");
    }
    warn(&format!("{name}: {notice}"));
    Ok(())
}

/// How long to wait before looking again at a trace that is still being written.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);
