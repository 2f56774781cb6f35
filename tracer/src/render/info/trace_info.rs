//! What one recording is.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::render::Clock;
use tracer_format::note::Gap;
use tracer_model::event::{EventKind, Totals};

/// So many gaps and pieces of damage are listed; the rest is counted.
const LISTED: usize = 20;

/// How a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// With its totals.
    Cleanly,
    /// Without: the recorder was killed, or the end is missing.
    #[default]
    CutOff,
    /// A window of the flight recorder: it got its name when it was complete.
    Window,
    /// Somebody is writing it.
    NotYet,
}

impl Ended {
    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cleanly => "cleanly",
            Self::CutOff => "cut_off",
            Self::Window => "window",
            Self::NotYet => "not_yet",
        }
    }
}

/// What there is of an event kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events in the trace.
    pub events: u64,
    /// How many they stand for: more when some are aggregated.
    pub count: u64,
}

/// The first of many, and how many there are.
#[derive(Debug)]
pub struct Listed<T> {
    pub all: u64,
    pub first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            all: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Listed<T> {
    pub fn add(&mut self, one: T) {
        self.all += 1;
        if self.first.len() < LISTED {
            self.first.push(one);
        }
    }
}

/// What one recording is.
#[derive(Debug)]
pub struct TraceInfo {
    /// As the user named it.
    pub name: String,
    pub trace_id: Option<[u8; 16]>,
    /// The note `header`.
    pub facts: Map<String, Value>,
    pub zone: TimeZone,
    /// Of the first event, or block: CLOCK_BOOTTIME and wall clock, nanoseconds.
    pub first: Option<(u64, i128)>,
    /// Of the end of the last block.
    pub last: Option<(u64, i128)>,
    pub segments: u64,
    pub blocks: u64,
    /// Of whole blocks.
    pub bytes: u64,
    /// In the order of [`EventKind::ALL`].
    pub counts: [Count; EventKind::ALL.len()],
    pub totals: Totals,
    pub samples: u64,
    pub changes: u64,
    pub triggers: u64,
    /// Rows of what was counted instead of listed.
    pub counted: u64,
    pub clock_steps: u32,
    /// With the wall times of the first and last event that are missing, nanoseconds.
    pub gaps: Listed<(Gap, i128, i128)>,
    pub damage: Listed<String>,
    pub damaged_bytes: u64,
    pub missing_blocks: u64,
    /// Blocks that pass their checksum and are not what the format says.
    pub malformed: u64,
    /// Behind the last block.
    pub torn_bytes: u64,
    pub ended: Ended,
}

impl Default for TraceInfo {
    fn default() -> Self {
        Self {
            name: String::new(),
            trace_id: None,
            facts: Map::new(),
            zone: TimeZone::UTC,
            first: None,
            last: None,
            segments: 0,
            blocks: 0,
            bytes: 0,
            counts: Default::default(),
            totals: Totals::default(),
            samples: 0,
            changes: 0,
            triggers: 0,
            counted: 0,
            clock_steps: 0,
            gaps: Listed::default(),
            damage: Listed::default(),
            damaged_bytes: 0,
            missing_blocks: 0,
            malformed: 0,
            torn_bytes: 0,
            ended: Ended::default(),
        }
    }
}

impl TraceInfo {
    /// Events of all kinds.
    pub fn events(&self) -> u64 {
        self.counts.iter().map(|count| count.events).sum()
    }

    /// Bytes per event on disk, everything that stands beside them included.
    pub fn bytes_per_event(&self) -> Option<f64> {
        let events = self.events();
        (events > 0).then(|| self.bytes as f64 / events as f64)
    }

    /// From the first to the last, nanoseconds.
    pub fn duration_ns(&self) -> Option<u64> {
        let (first, last) = self.first.zip(self.last)?;
        Some(last.0.saturating_sub(first.0))
    }

    /// A wall time in the zone of the host that recorded.
    pub fn time(&self, wall_ns: i128) -> Option<String> {
        let clock = Clock {
            wall_minus_boot_ns: wall_ns,
            zone: self.zone.clone(),
        };
        clock.rfc3339(0)
    }

    /// A fact of the header that is text.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.get(key)?.as_str()
    }

    /// A fact of the header that is a list of texts.
    pub fn facts(&self, key: &str) -> Vec<&str> {
        let all = self.facts.get(key).and_then(Value::as_array);
        all.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Is anything damaged? An end that was cut off is not.
    pub fn is_damaged(&self) -> bool {
        self.damage.all > 0 || self.malformed > 0
    }
}
