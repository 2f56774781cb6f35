//! `cargo xtask COMMAND`: everything that is done to sendtrace, from a fresh machine to a test run.
//!
//! This file holds the command line and the dispatch; each command has a file of its own.

#![forbid(unsafe_code)]

mod arch;
mod bench;
mod build;
mod docs;
mod fuzz;
mod lint;
mod run;
mod scenarios;
mod setup;
mod test;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, runs, tests and checks sendtrace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Get what a build needs besides Rust and a C compiler; silent when all is there
    Setup,
    /// Build the BPF programs and the program
    Build(build::Args),
    /// Build, then start `sendtrace ARGS`, as root where the command needs it
    Run(run::Args),
    /// Build and run every test
    Test(test::Args),
    /// Make real faults, record a trace of each, and have it diagnosed
    Scenarios(scenarios::Args),
    /// Measure what the kernel programs cost, from real traffic
    Bench(bench::Args),
    /// Boot real kernels, old and new, and test on each
    Vm(vm::Args),
    /// Feed hostile bytes to the readers of traces
    Fuzz(fuzz::Args),
    /// Check format, clippy, and what the documents say of the sources
    Lint,
    /// Write the graph of the crates into docs/architecture.md
    Docs,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup => setup::setup().map(|_| ()),
        Command::Build(args) => build::command(&args),
        Command::Run(args) => run::command(&args),
        Command::Test(args) => test::command(&args),
        Command::Scenarios(args) => scenarios::command(&args),
        Command::Bench(args) => bench::command(&args),
        Command::Vm(args) => vm::command(&args),
        Command::Fuzz(args) => fuzz::command(&args),
        Command::Lint => lint::command(),
        Command::Docs => docs::command(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
