//! `sendtrace record`: as `live`, but into a trace.

mod progress;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use caps::Capability;

use super::Failure;
use super::attach::{Attached, attach, settle};
use super::capture::{Capture, HostMonitor, TraceSink, TraceTarget, windows};
use super::header;
use super::live::{clock, printed, printer};
use super::run_loop::{self, Ending};
use super::warn;
use crate::cli::Record;
use crate::exec::{Invoker, Runner};
use progress::Progress;
use tracer_capture::kernel::facts;
use tracer_capture::sys;
use tracer_format::flight::{Flight, Settings};
use tracer_format::start::Start;
use tracer_format::writer::{
    Ids, Notice, Options, RetentionLimits, Status, Target, Writer, WriterSummary,
};
use tracer_model::trigger::Triggers;

/// How long the end waits for commands that run.
const COMMANDS: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(args: &Record) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    if args.to_stdout() && io::stdout().is_terminal() {
        let problem = "-w - would write a trace to the terminal: pipe it to a program, for example \
                       `sendtrace replay -`, or name a file";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let mut attached = attach(&args.capture, &args.filters)?;
    let trace_id = header::trace_id()?;
    let start = Start {
        trace_id,
        facts: header::facts(&attached),
    };
    // Through sudo: what is recorded is for whoever typed it.
    let invoker = Invoker::find()?;
    if args.exec.is_some() {
        invoker.check()?;
    }
    let owner = invoker.through_sudo.then_some(Ids {
        uid: invoker.uid,
        gid: invoker.gid,
    });
    let writer = Writer::open(&target(args), start, &options(args, owner))?;
    writer.warnings.iter().for_each(|warning| warn(warning));
    let runner = args
        .exec
        .as_deref()
        .map(|command| runner(command, &invoker))
        .transpose()?;
    let host_monitor = args.samples_every().map(HostMonitor::open);
    // The files of a folder are made later.
    let chown: &[Capability] = match owner.is_some() && args.to_folder() {
        true => &[Capability::CAP_CHOWN],
        false => &[],
    };
    let owners = settle(&mut attached, chown, args.capture.look_ups)?;

    let trace_target = if args.trigger.is_empty() {
        TraceTarget::Writer(writer.start().context("cannot start the writer")?)
    } else {
        let settings = Settings {
            memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
            before: args.before,
            after: args.after,
        };
        let flight = Flight::start(writer, &settings).context("cannot start the writer")?;
        TraceTarget::Flight(Box::new(flight), Triggers::new(args.trigger.clone()))
    };
    let clock = clock(args.printed.utc);
    let now = sys::boot_clock_ns();
    let trace_sink = TraceSink::new(
        trace_target,
        host_monitor,
        trace_id,
        clock.wall_minus_boot_ns,
        now,
    );
    let trace_sink = trace_sink.context("no memory for a block")?;
    let printer = args.printed().map(printer).transpose()?;
    let Attached {
        loaded,
        names,
        filter,
        event_kinds,
        ..
    } = attached;
    let capture = Capture::new(
        loaded,
        owners,
        names,
        filter,
        clock,
        printer,
        Some(trace_sink),
        args.capture.count,
    );
    let mut watch = Watch {
        progress: Progress::on_terminal(args.print),
        runner,
        has_triggers: !args.trigger.is_empty(),
    };
    let ready = format!("Recording: {} to {}.", event_kinds.join(", "), place(args));
    let ending = run_loop::run(capture, args.capture.duration, &ready, &mut watch)?;
    finish(watch, ending)
}

fn target(args: &Record) -> Target {
    if args.to_stdout() {
        Target::Output
    } else if !args.trigger.is_empty() {
        Target::Windows(args.write.clone())
    } else if args.to_folder() {
        Target::Segments(args.write.clone())
    } else {
        Target::File(args.write.clone())
    }
}

fn options(args: &Record, owner: Option<Ids>) -> Options {
    Options {
        rotate_size: args.rotate_size,
        rotate_every: args.rotate_every,
        keep: RetentionLimits {
            size: args.keep_size,
            time: args.keep_for,
            free: args.min_free,
        },
        sync: args.sync,
        owner,
        ..Options::default()
    }
}

fn place(args: &Record) -> String {
    match args.to_stdout() {
        true => "standard output".to_owned(),
        false => tracer_model::escape::name(args.write.as_os_str().as_encoded_bytes()),
    }
}

fn runner(command: &OsStr, invoker: &Invoker) -> anyhow::Result<Runner> {
    Runner::start(Path::new(facts::own_program()), command, invoker)
}

/// What goes on beside the loop: the line of progress, warnings, the user's command.
struct Watch {
    progress: Option<Progress>,
    runner: Option<Runner>,
    has_triggers: bool,
}

impl Watch {
    fn heed(&mut self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Warning(text) => self.line(&format!("sendtrace: warning: {text}")),
                Notice::Complete(path) => {
                    let path = tracer_model::escape::name(path.as_os_str().as_encoded_bytes());
                    self.line(&format!("sendtrace: wrote {path}"));
                }
            }
        }
        let paths: Vec<PathBuf> = windows(notices).map(Path::to_owned).collect();
        if let Some(runner) = &mut self.runner {
            let failed = paths.iter().filter_map(|path| runner.run(path).err());
            let failed: Vec<_> = failed.map(|problem| problem.to_string()).collect();
            let reports = runner.reports();
            let said = reports
                .iter()
                .filter(|report| !report.is_success())
                .map(ToString::to_string);
            let lines: Vec<_> = failed.into_iter().chain(said).collect();
            lines
                .iter()
                .for_each(|line| self.line(&format!("sendtrace: warning: {line}")));
        }
    }

    /// A line that does not mix with the line of progress.
    fn line(&self, text: &str) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl run_loop::LoopHooks for Watch {
    fn tick(&mut self, capture: &Capture) {
        let Some(trace_sink) = capture.trace_sink() else {
            return;
        };
        self.heed(&trace_sink.notices());
        if let Some(progress) = &mut self.progress {
            progress.show(&trace_sink.status());
        }
    }

    fn takes_usr1(&self) -> bool {
        self.has_triggers
    }
}

/// Says how it ended.
fn finish(mut watch: Watch, ending: Ending) -> Result<(), Failure> {
    if let Some(report) = &ending.finished.report {
        watch.heed(&report.notices);
    }
    if let Some(progress) = watch.progress.take() {
        progress.clear();
    }
    if let Some(runner) = watch.runner.take() {
        let finished = runner.finish(COMMANDS);
        for report in finished
            .reports
            .iter()
            .filter(|report| !report.is_success())
        {
            warn(&report.to_string());
        }
        if !finished.unfinished.is_empty() {
            warn(&format!(
                "{} runs of the command were not waited for",
                finished.unfinished.len()
            ));
        }
    }
    if ending.finished.left_out > 0 {
        warn(&format!(
            "{} bytes of output were not read in time and are left out; the trace has them",
            ending.finished.left_out
        ));
    }
    if let Some(report) = &ending.finished.report {
        recorded(report)?;
    }
    printed(&ending)
}

/// Is everything in the trace?
fn recorded(report: &WriterSummary) -> Result<(), Failure> {
    let status: &Status = &report.status;
    if report.unwritten_blocks > 0 && !status.reader_gone {
        return Err(anyhow!(
            "the disk did not take the last {} blocks in time: they are not in the trace",
            report.unwritten_blocks
        )
        .into());
    }
    if status.lost_blocks > 0 && !status.reader_gone {
        warn(&format!(
            "{} events in {} blocks could not be written; the trace says when",
            status.all_lost_events(),
            status.lost_blocks
        ));
    }
    if let Some(problem) = &status.problem {
        return Err(anyhow!("the end of the trace is missing: {problem}").into());
    }
    Ok(())
}
