//! The command line as typed: clap types and the parsers of their values. What they mean is decided in
//! [`crate::filter`]; nothing here looks at the host.

mod selftest;

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use tracer_common::ERRNO_WORDS;

use crate::event::Signal;

pub use selftest::Selftest;

const EXAMPLES: &str = "\
Examples:
  sendtrace live
      Every failure to send on this host, until Ctrl-C.
  sendtrace live --pid 4242 --follow --duration 5m
      One process and its children, for five minutes.
  sendtrace live --remote 10.0.0.0/8 --port 443,8443 --signal retransmit,reset
      Retransmits and resets between this host and a network.
  sendtrace live --errno ECOMM --format json > night.jsonl
      Sends that fail with errno 70, one JSON object per line.
  sendtrace doctor
      What this host offers, and what its limits cost.
  sendtrace selftest
      Whether it does on this host what it promises.

Exit status: 0 done, 1 failed (the message says what to do next), 2 wrong usage.";

const LIVE_HELP: &str = "\
Filters of different kinds must all match; values of one kind are alternatives. They run in the kernel: a \
filtered event costs no room in the ring.

Units:
  durations  500ms, 30s, 5m, 1h30m
  sizes      bytes, or with K, M or G (powers of 1024): 64K, 8M
  times      of the host's zone with milliseconds; --format json has nine digits and boot_ns beside

Examples:
  sendtrace live --comm batchd --signal send_error --would-block
  sendtrace live --netns pid:4242 --remote 2001:db8::/32 --count 100
  sendtrace live --cgroup /system.slice/batch.service --errno ECOMM,ENOBUFS";

/// Who cannot send, to whom, and why.
#[derive(Parser, Clone, Debug)]
#[command(name = "sendtrace", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
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
#[expect(clippy::large_enum_variant, reason = "there is one, parsed once")]
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Print each failure to send as it happens, with its process and its destination (needs root)
    Live(Live),
    /// Say what this host offers, which hook serves each signal, and what is missing
    Doctor(Doctor),
    /// Provoke every signal in a network namespace of its own, and check that each is seen (needs root)
    Selftest(Selftest),
}

/// `sendtrace live`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LIVE_HELP)]
pub struct Live {
    /// Stop after this time, for example 30s, 5m or 1h30m
    #[arg(long, value_name = "T", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Stop after this many events
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<u64>,
    /// Text for people, or JSON: one object per line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: Format,
    /// Events listed per signal and second; those beyond are counted per flow
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = positive)]
    pub rate: u64,
    /// Memory of all rings together, in bytes or with K, M, G; each ring's part is a power of two
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = ring_size)]
    pub ring: u64,
    /// List sends that would block (EAGAIN) one by one, instead of counting them
    #[arg(long)]
    pub would_block: bool,
    /// Colours in text output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
    /// Print times in UTC instead of the host's zone
    #[arg(long)]
    pub utc: bool,
    /// Which events. Last, because its heading in the help goes for all that follows.
    #[command(flatten)]
    pub filters: Filters,
}

/// `sendtrace doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Only print the facts that hooks are chosen from, as JSON: goes well with a bug report
    #[arg(long, conflicts_with_all = ["format", "color"])]
    pub facts: bool,
    /// Text for people, or JSON: one object per line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: Format,
    /// Colours in text output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
}

/// Which events: the same words on every command. Values are alternatives, kinds must all match.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Processes, by id
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = pid)]
    pub pid: Vec<u32>,
    /// Take the children of --pid along
    #[arg(long, requires = "pid")]
    pub follow: bool,
    /// Processes, by name as the kernel keeps it (15 bytes at most)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = comm_parser())]
    pub comm: Vec<Comm>,
    /// Processes in a cgroup (v2) or below it
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub cgroup: Option<String>,
    /// Network namespace: a name of ip-netns(8), a path, pid:N, or its inode number
    #[arg(long, value_name = "NETNS", value_parser = NonEmptyStringValueParser::new())]
    pub netns: Option<String>,
    /// Ports, local or remote
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port)]
    pub port: Vec<u16>,
    /// Remote addresses or networks, for example 10.0.0.0/8 or 2001:db8::1
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = remote)]
    pub remote: Vec<IpNet>,
    /// Protocols
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    pub proto: Vec<Proto>,
    /// Signals: retransmit, send_error, drop, device, reset, connection; and send, every send that succeeds,
    /// which is off unless named here
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = signal)]
    pub signal: Vec<Signal>,
    /// Errors of sends and connections, by name or number, for example ECOMM or 70
    #[arg(long, value_name = "ERRNO", value_delimiter = ',', value_parser = errno)]
    pub errno: Vec<u32>,
}

/// How a report is written.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
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

/// What `--proto` knows. `tcp` includes MPTCP, `icmp` ICMPv6; `raw` is raw sockets of IP,
/// whatever their protocol, `unix` every type of unix socket.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Udp,
    Udplite,
    Sctp,
    Icmp,
    Raw,
    Unix,
    Packet,
    Netlink,
    Can,
}

/// `comm` of a process, NUL-padded as the kernel keeps it (`TASK_COMM_LEN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comm(pub [u8; 16]);

/// Default of `--rate`, events per second and signal.
pub const DEFAULT_RATE: u64 = 5000;
/// Least `--ring`, bytes.
pub const RING_MIN: u64 = 64 << 10;
/// Most `--ring`, bytes.
pub const RING_MAX: u64 = 1 << 30;

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("a duration longer than 0 is needed, for example 30s".to_string()),
        Err(_) => Err("expected a number with a unit, for example 30s, 5m or 1h30m".to_string()),
    }
}

fn positive(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| "expected a whole number above 0, for example 100".to_string())
}

fn ring_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (RING_MIN..=RING_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("expected a size from 64K to 1G".to_string())
    }
}

/// Bytes, or bytes with a binary unit: `65536`, `64K`, `64KiB`, `8M`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            "expected bytes, or a number with K, M or G, for example 64K or 8M".to_string()
        })
}

fn pid(text: &str) -> Result<u32, String> {
    // PID_MAX_LIMIT of the kernel is 2^22, but any pid_t is a clear "no process" later.
    text.parse()
        .ok()
        .filter(|pid| (1..=i32::MAX as u32).contains(pid))
        .ok_or_else(|| {
            "expected a process id, for example 4242; for a process name use --comm".to_string()
        })
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| "expected a port from 1 to 65535, for example 443".to_string())
}

fn remote(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    IpNet::from_str(text).map_err(|_| {
        "expected an address or a network in CIDR form, for example 10.0.0.12, 10.0.0.0/8 or \
         2001:db8::/32"
            .to_string()
    })
}

fn signal(text: &str) -> Result<Signal, String> {
    match Signal::from_str(text) {
        Ok(Signal::Lost) => Err("lost events are always shown: leave it out".to_string()),
        Ok(signal) => Ok(signal),
        Err(_) => {
            let names: Vec<_> = Signal::ALL
                .iter()
                .filter(|signal| **signal != Signal::Lost)
                .map(|s| s.name())
                .collect();
            Err(format!("expected one of {}", names.join(", ")))
        }
    }
}

fn errno(text: &str) -> Result<u32, String> {
    let errno = crate::errno::parse(text)?;
    if errno == 0 || errno as usize >= ERRNO_WORDS * 64 {
        return Err(format!(
            "expected an errno from 1 to {}, for example 70 or ECOMM",
            ERRNO_WORDS * 64 - 1
        ));
    }
    Ok(errno)
}

fn comm_parser() -> impl TypedValueParser<Value = Comm> {
    OsStringValueParser::new().try_map(|text: OsString| comm(&text))
}

fn comm(text: &OsStr) -> Result<Comm, String> {
    let bytes = text.as_bytes();
    let mut comm = [0; 16];
    match bytes.len() {
        0 => Err("expected a process name, for example batchd".to_string()),
        1..=15 => {
            comm[..bytes.len()].copy_from_slice(bytes);
            Ok(Comm(comm))
        }
        _ => Err(format!(
            "the kernel cuts names at 15 bytes: use \"{}\"",
            String::from_utf8_lossy(&bytes[..15]).escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests;
