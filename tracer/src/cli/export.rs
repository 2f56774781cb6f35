//! The arguments of `sendtrace export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Filters;
use super::filters::of_a_trace;
use super::replay::standard_input_once;
use super::values::is_standard;
use tracer_model::when::When;

const HELP: &str = "\
Times are those of `sendtrace replay`: 03:14, 2026-11-22T03:14, -10m, +5m, now.

Examples:
  sendtrace export night.trace --to parquet -o night.parquet
      For DuckDB, pandas and Spark.
  sendtrace export night.trace --to pcapng -o night.pcapng --since 03:10 --until 03:20
      For Wireshark: headers rebuilt from the flow, the facts as comments of the packets.
  sendtrace export /var/log/sendtrace --to csv -o - --event send_error | less";

/// `sendtrace export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
#[command(mut_args(of_a_trace))]
pub struct Export {
    /// Traces: files, folders of segments, or - for standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Paths need no flag; this one is there for the hands of those who know tcpdump.
    #[arg(short, hide = true)]
    pub read: bool,
    /// What it becomes
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: Target,
    /// Where to: a file, or - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// From when on
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub since: Option<When>,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub until: Option<When>,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: Filters,
}

/// What a trace can become.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Columns, for DuckDB, pandas and Spark
    #[cfg(feature = "parquet")]
    Parquet,
    /// Packets, for Wireshark
    Pcapng,
    /// One JSON object per line, as replay prints it
    Jsonl,
    /// One line per event, with the columns of parquet
    Csv,
}

impl Export {
    /// Whether the result goes to standard output.
    pub fn to_stdout(&self) -> bool {
        is_standard(&self.output)
    }

    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        standard_input_once(&self.paths)
    }
}
