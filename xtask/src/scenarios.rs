//! `cargo xtask scenarios`: real faults, a trace of each, and what a diagnosis makes of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, Linkage, Profile};
use crate::{setup, workspace};

/// Where the traces are that the tests read.
const GOLDEN: &str = "tests/traces/diagnose";

#[derive(clap::Args)]
pub struct Args {
    /// Only scenarios whose name contains one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where the traces go (default: a folder below target)
    #[arg(long, value_name = "FOLDER", conflicts_with = "bless")]
    out: Option<PathBuf>,
    /// Record the traces that the tests read anew
    #[arg(long, conflicts_with = "recorded")]
    bless: bool,
    /// Record nothing: diagnose the traces that the tests read, or those of --out (needs no root)
    #[arg(long)]
    recorded: bool,
    /// Record nothing here, but take the traces that machines have recorded out of this file (`cargo xtask vm --test
    /// memory --json FILE`), for the tests
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "bless", "recorded"])]
    import: Option<PathBuf>,
    /// Play all of them so often, and say how often the diagnosis was right
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["bless", "import"])]
    rounds: u32,
    /// Print how many events of each kind a trace has
    #[arg(long)]
    events: bool,
    #[command(flatten)]
    generated: Generated,
}

/// Scenarios that are generated, each from a seed, instead of the fixed ones
#[derive(clap::Args)]
#[command(next_help_heading = "Generated scenarios")]
struct Generated {
    /// Generate from this seed on; rules are tuned below 1000 and measured from there on. Without a number: one by
    /// chance, which is printed
    #[arg(long, value_name = "S", num_args = 0..=1, conflicts_with_all = ["bless", "import", "rounds"])]
    seed: Option<Option<u64>>,
    /// How many seeds
    #[arg(long, value_name = "N", requires = "seed")]
    count: Option<u64>,
    /// How many are played at the same time
    #[arg(long, value_name = "N", requires = "seed")]
    jobs: Option<usize>,
    /// Print what the seeds stand for, and play nothing
    #[arg(long, requires = "seed")]
    plan: bool,
    /// Add a line of JSON for each to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write docs/diagnosis.md from what --json has collected; without --seed, and play nothing
    #[arg(long, requires = "json")]
    docs: bool,
}

pub fn command(args: &Args) -> Result<()> {
    if args.generated.seed.is_some() || args.generated.docs {
        return generated(args);
    }
    let recorded = args.recorded || args.import.is_some();
    let (mut command, runner) = runner("scenarios", recorded)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None if args.bless || recorded => workspace::root().join(GOLDEN),
        None => runner.with_file_name("traces-of-scenarios"),
    };
    command.args(&args.names).arg("--out").arg(out);
    command.args(recorded.then_some("--recorded"));
    if let Some(file) = &args.import {
        command.arg("--import").arg(std::path::absolute(file)?);
    }
    command.arg("--rounds").arg(args.rounds.to_string());
    command.args(args.events.then_some("--events"));
    workspace::run(&mut command)
}

fn generated(args: &Args) -> Result<()> {
    let Generated {
        seed,
        count,
        jobs,
        plan,
        json,
        docs,
    } = &args.generated;
    let (mut command, runner) = runner("generated", *plan || seed.is_none() || args.recorded)?;
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| runner.with_file_name("traces-of-generated"));
    command.args(&args.names).arg("--out").arg(out);
    if let Some(seed) = seed.flatten() {
        command.arg("--seed").arg(seed.to_string());
    }
    if let Some(count) = count {
        command.arg("--count").arg(count.to_string());
    }
    if let Some(jobs) = jobs {
        command.arg("--jobs").arg(jobs.to_string());
    }
    command.arg("--commit").arg(commit());
    command.args(plan.then_some("--plan"));
    command.args(args.recorded.then_some("--recorded"));
    if let Some(json) = json {
        command.arg("--json").arg(std::path::absolute(json)?);
    }
    if !*docs {
        return workspace::run(&mut command);
    }
    // What is wrong stands on the page, too.
    let played = match seed {
        Some(_) => workspace::run(&mut command),
        None => Ok(()),
    };
    let page = workspace::root().join("docs/diagnosis.md");
    command.arg("--page").arg(page);
    workspace::run(&mut command).and(played)
}

/// The commit of the sources, as git names it; with `-dirty` when they differ from it.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(workspace::root());
    match git.output() {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// A program of the scenarios, built with those that it starts, and where it is.
fn runner(name: &str, without_root: bool) -> Result<(Command, PathBuf)> {
    if !without_root && !nix::unistd::geteuid().is_root() {
        bail!(
            "faults are made in network namespaces, which needs root: run \
             `sudo --preserve-env=PATH cargo xtask scenarios`"
        );
    }
    let ready = setup::setup()?;
    let sendtrace = build::sendtrace(&ready, Profile::Dev, Linkage::Dynamic)?;
    let mut programs = ["peer", "relay", name]
        .into_iter()
        .map(|name| build::program(&ready, "scenarios", name, Profile::Dev, Linkage::Dynamic));
    // All of them stand in one folder, where the last looks for the others.
    let runner = programs
        .by_ref()
        .collect::<Result<Vec<_>>>()?
        .pop()
        .context("three programs")?;
    let mut command = Command::new(&runner);
    command.env("SENDTRACE_BIN", sendtrace);
    workspace::clean_environment(&mut command);
    Ok((command, runner))
}
