//! `scenarios [NAME…] --out FOLDER`: plays faults, records a trace of each and has them diagnosed.
//!
//! `cargo xtask scenarios` builds what it needs and starts it. Its table is scenario × expected × found.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use scenarios::faults::{Finding, Scenario, Stage, all, expectations, judge};
use scenarios::recording::{events, replay};
use scenarios::{requires, run_sendtrace};

/// Plays faults, records a trace of each and has them diagnosed; needs root.
#[derive(Parser)]
struct Args {
    /// Only scenarios whose name contains one of these
    names: Vec<String>,
    /// Where the traces go: NAME.sendtrace
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Diagnose the traces that are there instead of recording new ones
    #[arg(long)]
    recorded: bool,
    /// Print how many events of each kind a trace has
    #[arg(long)]
    events: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    // What a panic says stands in the table.
    std::panic::set_hook(Box::new(|_| ()));
    let expected = expectations()?;
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let known: Vec<&Scenario> = all().collect();
    if let Some(name) = expected
        .keys()
        .find(|name| known.iter().all(|s| s.name != *name))
    {
        bail!("{name} is expected, but there is no such scenario");
    }
    let chosen = known.into_iter().filter(|scenario| {
        args.names.is_empty()
            || args
                .names
                .iter()
                .any(|name| scenario.name.contains(name.as_str()))
    });
    let (mut failed, mut judged, mut sure) = (0, 0, 0);
    for scenario in chosen {
        let name = scenario.name;
        let Some(expected) = expected.get(name) else {
            bail!("{name} has no expectation");
        };
        let trace = args.out.join(format!("{name}.sendtrace"));
        if !args.recorded {
            if !requires(scenario.needs) {
                continue;
            }
            if let Err(why) = play(scenario, &trace) {
                println!("{name:<24} NOT PLAYED: {why}");
                failed += 1;
                continue;
            }
        }
        if !trace.exists() {
            println!("{name:<24} SKIPPED: no trace");
            continue;
        }
        let verdict = judge(&report(&trace), expected);
        let wanted = expected
            .as_ref()
            .map_or("silence".to_owned(), Finding::tell);
        let found = match (&verdict.right, verdict.wrong.is_empty()) {
            (_, false) => format!("WRONG: {}", verdict.wrong.join("; ")),
            (Some(confidence), true) => format!("right, {confidence}"),
            (None, true) => "right".to_owned(),
        };
        println!("{name:<24} {wanted:<68} {found}");
        for other in &verdict.others {
            println!("{:<24}   also: {other}", "");
        }
        if args.events {
            println!("{:<24}   {}", "", summary(&trace));
        }
        judged += 1;
        failed += u32::from(!verdict.wrong.is_empty());
        sure += u32::from(verdict.right.as_deref() == Some("high"));
    }
    println!("{judged} judged, {sure} of high confidence and right, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What `sendtrace report` says of a trace; an error of its own counts as no report.
fn report(trace: &Path) -> String {
    let run = run_sendtrace(&["report", "--format", "json", &trace.to_string_lossy()]);
    let said = String::from_utf8_lossy(&run.stderr);
    if !said.is_empty() {
        eprint!("{said}");
    }
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// Records one scenario; `Err`: why the fault could not be made.
fn play(scenario: &Scenario, trace: &Path) -> Result<(), String> {
    // Only a fault that was made leaves a trace behind.
    let fresh = trace.with_extension("new");
    for file in [&fresh, trace] {
        if file.exists() {
            fs::remove_file(file).map_err(|e| format!("{}: {e}", file.display()))?;
        }
    }
    let stage = Stage {
        trace: fresh.clone(),
    };
    catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default()
    })?;
    fs::rename(&fresh, trace).map_err(|e| format!("{}: {e}", fresh.display()))
}

/// How many events of each kind the trace has.
fn summary(trace: &Path) -> String {
    let played = replay(&[trace.as_os_str(), "--format".as_ref(), "json".as_ref()]);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in events(&played.stdout) {
        let signal = event["signal"].as_str().unwrap_or("?");
        let code = ["cause", "name", "reason", "direction", "to"]
            .iter()
            .find_map(|key| event[signal][key].as_str());
        let count = event["count"].as_u64().unwrap_or(1);
        *counts
            .entry(format!("{signal}:{}", code.unwrap_or("?")))
            .or_default() += count;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{what}={count}"))
        .collect();
    counts.join(" ")
}
