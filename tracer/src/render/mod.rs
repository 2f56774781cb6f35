//! What users and tools read.
//!
//! Renderers are pure: they take what happened and a [`Clock`], and give text that ends with a newline.
//! Text is for people and fits into [`text::COLUMNS`] columns; JSON is the contract for everything else.
//! Both are safe to print on a terminal, whatever a process called itself ([`escape`]).

pub mod app_log;
pub mod diff;
#[cfg(feature = "capture")]
pub mod doctor;
pub mod explain;
pub mod info;
pub mod json;
pub mod progress;
pub mod report;
pub mod sample;
mod table;
#[cfg(test)]
mod tests;
pub mod text;
mod time;

pub use time::Clock;

use tracer_diagnose::Report;
use tracer_model::escape;
use tracer_model::event::{Counted, Event, Totals};
use tracer_model::samples::{Change, Sample};

/// How output looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renderer {
    /// Lines for people.
    Text {
        /// With colours (ANSI escape sequences).
        colour: bool,
    },
    /// One JSON object per line.
    Json,
}

impl Renderer {
    /// What stands above the events, once and on a terminal; `None` for JSON.
    pub fn header(&self) -> Option<String> {
        match self {
            Self::Text { colour } => Some(text::header(*colour)),
            Self::Json => None,
        }
    }

    /// The line of an event.
    pub fn event(&self, event: &Event, clock: &Clock) -> String {
        match self {
            Self::Text { colour } => text::event(event, clock, *colour),
            Self::Json => json::event(event, clock),
        }
    }

    /// The line of a sample of counters.
    pub fn sample(&self, of: &Sample, clock: &Clock) -> String {
        match self {
            Self::Text { .. } => sample::sample_text(of, clock),
            Self::Json => sample::sample_json(of, clock),
        }
    }

    /// The line of a change of the network's configuration.
    pub fn change(&self, change: &Change, clock: &Clock) -> String {
        match self {
            Self::Text { .. } => sample::change_text(change, clock),
            Self::Json => sample::change_json(change, clock),
        }
    }

    /// The line of a trigger of the flight recorder.
    pub fn trigger(&self, boot_ns: u64, expression: &str, clock: &Clock) -> String {
        match self {
            Self::Text { .. } => {
                let time = clock.time_of_day(boot_ns).unwrap_or_default();
                format!("{time} trigger {}\n", escape::name(expression.as_bytes()))
            }
            Self::Json => json::trigger(boot_ns, expression, clock),
        }
    }

    /// A line that says which host it is from, where lines of several stand together: in text in front, in JSON as
    /// the last key.
    pub fn of_host(&self, line: String, host: &str) -> String {
        match (self, line.strip_suffix("}\n")) {
            (Self::Json, Some(line)) => {
                let host = serde_json::Value::from(host).to_string();
                escape::json(format!("{line},\"host\":{host}}}\n"))
            }
            _ => format!("{} {line}", escape::name(host.as_bytes())),
        }
    }

    /// What was counted instead of listed; empty when nothing was.
    pub fn counted(&self, counts: &[Counted], clock: &Clock) -> String {
        match self {
            Self::Text { .. } => table::counted(counts),
            Self::Json => counts
                .iter()
                .map(|counted| json::counted(counted, clock))
                .collect(),
        }
    }

    /// A report, totals included.
    pub fn report(&self, of: &Report) -> String {
        match self {
            Self::Text { colour } => {
                report::text(of, *colour) + "\n" + &self.totals(&of.observed.coverage.totals)
            }
            Self::Json => report::json(of),
        }
    }

    /// The end of a run.
    pub fn totals(&self, totals: &Totals) -> String {
        match self {
            Self::Text { .. } => table::totals(totals),
            Self::Json => json::totals(totals),
        }
    }
}
