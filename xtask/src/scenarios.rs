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
    /// Write docs/diagnosis.md from what was found
    #[arg(long, conflicts_with_all = ["names", "import"])]
    docs: bool,
    /// Print how many events of each kind a trace has
    #[arg(long)]
    events: bool,
}

pub fn command(args: &Args) -> Result<()> {
    let recorded = args.recorded || args.import.is_some();
    if !recorded && !nix::unistd::geteuid().is_root() {
        bail!(
            "faults are made in network namespaces, which needs root: run \
             `sudo --preserve-env=PATH cargo xtask scenarios`"
        );
    }
    let ready = setup::setup()?;
    let sendtrace = build::sendtrace(&ready, Profile::Dev, Linkage::Dynamic)?;
    let mut programs = ["peer", "relay", "scenarios"]
        .into_iter()
        .map(|name| build::program(&ready, "scenarios", name, Profile::Dev, Linkage::Dynamic));
    // All of them stand in one folder, where the last looks for the others.
    let runner = programs
        .by_ref()
        .collect::<Result<Vec<_>>>()?
        .pop()
        .context("three programs")?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None if args.bless || recorded => workspace::root().join(GOLDEN),
        None => runner.with_file_name("traces-of-scenarios"),
    };
    let mut command = Command::new(runner);
    command.args(&args.names).arg("--out").arg(out);
    command.args(recorded.then_some("--recorded"));
    if let Some(file) = &args.import {
        command.arg("--import").arg(std::path::absolute(file)?);
    }
    command.arg("--rounds").arg(args.rounds.to_string());
    if args.docs {
        let page = workspace::root().join("docs/diagnosis.md");
        command.arg("--page").arg(page);
    }
    command.args(args.events.then_some("--events"));
    command.env("SENDTRACE_BIN", sendtrace);
    workspace::clean_environment(&mut command);
    workspace::run(&mut command)
}
