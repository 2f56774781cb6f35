//! Notes: everything in a trace that is no event, as JSON objects.
//!
//! They are few, and read by people and other tools as well; a note or key that is not known is skipped.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::events::{kind_number, kind_of};
use super::wire::Malformed;
use tracer_model::event::{CountedKind, EventKind, Totals};
use tracer_model::samples::{Change, Sample};

/// No note is longer than this as JSON, bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// Lists and objects of a note are nested no deeper.
pub const MOST_DEPTH: usize = 64;

/// What a list or an object takes in memory at most, and each of its values, bytes: with the copy that is made of
/// both before it is known which note it is.
const CONTAINER: usize = 1024;
const VALUE: usize = 256;

/// What a note takes in memory at most once it is read, bytes.
///
/// # Errors
/// When it is longer than [`MOST_BYTES`], or deeper than [`MOST_DEPTH`].
pub(crate) fn memory(json: &[u8]) -> Result<usize, Malformed> {
    if json.len() > MOST_BYTES {
        return Err(Malformed("a note is too long"));
    }
    let (mut depth, mut memory) = (0_usize, 2 * json.len());
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                memory += CONTAINER;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => memory += VALUE,
            b'"' => {
                // To the end of the string: what stands in it is no structure.
                while let Some(byte) = bytes.next()
                    && *byte != b'"'
                {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => {}
        }
        if depth > MOST_DEPTH {
            return Err(Malformed("a note is nested too deeply"));
        }
    }
    Ok(memory)
}

/// Stands for a note that was too long to be written.
pub(crate) fn left_out(bytes: usize) -> Vec<u8> {
    format!(r#"{{"note":"left_out","bytes":{bytes}}}"#).into_bytes()
}

/// A note. `note` in the JSON says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Where, when and with what was recorded; in every block with [`super::layout::flag::START`].
    Header(Map<String, Value>),
    /// What the wall clock said.
    Anchor(Anchor),
    /// What has been counted since the recording began.
    Counters(Counters),
    /// Counters of the host, as differences.
    Sample(Box<Sample>),
    /// A route, neighbour, link or address changed.
    Change(Box<Change>),
    /// Blocks that could not be written.
    Gap(Gap),
    /// A trigger of the flight recorder fired.
    Trigger(Fired),
    /// A row of what was counted instead of listed.
    Counted(CountedRow),
    /// The totals of the recording.
    Totals(Counters),
    /// A note of a newer tool.
    #[serde(untagged)]
    Unknown(Map<String, Value>),
}

impl Note {
    /// When it was made, nanoseconds of CLOCK_BOOTTIME, where it says so.
    pub fn boot_ns(&self) -> Option<u64> {
        match self {
            Self::Sample(sample) => Some(sample.boot_ns).filter(|boot_ns| *boot_ns != 0),
            Self::Change(change) => Some(change.boot_ns),
            Self::Anchor(anchor) => Some(anchor.boot_ns),
            Self::Counters(counters) | Self::Totals(counters) => Some(counters.boot_ns),
            Self::Gap(gap) => Some(gap.last_boot_ns),
            Self::Trigger(fired) => Some(fired.boot_ns),
            Self::Header(_) | Self::Counted(_) | Self::Unknown(_) => None,
        }
    }
}

/// Wall clock and boot clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot_ns: u64,
    /// CLOCK_REALTIME, nanoseconds since 1970.
    pub wall_ns: i64,
    /// Why it was taken.
    pub why: AnchorWhy,
}

/// Why an anchor was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorWhy {
    /// The recording began.
    Start,
    /// A minute has passed.
    Periodic,
    /// The wall clock was set.
    Step,
}

/// The counters of all event kinds, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// When they were read, nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    #[serde(flatten)]
    pub totals: Totals,
}

/// What could not be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Time of the first missing event, nanoseconds of CLOCK_BOOTTIME.
    pub first_boot_ns: u64,
    /// Time of the last missing event, nanoseconds of CLOCK_BOOTTIME.
    pub last_boot_ns: u64,
    /// Blocks that are missing.
    pub blocks: u64,
    /// Events that are missing, per event kind.
    pub events: Vec<(String, u64)>,
    /// What the system said, or why else.
    pub why: String,
}

/// A trigger of the flight recorder fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// When, nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// As typed, or the signal that was sent.
    pub expression: String,
}

/// See [`tracer_model::event::Counted`]; owner and flow are rows of the block's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CountedRow {
    #[serde(alias = "signal")]
    pub event: u64,
    pub kind: String,
    pub code: Option<String>,
    pub count: u64,
    pub bytes: Option<u64>,
    pub first_boot_ns: Option<u64>,
    pub last_boot_ns: Option<u64>,
    pub owner: Option<u64>,
    pub flow: Option<u64>,
}

impl CountedRow {
    /// A row, with its owner and flow as rows of tables.
    pub fn new(
        counted: &tracer_model::event::Counted,
        owner: Option<u64>,
        flow: Option<u64>,
    ) -> Self {
        Self {
            event: kind_number(counted.event_kind),
            kind: counted.kind.name().to_owned(),
            code: counted.code.clone(),
            count: counted.count,
            bytes: counted.bytes,
            first_boot_ns: counted.first_boot_ns,
            last_boot_ns: counted.last_boot_ns,
            owner,
            flow,
        }
    }

    /// The kind of the events and why they were counted, where this tool knows them.
    pub fn what(&self) -> Option<(EventKind, CountedKind)> {
        let event_kind = kind_of(self.event).ok()?;
        let mut kinds = CountedKind::ALL.into_iter();
        Some((event_kind, kinds.find(|kind| kind.name() == self.kind)?))
    }
}
