//! The arguments of `sendtrace info`.

use std::path::PathBuf;

use clap::Args;

use super::replay::standard_input_once;
use super::{Format, Json};

const HELP: &str = "\
Examples:
  sendtrace info night.trace
      Host, time span, counts per event kind, loss, gaps and damage.
  sendtrace info /var/log/sendtrace --strict --format json
      For a script: exit status 1 when anything in there is damaged.";

/// `sendtrace info`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Info {
    /// Traces: files, folders of segments, or - for standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Paths need no flag; this one is there for the hands of those who know tcpdump.
    #[arg(short, hide = true)]
    pub read: bool,
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
    /// Fail on the first damage instead of counting it
    #[arg(long)]
    pub strict: bool,
}

impl Info {
    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        standard_input_once(&self.paths)
    }
}
