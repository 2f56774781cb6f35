//! What is shown: a line per number.

use serde_json::{Value, json};

/// What a number should be.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// One number.
pub struct Line {
    what: &'static str,
    unit: &'static str,
    value: f64,
    aim: Aim,
}

/// Stands above the lines of text.
pub const HEADER: &str = "what                                          measured          aim";

impl Line {
    pub fn new(what: &'static str, unit: &'static str, value: f64, aim: Aim) -> Self {
        Self {
            what,
            unit,
            value,
            aim,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.aim {
            Aim::None => "",
            Aim::AtMost(most) if self.value <= most => "met",
            Aim::AtLeast(least) if self.value >= least => "met",
            _ => "MISSED",
        }
    }

    pub fn text(&self) -> String {
        let digits = if self.value.fract() == 0.0 { 0 } else { 2 };
        let aim = match self.aim {
            Aim::None => String::new(),
            Aim::AtMost(most) => format!("≤ {most}"),
            Aim::AtLeast(least) => format!("≥ {least}"),
        };
        let line = format!(
            "{:<40} {:>12.digits$} {:<4} {aim:>8} {}",
            self.what,
            self.value,
            self.unit,
            self.verdict()
        );
        line.trim_end().to_owned()
    }

    pub fn json(&self) -> Value {
        let (at_most, at_least) = match self.aim {
            Aim::None => (None, None),
            Aim::AtMost(most) => (Some(most), None),
            Aim::AtLeast(least) => (None, Some(least)),
        };
        json!({
            "type": "bench",
            "what": self.what,
            "unit": self.unit,
            "value": self.value,
            "at_most": at_most,
            "at_least": at_least,
            "verdict": self.verdict(),
        })
    }
}
