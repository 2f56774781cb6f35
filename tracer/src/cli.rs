//! The command line as typed: clap types and the parsers of their values. What they mean is decided elsewhere
//! ([`tracer_model::filter`], [`tracer_model::when`], [`tracer_model::trigger`]); nothing here looks at the host.

mod completions;
mod diff;
mod exec;
mod explain;
mod export;
mod filters;
mod info;
mod live;
mod record;
mod replay;
mod report;
mod selftest;
pub(crate) mod values;
pub mod words;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use completions::{Completions, write_manual};
pub use diff::Diff;
pub use exec::ExecHelper;
pub use explain::Explain;
pub use export::{Export, Target};
pub use filters::{Filters, LiveFilters};
pub use info::Info;
pub use live::{CaptureArgs, Live, Printed};
pub use record::Record;
pub use replay::{Replay, Speed};
pub use report::Report;
pub use selftest::Selftest;
pub use values::{DEFAULT_RATE, DEFAULT_SAMPLES, RING_MAX, RING_MIN};

const EXAMPLES: &str = "\
Examples:
  sendtrace live
      Every failure to send on this host, until Ctrl-C.
  sendtrace live --pid 4242 --follow --duration 5m
      One process and its children, for five minutes.
  sendtrace live --remote 10.0.0.0/8 --port 443,8443 --event retransmit,reset
      Retransmits and resets between this host and a network.
  sendtrace live --errno ECOMM --format json > night.jsonl
      Sends that fail with errno 70, one JSON object per line.
  sendtrace explain ECOMM
      What it means, where it comes from, and what to look at next.
  sendtrace doctor
      What this host offers, and what its limits cost.
  sendtrace selftest
      Whether it does on this host what it promises.

Exit status: 0 done, 1 failed (the message says what to do next), 2 wrong usage; diff also 3 worse, 4 too little data.";

/// Who cannot send, to whom, and why.
#[derive(Parser, Clone, Debug)]
#[command(name = "sendtrace", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Say more about what is done, on standard error: once what is noticed, twice every step (RUST_LOG says it in
    /// more detail)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// An error for a combination of arguments that parses but makes no sense: printed like clap's own, exit
    /// status 2 by [`clap::Error::exit`].
    pub fn usage_error(message: impl std::fmt::Display) -> clap::Error {
        Self::command().error(ErrorKind::ArgumentConflict, message)
    }
}

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Print each failure to send as it happens, with its process and its destination (needs root)
    Live(Live),
    /// Record what live would print, and samples of the host's counters, in a trace (needs root)
    Record(Record),
    /// Print what live would have printed, from traces (needs no root)
    Replay(Replay),
    /// Say what is wrong, in which layer, and what to try first, from traces (needs no root)
    Report(Report),
    /// Say what a word in the output means: an errno, a cause, a reason, a state (needs no root)
    Explain(Explain),
    /// Compare two recordings, before and after one change: better, worse, unchanged or too little data
    Diff(Diff),
    /// Turn traces into parquet, CSV, JSON lines or packets for Wireshark (needs no root)
    Export(Export),
    /// Say what is in traces: host, time span, counts, loss, gaps and damage (needs no root)
    Info(Info),
    /// Say what this host offers, which hook serves each event kind, and what is missing
    Doctor(Doctor),
    /// Provoke every kind of event in a network namespace of its own, and check that each is seen (needs root)
    Selftest(Selftest),
    /// Write completions for a shell, or manual pages
    Completions(Completions),
    /// Run the command of `record --exec` as the user who started it
    #[command(hide = true)]
    ExecHelper(ExecHelper),
}

/// `sendtrace doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Only print the facts that hooks are chosen from, as JSON: goes well with a bug report
    #[arg(long, conflicts_with_all = ["format", "color"])]
    pub facts: bool,
    /// Do as if the kernel refused this program; for tests of what takes its place
    #[arg(long, hide = true, value_name = "NAME", value_parser = values::program)]
    pub without_program: Vec<String>,
    /// Text for people, or JSON: one object per line
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        default_value_if("json", "true", "json")
    )]
    pub format: Format,
    /// `--json`.
    #[command(flatten)]
    pub json: Json,
    /// Colours in text output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
}

/// How a report is written.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// What people type who know other tools.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json {
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// When text is coloured.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

#[cfg(test)]
mod tests;
