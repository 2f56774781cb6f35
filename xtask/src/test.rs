//! `cargo xtask test`: every test, with plain `cargo test`, which every machine with Rust has.
//!
//! Two runs: the crates first, then the scenarios, which make real faults on the real kernel and
//! get the program under test in `SENDTRACE_BIN`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{self, Linkage, Profile};
use crate::setup::{self, Ready};
use crate::workspace;

const SCENARIOS: &str = "scenarios";

#[derive(clap::Args)]
pub struct Args {
    /// Test only this crate
    #[arg(short, long, value_name = "CRATE")]
    package: Option<String>,
    /// Test with optimisations
    #[arg(long)]
    release: bool,
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// What the test programs are given, such as `--nocapture`
    #[arg(last = true, value_name = "ARGS")]
    libtest: Vec<String>,
}

pub fn command(args: &Args) -> Result<()> {
    let ready = setup::setup()?;
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let program = build::sendtrace(&ready, profile, Linkage::Dynamic)?;

    if !nix::unistd::geteuid().is_root() {
        eprintln!(
            "test: not root, so the tests that need root (`root` is in their name) are ignored; \
             run `sudo --preserve-env=PATH cargo xtask test` for all of them"
        );
    }

    // Both runs always happen: a failure in the first must not hide one in the second.
    let crates = match args.package.as_deref() {
        Some(SCENARIOS) => Ok(()),
        Some(package) => run(&ready, args, &program, &["--package", package]),
        None => run(
            &ready,
            args,
            &program,
            &[
                "--workspace",
                "--exclude",
                "tracer-ebpf",
                "--exclude",
                "tracer-ebpf-debug",
                "--exclude",
                SCENARIOS,
            ],
        ),
    };
    let scenarios = match args.package.as_deref() {
        None | Some(SCENARIOS) => run(&ready, args, &program, &["--package", SCENARIOS]),
        Some(_) => Ok(()),
    };
    match (crates, scenarios) {
        (Err(error), Err(_)) => {
            Err(error).context("both the crates and the scenarios have failures")
        }
        (crates, scenarios) => crates.and(scenarios),
    }
}

fn run(ready: &Ready, args: &Args, program: &Path, packages: &[&str]) -> Result<()> {
    let mut cargo = ready.cargo()?;
    cargo.arg("test").args(packages).arg("--no-fail-fast");
    if args.release {
        cargo.arg("--release");
    }
    cargo.args(&args.filter).arg("--").args(&args.libtest);
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        // Measurements are run by name.
        cargo.args(["--include-ignored", "--skip", "measurement_"]);
    }
    if packages.contains(&SCENARIOS) && packages[0] == "--package" {
        let chosen = args
            .libtest
            .iter()
            .any(|arg| arg.starts_with("--test-threads"));
        // All scenarios share one kernel; more at once would disturb each other's timing.
        cargo.args((!chosen).then_some("--test-threads=2"));
    }
    cargo.env("SENDTRACE_BIN", program);
    if packages.contains(&SCENARIOS) && packages[0] == "--package" && is_root {
        return workspace::run(&mut repeated(ready, &cargo)?);
    }
    workspace::run(&mut cargo)
}

/// The same under `repeat`, which knows when a host withholds events from everybody.
fn repeated(ready: &Ready, cargo: &Command) -> Result<Command> {
    let repeat = build::program(ready, SCENARIOS, "repeat", Profile::Dev, Linkage::Dynamic)?;
    let mut command = Command::new(repeat);
    command.arg(cargo.get_program()).args(cargo.get_args());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ok(command)
}
