//! `sendtrace record`: as `live`, but into a trace.

mod progress;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use caps::Capability;

use super::Failure;
use super::attach::{attach, settle};
use super::capture::{Capture, HostMonitor};
use super::header;
use super::live::{clock, walker};
use super::run_loop::{self, Run};
use super::{printed, terminal, warn};
use crate::cli::Record;
use crate::exec::{Invoker, Runner};
use crate::output::say;
use crate::sink::{At, Sink, TerminalSink, TraceSink, TraceTarget};
use progress::Progress;
use tracer_capture::kernel::facts;
use tracer_capture::sys;
use tracer_format::flight::{Flight, Settings};
use tracer_format::start::Start;
use tracer_format::writer::{
    Ids, Notice, Options, RetentionLimits, Target, Watcher, Writer, WriterSummary,
};
use tracer_model::event::Event;
use tracer_model::trigger::Triggers;

/// How long the end waits for commands that run.
const COMMANDS: Duration = Duration::from_secs(5);

/// How often open sockets are looked at where no samples are taken.
const WALKS: Duration = Duration::from_secs(10);
/// And no more often than this.
const LEAST_WALKS: Duration = Duration::from_secs(1);

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
    // A wait is to be seen soon after it is as long as what is told.
    let walks = args.samples_every().unwrap_or(WALKS);
    let walks = walks.min(args.capture.waiting).max(LEAST_WALKS);
    let walker = walker(&attached, &args.capture, walks);
    let owners = settle(&mut attached, chown, &args.capture)?;

    let trace_target = if args.trigger.is_empty() {
        TraceTarget::Writer(writer.start().context("cannot start the writer")?)
    } else {
        let settings = Settings {
            memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
            before: args.before,
            after: args.after,
        };
        let flight = Flight::start(writer, &settings).context("cannot start the writer")?;
        TraceTarget::Flight(Box::new(flight))
    };
    let clock = clock(args.printed.utc);
    let now = sys::boot_clock_ns();
    let trace = TraceSink::new(trace_target, trace_id, clock.wall_minus_boot_ns, now);
    let mut trace = trace.context("no memory for a block")?;
    let mut terminal = args.printed().map(terminal).transpose()?;
    let mut watch = Watch {
        watcher: trace.watcher(),
        progress: Progress::on_terminal(args.print),
        runner,
    };
    let kinds = attached.event_kinds.join(", ");
    let ready = format!("Recording: {kinds} to {}.", place(args));
    let count = args.capture.count;
    let capture = Capture::new(attached, owners, host_monitor, clock, now, count)
        .with_triggers(Triggers::new(args.trigger.clone()))
        .with_walker(walker);
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut trace, &mut watch];
    if let Some(terminal) = &mut terminal {
        // A recording goes on whoever reads what is printed.
        terminal.leaves_out = true;
        terminal.print(&terminal.renderer.header().unwrap_or_default());
        sinks.push(terminal);
    }
    let run = Run {
        duration: args.capture.duration,
        ready: &ready,
        takes_usr1: !args.trigger.is_empty(),
    };
    let interrupted = run_loop::run(capture, &mut sinks, &run)?;
    let summary = trace.end();
    watch.end(&summary);
    let left_out = terminal.as_ref().map_or(0, TerminalSink::left_out_bytes);
    if left_out > 0 {
        warn(&format!(
            "{left_out} bytes of output were not read in time and are left out; the trace has them"
        ));
    }
    recorded(&summary)?;
    terminal.map_or(Ok(()), |terminal| printed(terminal, interrupted))
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

/// What goes on beside the recording: the line of progress, warnings, the user's command.
struct Watch {
    watcher: Watcher,
    progress: Option<Progress>,
    runner: Option<Runner>,
}

impl Watch {
    fn heed(&mut self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Warning(text) => self.warn(text),
                Notice::Complete(path) => {
                    let name = tracer_model::escape::name(path.as_os_str().as_encoded_bytes());
                    self.say(&format!("wrote {name}"));
                    let failed = self.runner.as_mut().and_then(|one| one.run(path).err());
                    if let Some(problem) = failed {
                        self.warn(&problem.to_string());
                    }
                }
            }
        }
        let reports = self.runner.as_mut().map(Runner::reports);
        let reports = reports.iter().flatten();
        for failed in reports.filter(|report| !report.is_success()) {
            self.warn(&failed.to_string());
        }
    }

    fn warn(&self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    /// A line that does not mix with the line of progress.
    fn say(&self, text: &str) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
        say(text);
    }

    /// Says how it ended, and waits for commands that run.
    fn end(mut self, summary: &WriterSummary) {
        self.heed(&summary.notices);
        if let Some(progress) = self.progress.take() {
            progress.clear();
        }
        let Some(finished) = self.runner.take().map(|runner| runner.finish(COMMANDS)) else {
            return;
        };
        let reports = finished.reports.iter();
        for failed in reports.filter(|report| !report.is_success()) {
            warn(&failed.to_string());
        }
        if !finished.unfinished.is_empty() {
            warn(&format!(
                "{} runs of the command were not waited for",
                finished.unfinished.len()
            ));
        }
    }
}

impl Sink for Watch {
    fn event(&mut self, _: &At<'_>, _: &Event) {}

    fn tick(&mut self, _: &At<'_>) {
        self.heed(&self.watcher.notices());
        if let Some(progress) = &mut self.progress {
            progress.show(&self.watcher.status());
        }
    }
}

/// Is everything in the trace?
fn recorded(summary: &WriterSummary) -> Result<(), Failure> {
    let status = &summary.status;
    if summary.unwritten_blocks > 0 && !status.reader_gone {
        return Err(anyhow!(
            "the disk did not take the last {} blocks in time: they are not in the trace",
            summary.unwritten_blocks
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
    if status.deleted_blocks > 0 {
        return Err(anyhow!(
            "{} blocks are nowhere: the file that they were in was deleted while it was written",
            status.deleted_blocks
        )
        .into());
    }
    if let Some(problem) = &status.problem {
        return Err(anyhow!("the end of the trace is missing: {problem}").into());
    }
    Ok(())
}
