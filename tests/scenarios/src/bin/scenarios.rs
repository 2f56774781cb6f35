//! `scenarios [NAME…] --out FOLDER`: plays faults, records a trace of each and has them diagnosed.
//!
//! `cargo xtask scenarios` builds what it needs and starts it. Its table is scenario × expected × found.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use scenarios::faults::{Scenario, Stage, all, expectations};
use scenarios::recording::{events, replay};
use scenarios::requires;

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
    let mut failed = 0;
    for scenario in chosen {
        if !expected.contains_key(scenario.name) {
            bail!("{} has no expectation", scenario.name);
        }
        let trace = args.out.join(format!("{}.sendtrace", scenario.name));
        if !args.recorded && !requires(scenario.needs) {
            continue;
        }
        let begun = Instant::now();
        if !args.recorded
            && let Err(why) = play(scenario, &trace)
        {
            println!("{:<24} FAILED: {why}", scenario.name);
            failed += 1;
            continue;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let bytes = fs::metadata(&trace)
            .with_context(|| trace.display().to_string())?
            .len();
        println!(
            "{:<24} {seconds:>5.1} s {bytes:>6} bytes  {}",
            scenario.name,
            summary(&trace)
        );
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
