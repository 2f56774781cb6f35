//! The arguments of `sendtrace live`, and those that other commands share with it.

use std::time::Duration;

use clap::Args;

use super::values::{DEFAULT_RATE, duration, positive, program, ring_size};
use super::{Color, Format, Json, LiveFilters};

const LIVE_HELP: &str = "\
Filters of different kinds must all match; values of one kind are alternatives. They run in the kernel: a \
filtered event costs no room in the ring.

Units:
  durations  500ms, 30s, 5m, 1h30m
  sizes      bytes, or with K, M or G (powers of 1024): 64K, 8M
  times      of the host's zone with milliseconds; --format json has nine digits and boot_ns beside

Examples:
  sendtrace live --comm batchd --event send_error --would-block
  sendtrace live --report --duration 5m
  sendtrace live --netns pid:4242 --remote 2001:db8::/32 --count 100
  sendtrace live --cgroup /system.slice/batch.service --errno ECOMM,ENOBUFS";

/// `sendtrace live`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LIVE_HELP)]
pub struct Live {
    /// How much is listed, and for how long.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// At the end, say what was wrong, in which layer, and what to try first, as sendtrace report does
    #[arg(long)]
    pub report: bool,
    /// How it is printed.
    #[command(flatten)]
    pub printed: Printed,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: LiveFilters,
}

/// How much of what happens on the host is listed, and for how long.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CaptureArgs {
    /// Stop after this time, for example 30s, 5m or 1h30m
    #[arg(long, value_name = "T", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Stop after this many events
    #[arg(short, long, value_name = "N", value_parser = positive)]
    pub count: Option<u64>,
    /// Events listed per event kind and second; those beyond are counted per flow
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = positive)]
    pub rate: u64,
    /// Memory of all rings together, in bytes or with K, M, G; each ring's part is a power of two
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = ring_size)]
    pub ring: u64,
    /// List sends that would block (EAGAIN) one by one, instead of counting them
    #[arg(long)]
    pub would_block: bool,
    /// Percent of the time that may be spent on looking up who holds a socket; 100: as often as needed
    #[arg(long, value_name = "P", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub look_ups: u8,
    /// Tell of sockets that wait although nothing fails from this time on
    #[arg(long, value_name = "T", default_value = "2s", value_parser = duration)]
    pub waiting: Duration,
    /// List sends that were blocked for this time or longer although they succeeded
    #[arg(long, value_name = "T", default_value = "1s", value_parser = duration)]
    pub blocked: Duration,
    /// Tell of connects that fail before their SYN where the kernel refuses the programs that see them for nothing:
    /// every system call of the host then takes some 30 ns longer
    #[arg(long)]
    pub connect_errors: bool,
    /// Do not read the command lines of processes: they may hold secrets
    #[arg(long)]
    pub no_cmdline: bool,
    /// Load BPF programs that say why they filter an event or know no owner, on standard error; they cost more
    #[arg(long)]
    pub debug_bpf: bool,
    /// Do as if the kernel refused this program; for tests of what takes its place
    #[arg(long, hide = true, value_name = "NAME", value_parser = program)]
    pub without_program: Vec<String>,
}

/// How events are printed.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printed {
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
    /// Print times in UTC instead of the host's zone
    #[arg(long)]
    pub utc: bool,
}
