//! The arguments of `sendtrace record`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgGroup, Args};

use super::values::{duration, interval, is_standard, large_size, size};
use super::{CaptureArgs, LiveFilters, Printed};
use tracer_model::trigger::Trigger;

const HELP: &str = "\
The trace holds everything that replay, export and info need; they run on any machine, without root. kill -9 \
loses at most the last second, a power failure at most the time of --sync. A disk that is full or fails does \
not stop the recorder: what could not be written is counted, and the trace says so.

With --rotate-size, --rotate-every or --trigger, PATH is a folder, made if it is not there.

Triggers are words of the filters, separated by blanks; all of one trigger must hold. An event kind may stand alone:
  event=A,B  errno=A,B  remote=CIDR,…  port=N,…  proto=NAME,…  comm=NAME,…  pid=N,…  cgroup=PATH
  cause=rto,…  why a segment was retransmitted: rto, fast, tlp, syn, synack, mtu, unknown
  reason=NAME,…  why a packet was dropped, as the output names it
  waiting>T, blocked>T  one that takes longer, for example waiting>30s
  rate>N/T  more than N such events within T (s, m, h, 10s, 5m); rate>=N/T for N and more
Without a rate each such event is one; several --trigger are alternatives; SIGUSR1 is one more.

Units:
  durations  500ms, 30s, 5m, 1h30m
  sizes      bytes, or with K, M or G (powers of 1024): 64K, 8M

Examples:
  sendtrace record -w night.trace --duration 8h
      All failures to send of a night, in one file.
  sendtrace record -w /var/log/sendtrace --rotate-size 256M --keep-size 10G --min-free 2G
      For good: 10 GiB at most, and 2 GiB of the disk are left to others.
  sendtrace record -w /var/log/sendtrace --trigger errno=ECOMM --trigger 'retransmit rate>200/s'
      Only the minutes around what matters: 5 before, 2 after.
  sendtrace record -w - --event send_error | ssh collector 'cat > host.trace'
      Nothing on this disk.";

/// `sendtrace record`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
// Blocks are packed while events come: there must be room for what comes meanwhile.
#[command(mut_arg("ring", |ring| ring.default_value("64M")))]
#[command(mut_args(of_printing))]
#[command(group = ArgGroup::new("rotation").args(["rotate_size", "rotate_every"]).multiple(true))]
pub struct Record {
    /// Where to: a file, or - for standard output; with rotation or a trigger, a folder
    #[arg(short, long, value_name = "PATH")]
    pub write: PathBuf,
    /// A path without its flag: only there to say so.
    #[arg(hide = true, value_name = "PATH", value_parser = stray_path())]
    pub stray: Option<OsString>,
    /// How much is recorded, and for how long.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Start a new segment when one is this large
    #[arg(long, value_name = "SIZE", value_parser = large_size, help_heading = "Disk")]
    pub rotate_size: Option<u64>,
    /// Start a new segment when one is this old
    #[arg(long, value_name = "T", value_parser = interval, help_heading = "Disk")]
    pub rotate_every: Option<Duration>,
    /// Delete the oldest segments when all together are larger
    #[arg(long, value_name = "SIZE", value_parser = large_size, requires = "rotation", help_heading = "Disk")]
    pub keep_size: Option<u64>,
    /// Delete segments whose last event is older
    #[arg(long, value_name = "T", value_parser = interval, requires = "rotation", help_heading = "Disk")]
    pub keep_for: Option<Duration>,
    /// Write nothing while the disk has less room than this
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Disk")]
    pub min_free: Option<u64>,
    /// The most that a power failure can take
    #[arg(long, value_name = "T", default_value = "10s", value_parser = duration, help_heading = "Disk")]
    pub sync: Duration,
    /// How often the counters of the host are noted beside the events
    #[arg(long, value_name = "T", default_value = "10s", value_parser = interval, help_heading = "Samples")]
    pub samples: Duration,
    /// Note no counters of the host
    #[arg(long, conflicts_with = "samples", help_heading = "Samples")]
    pub no_samples: bool,
    /// Write nothing but the time around events like these; can be repeated
    #[arg(
        long,
        value_name = "EXPR",
        value_parser = Trigger::parse,
        conflicts_with_all = ["rotate_size", "rotate_every"],
        help_heading = "Triggers"
    )]
    pub trigger: Vec<Trigger>,
    /// How much of the time before the trigger is written
    #[arg(long, value_name = "T", default_value = "5m", value_parser = duration, requires = "trigger", help_heading = "Triggers")]
    pub before: Duration,
    /// How much of the time after it
    #[arg(long, value_name = "T", default_value = "2m", value_parser = duration, requires = "trigger", help_heading = "Triggers")]
    pub after: Duration,
    /// Memory for the time before, never more; when it is full the oldest goes
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = large_size, requires = "trigger", help_heading = "Triggers")]
    pub memory: u64,
    /// Run a command for each trace, as the user who started sendtrace (through sudo or not); the path of the
    /// trace is its "$1" and in SENDTRACE_TRACE
    #[arg(
        long,
        value_name = "CMD",
        requires = "trigger",
        help_heading = "Triggers"
    )]
    pub exec: Option<OsString>,
    /// Print events too, as live does
    #[arg(long, help_heading = "Printing")]
    pub print: bool,
    /// How they are printed.
    #[command(flatten)]
    pub printed: Printed,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: LiveFilters,
}

impl Record {
    /// Whether the trace goes to standard output.
    pub fn to_stdout(&self) -> bool {
        is_standard(&self.write)
    }

    /// Whether the path is a folder of segments, or of the traces that triggers left.
    pub fn to_folder(&self) -> bool {
        self.rotate_size.is_some() || self.rotate_every.is_some() || !self.trigger.is_empty()
    }

    /// How often counters are noted; `None` when they are not.
    pub fn samples_every(&self) -> Option<Duration> {
        (!self.no_samples).then_some(self.samples)
    }

    /// How events are printed, where they are.
    pub fn printed(&self) -> Option<Printed> {
        self.print.then_some(self.printed)
    }

    /// What clap cannot know to be wrong.
    ///
    /// # Errors
    /// A message for [`super::Cli::usage_error`].
    pub fn check(&self) -> Result<(), String> {
        if self.to_stdout() && self.print {
            return Err("-w - and --print would mix trace and text on standard output: write the trace to a \
                        file, for example -w night.trace"
                .to_string());
        }
        if self.to_stdout() && self.to_folder() {
            return Err(
                "rotation and triggers write to a folder, which standard output is not: give one, \
                        for example -w /var/log/sendtrace"
                    .to_string(),
            );
        }
        match (self.keep_size, self.rotate_size) {
            (Some(keep), Some(rotate)) if keep <= rotate => Err(
                "--keep-size must be larger than --rotate-size: the segment that is being written is never \
                 deleted"
                    .to_string(),
            ),
            _ => Ok(()),
        }
    }
}

/// Options of printing need something that is printed.
fn of_printing(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "format" | "json" | "color" | "utc" => arg.requires("print").help_heading("Printing"),
        _ => arg,
    }
}

fn stray_path() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|path: OsString| -> Result<OsString, String> {
        let path = path.to_string_lossy();
        Err(format!(
            "record takes the path with -w: sendtrace record -w {}",
            path.escape_debug()
        ))
    })
}
