//! `sendtrace diff`: the same observation before and after one change.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Parser as _;
use serde_json::{Map, Value};

use super::merged_reader::{MergedReader, Wanted};
use super::report::observe;
use super::{Failure, print, renderer};
use crate::cli::{Cli, Command, Diff as Args, Filters};
use crate::interrupt::Interrupt;
use crate::render::{self, Renderer};
use crate::sink::{At, Sink};
use tracer_diagnose::diff::{Diff, DiffCollector, RecordedFilters, Side, Verdict};
use tracer_model::errno;
use tracer_model::event::Event;
use tracer_model::filter::{Comm, Proto};
use tracer_model::samples::Sample;
use tracer_model::when::When;

/// Exit status: worse.
const WORSE: u8 = 3;
/// Exit status: too little data.
const TOO_LITTLE: u8 = 4;

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let interrupt = Interrupt::catch()?;
    let before = side(
        args,
        &args.before,
        args.before_since,
        args.before_until,
        &interrupt,
    )?;
    let after = side(
        args,
        &args.after,
        args.after_since,
        args.after_until,
        &interrupt,
    )?;
    if interrupt.came() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "interrupted before both recordings were read: nothing is compared"
        )));
    }
    let diff = Diff::new(before, after, is_narrow(&args.filters));
    let text = match renderer(args.printed) {
        Renderer::Json => render::diff::json(&diff),
        Renderer::Text { colour } => render::diff::text(&diff, colour),
    };
    // Whoever reads no more still gets the exit status.
    print(&text)?;
    match diff.overall.verdict {
        Verdict::Better | Verdict::Unchanged => Ok(()),
        Verdict::Worse => Err(Failure::Verdict(WORSE)),
        Verdict::TooLittleData => Err(Failure::Verdict(TOO_LITTLE)),
    }
}

/// Takes one recording.
fn side(
    args: &Args,
    path: &PathBuf,
    since: Option<When>,
    until: Option<When>,
    interrupt: &Interrupt,
) -> Result<Side, Failure> {
    let mut reader = MergedReader::open(&Wanted {
        paths: std::slice::from_ref(path),
        filters: &args.filters,
        since,
        until,
        follow: false,
        strict: args.strict,
        utc: args.printed.utc,
    })?;
    let mut collector = DiffCollector::default();
    let mut recorded = RecordedFilters::default();
    for trace in reader.traces() {
        collector.header(&trace.facts);
        recorded = recorded_filters(&trace.facts);
    }
    let (observed, _) = observe(&mut reader, interrupt, Some(&mut collector))?;
    Ok(Side::new(
        path.display().to_string(),
        observed,
        collector,
        recorded,
    ))
}

impl Sink for DiffCollector {
    fn event(&mut self, at: &At<'_>, event: &Event) {
        self.event(at.clock.wall_ns(event.boot_ns), event);
    }

    fn sample(&mut self, _: &At<'_>, sample: &Sample) {
        self.sample(sample);
    }
}

/// How it was recorded, as the header of the trace has it: the arguments of the recorder.
fn recorded_filters(facts: &Map<String, Value>) -> RecordedFilters {
    let arguments = facts.get("arguments").and_then(Value::as_array);
    let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
    // What another version was called with may mean nothing here.
    let Ok(Cli {
        command: Command::Record(record),
        ..
    }) = Cli::try_parse_from(arguments)
    else {
        return RecordedFilters::default();
    };
    let filters = &record.filters.filters;
    RecordedFilters {
        filters: words(filters),
        narrow: is_narrow(filters),
        would_block: record.capture.would_block,
    }
}

/// Does a filter leave out part of what the host's counters count?
fn is_narrow(filters: &Filters) -> bool {
    // Which event kinds are looked at says nothing about which traffic.
    let all = Filters {
        event: filters.event.clone(),
        netns: filters.netns.clone(),
        ..Filters::default()
    };
    *filters != all
}

/// Filters as they are typed.
fn words(filters: &Filters) -> String {
    let mut words = String::new();
    let mut add = |flag: &str, values: Vec<String>| {
        if !values.is_empty() {
            let blank = if words.is_empty() { "" } else { " " };
            _ = write!(words, "{blank}--{flag} {}", values.join(","));
        }
    };
    let strings = |values: &[u32]| values.iter().map(u32::to_string).collect();
    add("pid", strings(&filters.pid));
    let comm = |comm: &Comm| {
        let name = comm.0.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    add("comm", filters.comm.iter().map(comm).collect());
    add("cgroup", filters.cgroup.iter().cloned().collect());
    // Its name is often another one each time.
    add(
        "netns",
        filters.netns.iter().map(|_| "…".to_owned()).collect(),
    );
    let ports = |ports: &RangeInclusive<u16>| match (ports.start(), ports.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    add("port", filters.port.iter().map(ports).collect());
    add(
        "remote",
        filters.remote.iter().map(ToString::to_string).collect(),
    );
    let proto = |proto: &Proto| proto.name().to_owned();
    add("proto", filters.proto.iter().map(proto).collect());
    add(
        "event",
        filters.event.iter().map(ToString::to_string).collect(),
    );
    let errno = |errno: &u32| errno::display(*errno).into_owned();
    add("errno", filters.errno.iter().map(errno).collect());
    words
}
