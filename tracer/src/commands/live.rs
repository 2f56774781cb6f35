//! `sendtrace live`: attach, attribute every failure to send, print it.

use jiff::tz::TimeZone;

use super::attach::{attach, settle};
use super::capture::{Capture, HostMonitor};
use super::header;
use super::run_loop::{self, FLUSH, Run};
use super::{Failure, printed, terminal};
use crate::cli::{DEFAULT_SAMPLES, Filters, Live};
use crate::render::Clock;
use crate::sink::{DiagnosisSink, Sink};
use tracer_capture::sys;

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
    let owners = settle(&mut attached, &[], args.capture.look_ups)?;
    let mut terminal = terminal(args.printed)?;
    terminal.print(&terminal.renderer.header().unwrap_or_default());
    terminal.leaves_totals = args.report;
    let ready = format!("Ready: {}.", attached.event_kinds.join(", "));
    let now = sys::boot_clock_ns();
    let count = args.capture.count;
    let capture = Capture::new(attached, owners, host_monitor, clock, now, count);
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
