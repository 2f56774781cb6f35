//! Parse, run, exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use tracer::cli::{Cli, Command, words};
use tracer::commands::{self, Failure};

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| wrong_usage(&error));
    let level = match cli.verbose {
        0 => "error",
        1 => "info",
        _ => "debug",
    };
    // Who loads the programs that say something wants to read it.
    let log = env_logger::Env::default().default_filter_or(format!("{level},bpf=debug"));
    env_logger::Builder::from_env(log)
        .format_timestamp(None)
        .init();
    #[cfg(target_os = "linux")]
    if let Some(files) = tracer::confine::Files::of(&cli.command) {
        tracer::confine::to(&files);
    }
    let result = match &cli.command {
        #[cfg(feature = "capture")]
        Command::Live(args) => commands::live::run(args),
        #[cfg(feature = "capture")]
        Command::Record(args) => commands::record::run(args),
        Command::Replay(args) => commands::replay::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Diff(args) => commands::diff::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::Info(args) => commands::info::run(args),
        Command::Completions(args) => commands::completions::run(args),
        #[cfg(feature = "capture")]
        Command::Doctor(args) => commands::doctor::run(args),
        #[cfg(feature = "capture")]
        Command::Selftest(args) => commands::selftest::run(args),
        #[cfg(feature = "capture")]
        Command::ExecHelper(args) => tracer::exec::run_helper(args).map_err(Failure::Failed),
        #[cfg(not(feature = "capture"))]
        Command::Live(_)
        | Command::Record(_)
        | Command::Doctor(_)
        | Command::Selftest(_)
        | Command::ExecHelper(_) => Err(Failure::Failed(anyhow::anyhow!(
            "this sendtrace reads traces and cannot make them: it was built without `capture`; use the one for Linux"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Verdict(status)) => ExitCode::from(status),
        Err(Failure::Usage(message)) => Cli::usage_error(message).exit(),
        Err(Failure::Failed(error)) => {
            tracer::output::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What clap says, and what to type instead where that is known.
fn wrong_usage(error: &clap::Error) -> ! {
    if let Some(line) = words::instead(error) {
        tracer::output::say(line);
    }
    error.exit()
}
