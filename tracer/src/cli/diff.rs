//! The arguments of `sendtrace diff`.

use std::path::PathBuf;

use clap::Args;

use super::filters::of_a_trace;
use super::values::is_standard;
use super::{Filters, Printed};
use tracer_model::when::When;

const HELP: &str = "\
Record, make one change, record again under the same load; then compare. Each measure is better, worse, unchanged, \
or has too little data, and says by which test: rates by a conditional binomial test, times by Mann-Whitney U. Fewer \
errors that were bought with longer stalls are worse. What else changed in between is listed, as far as traces show it.

Times are written as for replay (sendtrace replay --help).

Examples:
  sendtrace diff before.trace after.trace
  sendtrace diff monday.trace tuesday.trace --comm batchd --remote 10.0.0.0/8
  sendtrace diff night.trace night.trace --before-until 03:00 --after-since 03:05

Exit status: 0 not worse, 3 worse, 4 too little data, 1 failed, 2 wrong usage.";

/// `sendtrace diff`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
#[command(mut_args(of_a_trace))]
pub struct Diff {
    /// The recording before the change: a file, a folder of segments, or - for standard input
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The recording after it
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// From when on BEFORE is taken
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub before_since: Option<When>,
    /// Until when BEFORE is taken
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub before_until: Option<When>,
    /// From when on AFTER is taken
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub after_since: Option<When>,
    /// Until when AFTER is taken
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub after_until: Option<When>,
    /// Fail on the first damage instead of skipping it
    #[arg(long)]
    pub strict: bool,
    /// How it is printed.
    #[command(flatten)]
    pub printed: Printed,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: Filters,
}

impl Diff {
    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        if is_standard(&self.before) && is_standard(&self.after) {
            return Err("- is given twice, but there is one standard input".to_string());
        }
        Ok(())
    }
}
