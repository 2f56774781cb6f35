//! What a finished run said, and the equations that it must fulfil.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use serde_json::Value;

/// A finished run.
pub struct Run {
    pub arguments: String,
    /// Lines of type `event`, in order (the first 20,000 and every retransmit).
    pub events: Vec<Value>,
    /// Lines of type `counted`.
    pub counted: Vec<Value>,
    /// The object `events` of the last line.
    pub totals: Value,
    pub tally: Tally,
    pub stderr: String,
    pub exit: ExitStatus,
}

/// Sums over every line of a run, kept also when the lines themselves are not.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub event_kinds: BTreeMap<String, Counts>,
}

/// Sums over the lines of one event kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines of type `event`.
    pub lines: u64,
    /// Of these, lines whose `count` is above 1: aggregates.
    pub aggregates: u64,
    /// Sum of `count` of these lines.
    pub events: u64,
    /// Sum of `count` of lines of type `counted`.
    pub counted: u64,
}

impl Tally {
    /// Adds a line. Reads the text itself: a flood has more lines than a parser in a debug build can take.
    pub(crate) fn add(&mut self, line: &str) {
        let Some(event_kind) = after(line, r#""event":""#).and_then(|rest| rest.split('"').next())
        else {
            return;
        };
        let count = after(line, r#""count":"#)
            .map(|rest| {
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()
                    .unwrap_or("")
            })
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(1);
        let counts = self.event_kinds.entry(event_kind.to_owned()).or_default();
        if line.starts_with(r#"{"type":"event""#) {
            counts.lines += 1;
            counts.aggregates += u64::from(count > 1);
            counts.events += count;
        } else if line.starts_with(r#"{"type":"counted""#) {
            counts.counted += count;
        }
    }

    /// The sums of one event kind.
    pub fn of(&self, event_kind: &str) -> Counts {
        self.event_kinds
            .get(event_kind)
            .copied()
            .unwrap_or_default()
    }
}

fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.find(key).map(|at| &line[at + key.len()..])
}

impl Run {
    pub(crate) fn new(
        arguments: String,
        lines: Vec<Value>,
        tally: Tally,
        last: Option<Value>,
        stderr: String,
        exit: ExitStatus,
    ) -> Self {
        let last = last.unwrap_or_default();
        let story = || {
            format!(
                "sendtrace {arguments}\n{}",
                describe(&lines, &tally, &stderr)
            )
        };
        assert_eq!(
            last["type"],
            "totals",
            "the last line must be the totals: {}",
            story()
        );
        let of_type = |kind: &str| {
            lines
                .iter()
                .filter(|line| line["type"] == kind)
                .cloned()
                .collect::<Vec<_>>()
        };
        Self {
            events: of_type("event"),
            counted: of_type("counted"),
            totals: last["events"].clone(),
            arguments,
            tally,
            stderr,
            exit,
        }
    }

    /// One number of the totals.
    pub fn total(&self, event_kind: &str, key: &str) -> u64 {
        self.totals[event_kind][key]
            .as_u64()
            .unwrap_or_else(|| panic!("totals.{event_kind}.{key}: {}", self.totals))
    }

    /// The events of one kind for which this is true.
    pub fn events(&self, event_kind: &str, mut wanted: impl FnMut(&Value) -> bool) -> Vec<&Value> {
        self.events
            .iter()
            .filter(|event| event["event"] == event_kind && wanted(event))
            .collect()
    }

    /// Exit status 0, and for every event kind: `seen = filtered + emitted + aggregated`,
    /// `emitted = delivered + lost`, and what was printed is what was delivered and aggregated.
    pub fn assert_totals(&self) {
        let story = || {
            format!(
                "sendtrace {}\ntotals {}\n{}",
                self.arguments,
                self.totals,
                describe(&self.events, &self.tally, &self.stderr)
            )
        };
        assert!(self.exit.success(), "{}: {}", self.exit, story());
        let event_kinds = self
            .totals
            .as_object()
            .unwrap_or_else(|| panic!("totals.events: {}", story()));
        assert!(!event_kinds.is_empty(), "no totals: {}", story());
        // Event kinds that were not asked for have no totals, and no lines either.
        for event_kind in self
            .tally
            .event_kinds
            .keys()
            .filter(|event_kind| *event_kind != "lost")
        {
            assert!(
                event_kinds.contains_key(event_kind),
                "lines but no totals of {event_kind}: {}",
                story()
            );
        }
        for event_kind in event_kinds.keys() {
            let get = |key| self.total(event_kind, key);
            assert_eq!(
                get("seen"),
                get("filtered") + get("emitted") + get("aggregated"),
                "{event_kind}: {}",
                story()
            );
            assert_eq!(
                get("emitted"),
                get("delivered") + get("lost"),
                "{event_kind}: {}",
                story()
            );
            let printed = self.tally.of(event_kind);
            assert_eq!(
                printed.events + printed.counted,
                get("delivered") + get("aggregated"),
                "{event_kind}: printed {printed:?}: {}",
                story()
            );
            // An aggregate of a single event looks like an event, so with aggregates this is a lower bound.
            let singles = printed.lines - printed.aggregates;
            if get("aggregated") == printed.counted {
                assert_eq!(singles, get("delivered"), "{event_kind}: {}", story());
            } else {
                assert!(singles >= get("delivered"), "{event_kind}: {}", story());
            }
        }
    }

    /// As [`Run::assert_totals`], and nothing was lost or aggregated: every event of the run is a line.
    pub fn assert_complete(&self) {
        self.assert_totals();
        for event_kind in self
            .totals
            .as_object()
            .into_iter()
            .flat_map(|event_kinds| event_kinds.keys())
        {
            assert_eq!(
                self.total(event_kind, "lost"),
                0,
                "{event_kind}: {}",
                self.totals
            );
        }
    }
}

/// The last lines and stderr, for the message of a failed wait.
pub(crate) fn describe(lines: &[Value], tally: &Tally, stderr: &str) -> String {
    let mut story = format!(
        "tally: {:?}\nlast lines of {}:\n",
        tally.event_kinds,
        lines.len()
    );
    for line in lines.iter().rev().take(12).rev() {
        story.push_str(&format!("  {line}\n"));
    }
    story.push_str(&format!("stderr:\n{stderr}"));
    story
}
