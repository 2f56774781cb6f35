//! `sendtrace report`: what is wrong, in which layer, and what to try first.

use std::path::Path;

use jiff::tz::TimeZone;

use super::merged_reader::{self, MergedReader, Wanted};
use super::{Failure, print, renderer, warn};
use crate::cli::{Filters, Report as Args};
use crate::interrupt::Interrupt;
use crate::render::{self, Clock};
use crate::sink::{DiagnosisSink, Sink};
use tracer_diagnose::applog::{AppLog, Lines, SocketIndex};
use tracer_diagnose::{Hours, Observed, Report, TimelineEntry, TimelineEvent};

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
    let beside = args
        .app_log
        .is_some()
        .then_some(&mut socket_index as &mut dyn Sink);
    let (observed, hours) = observe(&mut reader, &interrupt, beside)?;
    if interrupt.came() {
        warn("interrupted: this report is about what had been read until then");
    }
    let mut report = Report::new(observed, hours, args.filters != Filters::default());
    report.top = (!args.all).then_some(args.top);
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
    Ok(print(&text)?)
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

/// Observes everything that is wanted of traces; `beside` takes it too.
///
/// # Errors
/// When reading fails, or at damage when that is asked for.
pub fn observe(
    reader: &mut MergedReader,
    interrupt: &Interrupt,
    beside: Option<&mut dyn Sink>,
) -> Result<(Observed, Hours), Failure> {
    let mut diagnosis = DiagnosisSink::default();
    for trace in reader.traces() {
        let host = trace.facts.get("host").and_then(serde_json::Value::as_str);
        let name = trace.host.as_deref().or(host).unwrap_or(trace.name());
        diagnosis.host(name, trace.clock.zone.clone(), &trace.facts);
    }
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut diagnosis];
    if let Some(beside) = beside {
        sinks.push(beside);
    }
    reader.run(&mut sinks, interrupt, &mut (), u64::MAX)?;
    Ok(diagnosis.observed().unwrap_or_default())
}
