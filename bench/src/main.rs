//! What sendtrace costs on this kernel: nanoseconds of each kernel program above an empty twin on the same
//! hook, from real traffic; and the program itself at the start and at rest.
//!
//! Each round loads the programs anew (another place in memory), attaches them and two empty twins per hook in
//! a rotating order, and runs the same traffic through all three at once. The kernel's own statistics
//! (`run_time_ns`) hold two reads of a clock; taking the twin's off removes them. The second twin less the first
//! shows how far off the method itself is.

mod measure;
mod place;
mod rest;
mod scene;
mod statistics;
mod sys;
mod table;
mod trace;
mod traffic;
mod walk;
mod worker;

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use measure::{Bench, Samples};
use worker::Worker;

/// Measures sendtrace on this machine, as root.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// The kernel programs, the start and the rest
    Hooks(Hooks),
    /// The trace: its size, the recorder's cost, replay and seeking
    Trace(trace::Args),
    /// Holds this many sockets until the input ends
    #[command(hide = true)]
    Hold { sockets: usize },
}

#[derive(clap::Args)]
struct Hooks {
    /// Rounds; each gives one value per line
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// The `sendtrace` whose start and rest are measured; without it they are not
    #[arg(long, value_name = "FILE")]
    sendtrace: Option<PathBuf>,
    /// One JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: &Suite) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "loading programs into the kernel needs root: run `sudo --preserve-env=PATH cargo xtask bench`"
        );
    }
    match what {
        Suite::Hooks(args) => all_hooks(args),
        Suite::Trace(args) => trace::run(args),
        Suite::Hold { sockets } => walk::hold(*sockets),
    }
}

fn all_hooks(args: &Hooks) -> Result<()> {
    let mut lines = hooks(args)?;
    // Without the kernel's statistics, which cost something at each socket.
    lines.extend(table::walks(&walk::measure(&Bench::new()?)?));
    if let Some(sendtrace) = &args.sendtrace {
        // After the programs of this process are gone, and without the kernel's statistics.
        lines.extend(table::rest(&rest::measure(sendtrace)?));
    }
    if args.json {
        for line in &lines {
            println!("{}", table::json(line));
        }
    } else {
        print!("{}", table::text(&lines));
        println!(
            "\nNanoseconds are those of one run above an empty program on the same hook; median of the rounds with its \
             95 % interval.\nNoise is a second empty program less the first. An aim inside of the interval is unclear."
        );
    }
    Ok(())
}

fn hooks(args: &Hooks) -> Result<Vec<table::Line>> {
    let _statistics = sys::measure_programs()
        .context("the kernel does not measure programs (5.8 or later does)")?;
    let bench = Bench::new()?;
    let worker = Worker::start()?;
    let mut samples = Samples::default();
    for number in 1..=args.rounds {
        bench.round(number, &worker, &mut samples)?;
        if stderr().is_terminal() {
            eprint!("\rround {number} of {} ", args.rounds);
        }
    }
    if samples.discarded > 0 {
        eprintln!(
            "bench: {} takes were repeated: somebody else's traffic ran into them",
            samples.discarded
        );
    }
    Ok(table::hooks(&bench, &samples))
}
