//! The arguments of `sendtrace selftest`.

use clap::Args;

use super::{Color, Format, Json, values};

const HELP: &str = "\
Real sockets of two processes fail to send, in a network namespace (and a cgroup) that nobody else is in; \
sendtrace itself, started as `sendtrace live`, must name the process, the flow and the reason of every \
failure. Nothing else on the host is touched, and nothing remains. Takes a few seconds.

Each check ends as
  pass         seen, exactly once, with the right owner, flow and code
  fail         promised by `sendtrace doctor`, and not seen or wrong
  unsupported  not possible on this host; the text says why

Examples:
  sendtrace selftest
      Once before you trust the tool on this host.
  sendtrace selftest --format json > selftest.jsonl
      One line per check, for machines.

Exit status: 0 no check failed, 1 a check failed or the test could not run, 2 wrong usage.";

/// `sendtrace selftest`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Selftest {
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
    /// Print first what `sendtrace doctor` says, from the same try of every program
    #[arg(long)]
    pub with_doctor: bool,
    /// Do as if the kernel refused this program; for tests of what takes its place
    #[arg(long, hide = true, value_name = "NAME", value_parser = values::program)]
    pub without_program: Vec<String>,
    /// Be one of the processes of the test, under this name.
    #[arg(long, hide = true, value_name = "NAME")]
    pub actor: Option<String>,
    /// And of this user.
    #[arg(long, hide = true, value_name = "UID", requires = "actor")]
    pub actor_uid: Option<u32>,
}
