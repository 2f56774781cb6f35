//! `scenarios [NAME…] --out FOLDER [--rounds N]`: plays faults, records a trace of each and has them diagnosed.
//!
//! `cargo xtask scenarios` builds what it needs and starts it. Its table is scenario × expected × found.

mod import;
mod judged;
mod play;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use scenarios::faults::{Scenario, all, expectations};

use self::judged::{Outcome, Row, confidences};
use self::play::Played;

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
    /// Play all of them so often, each time into a folder `round-N` of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u32,
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
        import::import(file, &args.out)?;
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
    let mut rows: Vec<Row> = Vec::new();
    for scenario in &chosen {
        let name = scenario.name;
        let expected = expected.get(name);
        rows.push(Row {
            name,
            expected: expected
                .with_context(|| format!("{name} has no expectation"))?
                .clone(),
            outcomes: Vec::new(),
        });
    }
    for round in 1..=args.rounds {
        let out = match args.rounds {
            1 => args.out.clone(),
            _ => args.out.join(format!("round-{round}")),
        };
        fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
        let mut played = if args.recorded {
            BTreeMap::new()
        } else {
            play::all(&chosen, &out, args.at_once)
        };
        for row in &mut rows {
            let trace = out.join(format!("{}.sendtrace", row.name));
            let outcome = match played.remove(row.name) {
                Some(Played::Failed(why)) => Outcome::NotPlayed(why),
                Some(Played::Skipped(why)) => Outcome::Skipped(why),
                Some(Played::Recorded) | None => judged::diagnose(&trace, &row.expected),
            };
            tell(row, &outcome);
            if args.events && trace.exists() {
                println!("{:<24}   {}", "", judged::summary(&trace));
            }
            row.outcomes.push(outcome);
        }
    }
    let outcomes = || rows.iter().flat_map(|row| &row.outcomes);
    let failed = outcomes().filter(|outcome| outcome.failed()).count();
    let judged = rows.iter().flat_map(Row::verdicts).count();
    for (confidence, count) in confidences(&rows) {
        println!("{confidence}: {} right, {} wrong", count.right, count.wrong);
    }
    println!("{judged} judged, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line about one scenario, as soon as it is judged.
fn tell(row: &Row, outcome: &Outcome) {
    let name = row.name;
    match outcome {
        Outcome::NotPlayed(why) => println!("{name:<24} NOT PLAYED: {why}"),
        Outcome::Skipped(why) => println!("{name:<24} SKIPPED: {why}"),
        Outcome::Judged(verdict) => {
            let found = match verdict.wrong.as_slice() {
                [] => format!("right {}", verdict.right.join(", ")),
                wrong => format!("WRONG: {}", wrong.join("; ")),
            };
            println!("{name:<24} {:<68} {found}", row.wanted());
            for other in &verdict.others {
                println!("{:<24}   also: {}", "", other.told);
            }
        }
    }
}
