//! The arguments of `sendtrace report`.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;

use super::filters::of_a_trace;
use super::replay::standard_input_once;
use super::values::signed_duration;
use super::{Filters, Printed};
use tracer_diagnose::applog::Fields;
use tracer_model::when::When;

const HELP: &str = "\
Findings first, ranked by how much of the failure they explain: symptom (stall, disconnect, refused, exhaustion, \
drop, waste), layer (app, kernel, nic, network, peer), cause and confidence, the evidence, what speaks against it, \
what could not be observed, the next step, and what not to do. Then who sends again most, errors, drops, what came \
first, and the hours of the day. Nothing wrong and too little data are answers too.

Times are written as for replay (sendtrace replay --help).

Examples:
  sendtrace report night.trace
  sendtrace report night.trace --since 03:00 --until 04:00 --remote 10.0.0.12
  sendtrace report /var/log/sendtrace --since -1h --format json
  ssh db1 cat night.trace | sendtrace report
  sendtrace report night.trace --app-log batch.log --app-log-fields id=job,dest=server
  sendtrace explain path_blackhole";

/// `sendtrace report`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
#[command(mut_args(of_a_trace))]
pub struct Report {
    /// Traces: files, folders of segments, or - for standard input
    #[arg(value_name = "PATH", default_value = "-")]
    pub paths: Vec<PathBuf>,
    /// Paths need no flag; this one is there for the hands of those who know tcpdump.
    #[arg(short, hide = true)]
    pub read: bool,
    /// From when on
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub since: Option<When>,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub until: Option<When>,
    /// Fail on the first damage instead of skipping it
    #[arg(long)]
    pub strict: bool,
    /// How many findings are shown; JSON has them all
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "all")]
    pub top: usize,
    /// Show all findings
    #[arg(long)]
    pub all: bool,
    /// An application's log, JSON lines or logfmt: which of its failures has which evidence in the trace
    #[arg(long, value_name = "FILE", help_heading = "Application log")]
    pub app_log: Option<PathBuf>,
    /// Names of the log's fields: time, id, dest, port, local, errno, retry, retries, bytes, pid; for example
    /// time=ts,id=req_id. What is named replaces the usual names
    #[arg(
        long,
        value_name = "MEANING=FIELD,…",
        value_parser = Fields::parse,
        requires = "app_log",
        help_heading = "Application log"
    )]
    pub app_log_fields: Option<Fields>,
    /// How far the log's clock is ahead of the trace's: 2s, -350ms; estimated where both know enough errors
    #[arg(
        long,
        value_name = "T",
        value_parser = signed_duration,
        allow_hyphen_values = true,
        requires = "app_log",
        help_heading = "Application log"
    )]
    pub app_log_offset: Option<SignedDuration>,
    /// How it is printed.
    #[command(flatten)]
    pub printed: Printed,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: Filters,
}

impl Report {
    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        standard_input_once(&self.paths)
    }
}
