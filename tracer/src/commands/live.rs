//! `sendtrace live`: attach, attribute every failure to send, print it.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::tz::TimeZone;

use super::attach::{Attached, attach, settle};
use super::capture::{Capture, DiagnosisSink, HostMonitor, Printer};
use super::header;
use super::run_loop::{self, Ending};
use super::{Failure, renderer, warn};
use crate::cli::{Live, Printed};
use crate::output::{FinishOutcome, Output};
use crate::render::Clock;
use tracer_capture::sys;

/// How often counters are looked at for a report.
const SAMPLES: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(args: &Live) -> Result<(), Failure> {
    let mut attached = attach(&args.capture, &args.filters)?;
    let watched = args
        .report
        .then(|| (HostMonitor::open(SAMPLES), header::facts(&attached)));
    let owners = settle(&mut attached, &[], args.capture.look_ups)?;
    let printer = printer(args.printed)?;
    let clock = clock(args.printed.utc);
    let now = sys::boot_clock_ns();
    let diagnosis_sink =
        watched.map(|(host_monitor, facts)| DiagnosisSink::new(host_monitor, &facts, &clock, now));
    let Attached {
        loaded,
        names,
        filter,
        event_kinds,
        ..
    } = attached;
    let count = args.capture.count;
    let capture = Capture::new(
        loaded,
        owners,
        names,
        filter,
        clock,
        Some(printer),
        None,
        count,
    )
    .with_diagnosis(diagnosis_sink);
    let ready = format!("Ready: {}.", event_kinds.join(", "));
    let ending = run_loop::run(capture, args.capture.duration, &ready, &mut ())?;
    printed(&ending)
}

/// A printer to standard output. After privileges are dropped: it starts a thread.
pub fn printer(printed: Printed) -> anyhow::Result<Printer> {
    let output = Output::stdout().context("cannot write to stdout")?;
    Ok(Printer::new(renderer(printed), output))
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

/// Was everything printed?
pub fn printed(ending: &Ending) -> Result<(), Failure> {
    match ending.finished.printed {
        FinishOutcome::Complete | FinishOutcome::ReaderGone => Ok(()),
        FinishOutcome::Incomplete { unwritten_bytes } => {
            warn(&format!(
                "{unwritten_bytes} bytes of output were not read in time and are gone"
            ));
            if ending.interrupted {
                Ok(())
            } else {
                Err(anyhow!(
                    "stdout does not take the rest of the output: read it, or write to a file"
                )
                .into())
            }
        }
    }
}
