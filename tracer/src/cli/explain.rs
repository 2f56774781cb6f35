//! The arguments of `sendtrace explain`.

use clap::Args;

use super::{Color, Format, Json};

const HELP: &str = "\
Words are what the other commands print: errnos (by name or number), causes and outcomes of retransmits, reasons of \
drops and RSTs, codes of devices, TCP states, grades of owners, counters, and the causes, symptoms and layers of a \
report. Case does not matter. A word that means several things gets all its meanings.

Examples:
  sendtrace explain ECOMM
  sendtrace explain rto QDISC_DROP 110
  sendtrace explain
      Everything that can be explained, by kind.";

/// `sendtrace explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Explain {
    /// What to explain; without it, what can be explained is listed
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
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
