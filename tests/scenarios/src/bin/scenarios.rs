//! `scenarios [NAME…] --out FOLDER`: plays faults, records a trace of each and has them diagnosed.
//!
//! `cargo xtask scenarios` builds what it needs and starts it. Its table is scenario × expected × found.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use clap::Parser;
use scenarios::faults::{Expected, Finding, Impossible, Scenario, Stage, all, expectations, judge};
use scenarios::recording::{events, replay};
use scenarios::run_sendtrace;
use serde_json::Value;

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
    /// Take traces that machines have recorded out of this file (`cargo xtask vm --json FILE`) first
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// How many are played at the same time
    #[arg(long, value_name = "N", default_value_t = 3)]
    at_once: usize,
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
    if let Some(file) = &args.import {
        import(file, &args.out)?;
    }
    if let Some(name) = expected
        .keys()
        .find(|name| known.iter().all(|s| s.name != *name))
    {
        bail!("{name} is expected, but there is no such scenario");
    }
    let chosen: Vec<&Scenario> = known
        .into_iter()
        .filter(|scenario| {
            let named = |name: &String| scenario.name.contains(name.as_str());
            args.names.is_empty() || args.names.iter().any(named)
        })
        .collect();
    let played = if args.recorded {
        BTreeMap::new()
    } else {
        play_all(&chosen, &args)
    };
    let mut sums = Sums::default();
    for scenario in chosen {
        let name = scenario.name;
        let Some(expected) = expected.get(name) else {
            bail!("{name} has no expectation");
        };
        match played.get(name) {
            Some(Played::Failed(why)) => {
                println!("{name:<24} NOT PLAYED: {why}");
                sums.failed += 1;
            }
            Some(Played::Skipped(why)) => println!("{name:<24} SKIPPED: {why}"),
            Some(Played::Recorded) | None => sums.add(name, expected, &args),
        }
    }
    println!(
        "{} judged, {} of high confidence and right, {} failed",
        sums.judged, sums.sure, sums.failed
    );
    Ok(if sums.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Takes the traces out of what machines have said: lines with a line of JSON in them.
fn import(file: &Path, into: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut count = 0;
    for said in text.lines() {
        let said: Value = serde_json::from_str(said).with_context(|| file.display().to_string())?;
        let line = said["line"].as_str().unwrap_or_default();
        // The harness of the tests does not end its own line.
        let Some(begin) = line.find(r#"{"type":"trace""#) else {
            continue;
        };
        let trace: Value = serde_json::from_str(&line[begin..])?;
        let (Some(name), Some(base64)) = (trace["name"].as_str(), trace["base64"].as_str()) else {
            bail!("{}: a trace without name or content", file.display());
        };
        if all().all(|scenario| scenario.name != name) {
            bail!("{}: there is no scenario {name}", file.display());
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(base64)?;
        let to = into.join(format!("{name}.sendtrace"));
        fs::write(&to, bytes).with_context(|| to.display().to_string())?;
        count += 1;
    }
    match count {
        0 => bail!("{}: no trace in it", file.display()),
        _ => Ok(()),
    }
}

/// How playing a scenario ended.
enum Played {
    Recorded,
    /// This host cannot play it.
    Skipped(String),
    /// The fault could not be made.
    Failed(String),
}

/// Plays several at a time: each is mostly waiting, in namespaces of its own.
fn play_all(chosen: &[&Scenario], args: &Args) -> BTreeMap<&'static str, Played> {
    let (next, played) = (Mutex::new(chosen.iter()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..args.at_once.max(1) {
            scope.spawn(|| {
                loop {
                    let scenario = next.lock().map(|mut next| next.next());
                    let Ok(Some(scenario)) = scenario else { return };
                    let trace = args.out.join(format!("{}.sendtrace", scenario.name));
                    let ended = play(scenario, &trace);
                    if let Ok(mut played) = played.lock() {
                        played.insert(scenario.name, ended);
                    }
                }
            });
        }
    });
    played.into_inner().unwrap_or_default()
}

/// What has been judged.
#[derive(Default)]
struct Sums {
    judged: u32,
    /// Right, and of high confidence.
    sure: u32,
    failed: u32,
}

impl Sums {
    fn add(&mut self, name: &str, expected: &Expected, args: &Args) {
        let trace = args.out.join(format!("{name}.sendtrace"));
        if !trace.exists() {
            println!("{name:<24} SKIPPED: no trace");
            return;
        }
        let verdict = judge(&report(&trace), expected);
        let wanted = match expected.as_slice() {
            [] => "silence".to_owned(),
            findings => findings
                .iter()
                .map(Finding::tell)
                .collect::<Vec<_>>()
                .join(" + "),
        };
        let found = match verdict.wrong.as_slice() {
            [] => format!("right {}", verdict.right.join(", ")),
            wrong => format!("WRONG: {}", wrong.join("; ")),
        };
        println!("{name:<24} {wanted:<68} {found}");
        for other in &verdict.others {
            println!("{:<24}   also: {other}", "");
        }
        if args.events {
            println!("{:<24}   {}", "", summary(&trace));
        }
        self.judged += 1;
        self.failed += u32::from(!verdict.wrong.is_empty());
        let sure = !verdict.right.is_empty() && verdict.right.iter().all(|word| word == "high");
        self.sure += u32::from(sure);
    }
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

/// Records one scenario. Only a fault that was made leaves a trace behind.
fn play(scenario: &Scenario, trace: &Path) -> Played {
    if let Some(tool) = scenario.needs.iter().find(|tool| !has(tool)) {
        return Played::Skipped(format!("needs the program `{tool}`"));
    }
    let fresh = trace.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let stage = Stage {
        trace: fresh.clone(),
    };
    let panic = match catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage))) {
        Ok(()) => {
            return match fs::rename(&fresh, trace) {
                Ok(()) => Played::Recorded,
                Err(error) => Played::Failed(format!("{}: {error}", fresh.display())),
            };
        }
        Err(panic) => panic,
    };
    let _ = fs::remove_file(&fresh);
    let panic = match panic.downcast::<Impossible>() {
        Ok(impossible) => return Played::Skipped(impossible.0),
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<String>().cloned();
    Played::Failed(
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default(),
    )
}

fn has(tool: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(tool).exists())
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
