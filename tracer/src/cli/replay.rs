//! The arguments of `sendtrace replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::filters::of_a_trace;
use super::values::{duration, is_standard, positive};
use super::{Filters, Printed};
use tracer_model::when::When;

const HELP: &str = "\
Prints what `sendtrace live` would have printed, byte for byte. Needs no root, and no Linux host like the one \
that recorded. Several traces are merged by time. A torn end is normal and said; damage is skipped and said.

Times:
  03:14, 03:14:15.5            the first such time in the trace, in the zone of the host that recorded it
  2026-11-22, 2026-11-22T03:14[:15[.123]], also with a blank, Z or +09:00
  -3h, \"10m ago\"               before the end of the trace; with --follow, before now
  +5m                          after its start
  now, @1763780055             the present; seconds since 1970-01-01 UTC

Examples:
  sendtrace replay night.trace --since 03:10 --until 03:20
  sendtrace replay night.trace --since -10m --errno ECOMM --format json
  sendtrace replay /var/log/sendtrace --follow --since '5m ago'
  sendtrace replay web1.trace web2.trace --remote 10.0.0.0/8
  ssh host sudo sendtrace record -w - | sendtrace replay -";

/// `sendtrace replay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
#[command(mut_args(of_a_trace))]
pub struct Replay {
    /// Traces: files, folders of segments, or - for standard input
    #[arg(value_name = "PATH", required = true)]
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
    /// How fast: max, 1 for as fast as it happened, 10 for ten times that
    #[arg(long, value_name = "N", default_value = "max", value_parser = Speed::parse)]
    pub speed: Speed,
    /// Go on with what is still being written
    #[arg(long)]
    pub follow: bool,
    /// Fail on the first damage instead of skipping it
    #[arg(long)]
    pub strict: bool,
    /// Totals instead of events: of the whole, or of each T (--aggregate=10s)
    #[arg(long, value_name = "T", num_args = 0..=1, require_equals = true, value_parser = duration)]
    pub aggregate: Option<Option<Duration>>,
    /// Print the samples of counters and the changes of the host's network too
    #[arg(long)]
    pub samples: bool,
    /// Stop after this many events
    #[arg(short, long, value_name = "N", value_parser = positive)]
    pub count: Option<u64>,
    /// How it is printed.
    #[command(flatten)]
    pub printed: Printed,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: Filters,
}

/// How fast a trace is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it happened.
    Times(f64),
}

impl Speed {
    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        text.strip_suffix('x')
            .unwrap_or(text)
            .parse()
            .ok()
            .filter(|times| (0.001..=1_000_000.0).contains(times))
            .map(Self::Times)
            .ok_or_else(|| {
                "expected max, or how many times as fast as it happened, for example 1, 10 or 0.5"
                    .to_string()
            })
    }
}

impl Replay {
    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        standard_input_once(&self.paths)
    }
}

/// Standard input can be read once.
pub(super) fn standard_input_once(paths: &[PathBuf]) -> Result<(), String> {
    if paths.iter().filter(|path| is_standard(path)).count() > 1 {
        return Err("- is given twice, but there is one standard input".to_string());
    }
    Ok(())
}
