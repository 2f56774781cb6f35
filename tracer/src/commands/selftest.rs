//! `sendtrace selftest`: provokes every kind of event in a network namespace of its own, and compares what the
//! tracer says with what was provoked.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::doctor::Tried;
use super::{Failure, print};
use crate::cli::{Printed, Selftest};
use crate::interrupt::Interrupt;
use crate::render::Renderer;
use crate::selftest::check::Verdict;
use crate::selftest::expected_hooks::ExpectedHooks;
use crate::selftest::fault_runner::FaultRunner;
use crate::selftest::protocol::{Reply, Request};
use crate::selftest::sandbox::Sandbox;
use crate::selftest::tracer_process::TracerProcess;
use crate::selftest::witness::{self, Witness};
use crate::selftest::{actor, closing, report};
use tracer_capture::kernel::facts::{self, Capability, Facts};
use tracer_capture::kernel::load;
use tracer_capture::kernel::plan::{self, NEEDED_FILES, Wanted};
use tracer_capture::sys;
use tracer_model::event::EventKind;

/// `--rate` of the tracer under test: above what the single faults make, far below the flood.
const RATE: u64 = 200;
/// How long the last event may take after the last fault: the slowest timer is that of a SYN (1 s, then 2 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// So often the test is run where this host withholds events and checks fail.
const TRIES: usize = 3;

/// Runs the command.
pub fn run(args: &Selftest) -> Result<(), Failure> {
    if let Some(comm) = &args.actor {
        return Ok(actor::run(comm, args.actor_uid)?);
    }
    let mut facts = Facts::probe(Path::new("/"));
    facts.verdicts.withhold(&args.without_program);
    may_run(&facts)?;
    let interrupt = Interrupt::catch().context("cannot catch signals")?;
    let expected_hooks = expected_hooks(&mut facts, args)?;
    let verdicts = verdicts(|| test(&facts, &expected_hooks, &args.without_program, &interrupt))?;
    let report = match renderer(args) {
        Renderer::Json => report::json(&verdicts, expected_hooks.kernel()),
        Renderer::Text { colour } => report::text(&verdicts, expected_hooks.kernel(), colour),
    };
    print(&report)?;
    match report::tally(&verdicts).fail {
        0 => Ok(()),
        failed => Err(anyhow!(
            "{failed} of {} checks failed: on this host, do not trust sendtrace there; please report it with the \
             output of `sendtrace selftest --format json` and `sendtrace doctor --format json`",
            verdicts.len()
        )
        .into()),
    }
}

fn renderer(args: &Selftest) -> Renderer {
    super::renderer(Printed {
        format: args.format,
        color: args.color,
        ..Printed::default()
    })
}

/// What it takes: that which `live` takes, and a network of its own.
fn may_run(facts: &Facts) -> Result<()> {
    let mut missing: Vec<_> = plan::privileges(facts)
        .missing
        .iter()
        .filter(|missing| missing.fatal)
        .map(|missing| missing.capability)
        .collect();
    for needed in [Capability::SysAdmin, Capability::NetAdmin] {
        if !facts.has(needed) && !missing.contains(&needed) {
            missing.push(needed);
        }
    }
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|capability| capability.name()).collect();
        bail!(
            "selftest needs root (missing: {}): run `sudo sendtrace selftest`",
            names.join(", ")
        );
    }
    if let Some(problem) = plan::privileges(facts).problem() {
        bail!(problem);
    }
    if facts::in_pid_namespace(Path::new("/")) {
        bail!(
            "selftest cannot compare pids inside a pid namespace, whose pids the kernel does not see: run it on \
             the host"
        );
    }
    Ok(())
}

/// What the plan expects to work here, after the kernel was asked.
fn expected_hooks(facts: &mut Facts, args: &Selftest) -> Result<ExpectedHooks> {
    progress("asking the kernel what it allows");
    if args.with_doctor {
        let tried = Tried::on(facts);
        print(&tried.report(facts, renderer(args)))?;
        if let Some(error) = tried.load_error {
            bail!(error);
        }
        return Ok(ExpectedHooks::new(facts, tried.plan?));
    }
    sys::raise_nofile(NEEDED_FILES)?;
    sys::raise_memlock();
    let wanted = Wanted {
        connect_errors: true,
        ..Wanted::ALL
    };
    let plan = load::try_load(facts, wanted)?;
    Ok(ExpectedHooks::new(facts, plan))
}

/// Runs the test, and once more while checks fail and this host withholds events.
fn verdicts(test: impl Fn() -> Result<Vec<Verdict>>) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for number in 0..TRIES {
        let witness = Witness::watch();
        let these = test()?;
        let skipped = witness::says_withheld(&these);
        match number {
            0 => verdicts = these,
            _ => witness::replace_doubtful(&mut verdicts, these),
        }
        let withheld = witness.is_some_and(|witness| witness.was_withheld());
        if !(withheld || skipped) || !witness::is_in_doubt(&verdicts) {
            return Ok(verdicts);
        }
        progress("this host withheld events or skipped runs: once more");
    }
    witness::excuse_doubtful(&mut verdicts);
    Ok(verdicts)
}

/// The whole test. Whatever it made is gone when it returns.
fn test(
    facts: &Facts,
    expected_hooks: &ExpectedHooks,
    without: &[String],
    interrupt: &Interrupt,
) -> Result<Vec<Verdict>> {
    let uninterrupted = || {
        if interrupt.came() {
            bail!("interrupted; nothing remains of the test");
        }
        Ok(())
    };
    progress("making a network namespace");
    let mut sandbox = Sandbox::build(facts, expected_hooks)?;
    uninterrupted()?;
    progress("starting the tracer");
    let netns = format!("pid:{}", sandbox.sender.who.pid);
    let rate = RATE.to_string();
    let every: Vec<_> = EventKind::ALL
        .into_iter()
        .filter(|&kind| kind != EventKind::Lost)
        .map(EventKind::name)
        .collect();
    let every = every.join(",");
    // Owners that must be looked up are, however slow this host is at it.
    let look_ups = ["--look-ups", "100", "--connect-errors"];
    let arguments = ["--netns", &netns, "--rate", &rate, "--event", &every];
    let without = without
        .iter()
        .flat_map(|program| ["--without-program", program]);
    let arguments: Vec<_> = arguments
        .into_iter()
        .chain(look_ups)
        .chain(without)
        .collect();
    let tracer = TracerProcess::start(&arguments)?;
    uninterrupted()?;

    progress("making faults");
    let mut runner = FaultRunner {
        sandbox: &mut sandbox,
        expected_hooks,
        checks: Vec::new(),
    };
    runner.all();
    uninterrupted()?;
    progress("waiting for timers of the kernel");
    let clock = sys::wall_minus_boot_ns();
    let all_seen = |runner: &FaultRunner| {
        let deadline = Instant::now() + PATIENCE;
        let mut compared = usize::MAX;
        tracer.wait(deadline, |said, _| {
            let new = compared != said.len();
            compared = said.len();
            let done = new && !runner.checks.iter().any(|check| check.waits(said, clock));
            (done || interrupt.came()).then_some(())
        });
    };
    all_seen(&runner);
    uninterrupted()?;
    progress("making a flood");
    runner.flood(RATE);
    all_seen(&runner);
    uninterrupted()?;

    let checks = runner.checks;
    let retransmitted = match expected_hooks.hook("tcp_retransmit_skb") {
        Ok(()) => segments(&mut sandbox),
        Err(why) => Err(why),
    };
    let finished = tracer.finish()?;
    let closing = closing::verdicts(&finished, &checks, retransmitted);
    let mut verdicts: Vec<_> = checks
        .into_iter()
        .map(|check| check.verdict(&finished.lines, &sandbox.faults, clock))
        .collect();
    verdicts.extend(closing);
    uninterrupted()?;
    Ok(verdicts)
}

fn segments(sandbox: &mut Sandbox) -> Result<u64, String> {
    match sandbox.sender.ask(&Request::RetransmittedSegments) {
        Ok(Reply::Number(segments)) => Ok(segments),
        Ok(_) => Err("the kernel's counters cannot be read".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn progress(what: &str) {
    if io::stderr().is_terminal() {
        // A vanished terminal must not turn into a panic.
        let _ = writeln!(io::stderr(), "selftest: {what}");
    }
}
