//! `sendtrace report`: what is wrong, in which layer, and what to try first.

use std::io::{self, Write as _};
use std::path::Path;

use jiff::tz::TimeZone;

use super::Failure;
use super::playback::{self, LOOK_AGAIN, Play, Playback, Step, Wanted};
use super::renderer;
use super::warn;
use crate::cli::Report as Args;
use crate::interrupt::Interrupt;
use crate::render::{self, Clock};
use tracer_diagnose::applog::{AppLog, Ledger, Lines};
use tracer_diagnose::{Happening, HostFacts, Hours, Milestone, Observed, Observer, Report};
use tracer_format::Note;

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let mut playback = Playback::open(&Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: false,
        strict: args.strict,
        utc: args.printed.utc,
    })?;
    let mut ledger = Ledger::default();
    let interrupt = Interrupt::catch()?;
    let (observed, hours) = observe(&mut playback, &interrupt, |track, wall_ns, play| {
        if let (Some(_), Play::Event(event)) = (&args.app_log, play) {
            ledger.event(track, wall_ns, event);
        }
    })?;
    if interrupt.came() {
        warn("interrupted: this report is about what had been read until then");
    }
    let mut report = Report::new(observed, hours);
    let renderer = renderer(args.printed);
    let log = match &args.app_log {
        Some(path) => Some(app_log(path, args, &playback, ledger, &report)?),
        None => None,
    };
    report
        .tables
        .timeline
        .extend(
            log.iter()
                .flat_map(AppLog::timeline)
                .map(|(host, wall_ns, words)| Milestone {
                    host,
                    wall_ns,
                    what: Happening::Log(words),
                    owner: None,
                    peer: None,
                    count: 1,
                }),
        );
    report.tables.timeline.sort_by_key(|one| one.wall_ns);
    let mut text = renderer.report(&report);
    if let Some(log) = &log {
        // The totals stay at the end.
        let totals = renderer.totals(&report.observed.coverage.totals);
        let head = text.strip_suffix(&totals).unwrap_or(&text);
        text = format!(
            "{head}{}{totals}",
            render::app_log::app_log(log, &renderer, &wall(&playback))
        );
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Times of the wall clock, in the zone of the first trace.
fn wall(playback: &Playback) -> Clock {
    let first = playback.tracks().first();
    Clock {
        wall_minus_boot_ns: 0,
        zone: first.map_or(TimeZone::UTC, |track| track.clock.zone.clone()),
    }
}

/// Reads an application's log and finds the evidence of its lines.
fn app_log(
    path: &Path,
    args: &Args,
    playback: &Playback,
    ledger: Ledger,
    report: &Report,
) -> Result<AppLog, Failure> {
    let fields = args.app_log_fields.clone().unwrap_or_default();
    // Not that of --utc: the application ran where the trace was recorded.
    let facts = playback.tracks().first().map(|track| &track.facts);
    let zone = facts.and_then(playback::zone).unwrap_or(TimeZone::UTC);
    let mut lines = Lines::new(fields, zone);
    super::app_log::read(path, &mut lines)?;
    let given = args
        .app_log_offset
        .map(|offset| i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX));
    let name = path.display().to_string();
    Ok(AppLog::new(
        name,
        lines,
        ledger,
        report.observed.span,
        given,
    ))
}

/// Takes everything that is wanted of traces, and shows it to `each`: the index of the track, the time on the wall
/// clock, and what came.
///
/// # Errors
/// When reading fails, or at damage when that is asked for.
pub fn observe(
    playback: &mut Playback,
    interrupt: &Interrupt,
    mut each: impl FnMut(usize, i64, &Play),
) -> Result<(Observed, Hours), Failure> {
    let mut observer = Observer::default();
    for track in playback.tracks() {
        let name = track.host.clone().unwrap_or_else(|| {
            let host = track.facts.get("host").and_then(serde_json::Value::as_str);
            host.unwrap_or(track.name()).to_owned()
        });
        let facts = HostFacts::new(name, track.clock.zone.clone(), &track.facts);
        observer.host(facts, &track.facts);
    }
    while !interrupt.came() {
        match playback.next()? {
            Step::End => break,
            Step::Wait => interrupt.wait(LOOK_AGAIN),
            Step::Play(track, play) => {
                let offset = playback.clock(track).wall_minus_boot_ns;
                let wall =
                    |boot_ns: u64| i64::try_from(i128::from(boot_ns) + offset).unwrap_or(i64::MAX);
                let at = match &play {
                    Play::Event(event) => wall(event.boot_ns),
                    Play::Note(note) => note.boot_ns().map_or(0, wall),
                };
                each(track, at, &play);
                match &play {
                    Play::Event(event) => observer.event(track, at, event),
                    Play::Note(note) => match &**note {
                        Note::Sample(sample) => observer.sample(track, at, sample),
                        Note::Change(change) => observer.change(track, at, change),
                        _ => {}
                    },
                }
            }
        }
    }
    for index in 0..playback.tracks().len() {
        for row in playback.tracks_mut()[index].counted() {
            observer.counted(index, row);
        }
        observer.damaged(&playback.tracks()[index].damage);
        if let Some((first, last)) = playback.tracks()[index].covered() {
            let narrow = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
            observer.covered(narrow(first), narrow(last));
        }
    }
    Ok(observer.finish(playback.totals()))
}
