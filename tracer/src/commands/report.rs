//! `sendtrace report`: what is wrong, in which layer, and what to try first.

use std::io::{self, Write as _};
use std::path::Path;

use jiff::tz::TimeZone;

use super::Failure;
use super::merged_reader::{self, Item, LOOK_AGAIN, MergedReader, NextItem, Wanted};
use super::renderer;
use super::warn;
use crate::cli::Report as Args;
use crate::interrupt::Interrupt;
use crate::render::{self, Clock};
use tracer_diagnose::applog::{AppLog, Lines, SocketIndex};
use tracer_diagnose::{HostFacts, Hours, Observed, Observer, Report, TimelineEntry, TimelineEvent};
use tracer_format::Note;

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let mut reader = MergedReader::open(&Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: false,
        strict: args.strict,
        utc: args.printed.utc,
    })?;
    let mut socket_index = SocketIndex::default();
    let interrupt = Interrupt::catch()?;
    let (observed, hours) = observe(&mut reader, &interrupt, |trace, wall_ns, item| {
        if let (Some(_), Item::Event(event)) = (&args.app_log, item) {
            socket_index.event(trace, wall_ns, event);
        }
    })?;
    if interrupt.came() {
        warn("interrupted: this report is about what had been read until then");
    }
    let mut report = Report::new(observed, hours);
    let renderer = renderer(args.printed);
    let log = match &args.app_log {
        Some(path) => Some(app_log(path, args, &reader, socket_index, &report)?),
        None => None,
    };
    report
        .tables
        .timeline
        .extend(
            log.iter()
                .flat_map(AppLog::timeline)
                .map(|(host, wall_ns, words)| TimelineEntry {
                    host,
                    wall_ns,
                    what: TimelineEvent::Log(words),
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
            render::app_log::app_log(log, &renderer, &wall(&reader))
        );
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Times of the wall clock, in the zone of the first trace.
fn wall(reader: &MergedReader) -> Clock {
    let first = reader.traces().first();
    Clock {
        wall_minus_boot_ns: 0,
        zone: first.map_or(TimeZone::UTC, |trace| trace.clock.zone.clone()),
    }
}

/// Reads an application's log and finds the evidence of its lines.
fn app_log(
    path: &Path,
    args: &Args,
    reader: &MergedReader,
    socket_index: SocketIndex,
    report: &Report,
) -> Result<AppLog, Failure> {
    let fields = args.app_log_fields.clone().unwrap_or_default();
    // Not that of --utc: the application ran where the trace was recorded.
    let facts = reader.traces().first().map(|trace| &trace.facts);
    let zone = facts.and_then(merged_reader::zone).unwrap_or(TimeZone::UTC);
    let mut lines = Lines::new(fields, zone);
    super::app_log::read(path, &mut lines)?;
    let given = args
        .app_log_offset
        .map(|offset| i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX));
    let name = path.display().to_string();
    Ok(AppLog::new(
        name,
        lines,
        socket_index,
        report.observed.span,
        given,
    ))
}

/// Takes everything that is wanted of traces, and shows it to `each`: the index of the trace, the time on the wall
/// clock, and what came.
///
/// # Errors
/// When reading fails, or at damage when that is asked for.
pub fn observe(
    reader: &mut MergedReader,
    interrupt: &Interrupt,
    mut each: impl FnMut(usize, i64, &Item),
) -> Result<(Observed, Hours), Failure> {
    let mut observer = Observer::default();
    for trace in reader.traces() {
        let name = trace.host.clone().unwrap_or_else(|| {
            let host = trace.facts.get("host").and_then(serde_json::Value::as_str);
            host.unwrap_or(trace.name()).to_owned()
        });
        let facts = HostFacts::new(name, trace.clock.zone.clone(), &trace.facts);
        observer.host(facts, &trace.facts);
    }
    while !interrupt.came() {
        match reader.next()? {
            NextItem::End => break,
            NextItem::Wait => interrupt.wait(LOOK_AGAIN),
            NextItem::Item(trace, item) => {
                let offset = reader.clock(trace).wall_minus_boot_ns;
                let wall =
                    |boot_ns: u64| i64::try_from(i128::from(boot_ns) + offset).unwrap_or(i64::MAX);
                let at = match &item {
                    Item::Event(event) => wall(event.boot_ns),
                    Item::Note(note) => note.boot_ns().map_or(0, wall),
                };
                each(trace, at, &item);
                match &item {
                    Item::Event(event) => observer.event(trace, at, event),
                    Item::Note(note) => match &**note {
                        Note::Sample(sample) => observer.sample(trace, at, sample),
                        Note::Change(change) => observer.change(trace, at, change),
                        _ => {}
                    },
                }
            }
        }
    }
    for index in 0..reader.traces().len() {
        for row in reader.traces_mut()[index].counted() {
            observer.counted(index, row);
        }
        observer.damaged(&reader.traces()[index].damage);
        if let Some((first, last)) = reader.traces()[index].covered() {
            let narrow = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
            observer.covered(narrow(first), narrow(last));
        }
    }
    Ok(observer.finish(reader.totals()))
}
