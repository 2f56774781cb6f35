//! `sendtrace live`: attach, attribute every failure to send, print it.

use std::time::Duration;

use jiff::tz::TimeZone;
use tracer_common::event_kind;

use super::attach::{Attached, attach, settle};
use super::capture::{Capture, HostMonitor};
use super::header;
use super::run_loop::{self, FLUSH, Run};
use super::{Failure, printed, terminal};
use crate::cli::{CaptureArgs, DEFAULT_SAMPLES, Filters, Live};
use crate::render::Clock;
use crate::sink::{DiagnosisSink, Sink};
use tracer_capture::decode::Names as _;
use tracer_capture::sys;
use tracer_capture::walk::{Settings, Walker};
use tracer_model::event::EventKind;

/// How often open sockets are looked at: a wait is to be seen soon.
const WALKS: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: &Live) -> Result<(), Failure> {
    let mut attached = attach(&args.capture, &args.filters)?;
    let clock = clock(args.printed.utc);
    let filtered = args.filters.filters != Filters::default();
    let mut diagnosis = args.report.then(DiagnosisSink::default);
    if let Some(diagnosis) = &mut diagnosis {
        let facts = header::facts(&attached);
        let name = facts.get("host").and_then(serde_json::Value::as_str);
        diagnosis.host(name.unwrap_or("this host"), clock.zone.clone(), &facts);
    }
    let host_monitor = args.report.then(|| HostMonitor::open(DEFAULT_SAMPLES));
    let walker = walker(&attached, &args.capture, WALKS);
    let owners = settle(&mut attached, &[], &args.capture)?;
    let mut terminal = terminal(args.printed)?;
    terminal.print(&terminal.renderer.header().unwrap_or_default());
    terminal.leaves_totals = args.report;
    let ready = format!("Ready: {}.", attached.event_kinds.join(", "));
    let now = sys::boot_clock_ns();
    let count = args.capture.count;
    let capture =
        Capture::new(attached, owners, host_monitor, clock, now, count).with_walker(walker);
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut terminal];
    sinks.extend(
        diagnosis
            .iter_mut()
            .map(|diagnosis| diagnosis as &mut dyn Sink),
    );
    let run = Run {
        duration: args.capture.duration,
        ready: &ready,
        takes_usr1: false,
    };
    let interrupted = run_loop::run(capture, &mut sinks, &run)?;
    if let Some(report) = diagnosis.and_then(|diagnosis| diagnosis.report(filtered)) {
        terminal.print(&terminal.renderer.report(&report));
        terminal.flush(FLUSH);
    }
    printed(terminal, interrupted)
}

/// Looks for sockets that wait, where that is asked for and the kernel lets us.
pub fn walker(attached: &Attached, args: &CaptureArgs, every: Duration) -> Option<Walker> {
    let wanted = attached.filter.wants_kind(EventKind::Waiting)
        && attached.loaded.plan.sees(event_kind::WAITING);
    let settings = Settings {
        every,
        waiting: args.waiting,
        share: args.look_ups,
    };
    wanted.then(|| Walker::new(settings, attached.names.hz()))
}

/// The clock of this host.
pub fn clock(utc: bool) -> Clock {
    Clock {
        wall_minus_boot_ns: sys::wall_minus_boot_ns(),
        zone: if utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        },
    }
}
