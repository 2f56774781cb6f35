//! What is shown: a table for people, or one JSON object per line.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::measure::{Bench, Samples};
use crate::rest::Rest;
use crate::scene::{Row, SCENES};
use crate::statistics::{Median, median};
use crate::walk::{WALKS, Walk};

/// Aims for the program itself.
const READY_MS: f64 = 500.0;
const IDLE_PERCENT: f64 = 0.2;
const MEMORY_MIB: f64 = 40.0;

/// One line of the result.
pub struct Line {
    what: &'static str,
    program: String,
    unit: &'static str,
    value: Option<Median>,
    /// Interval of the control.
    noise: Option<Median>,
    rounds: usize,
    runs: u64,
    aim: Option<f64>,
}

impl Line {
    /// An aim is met or missed when the whole interval is on that side of it.
    fn verdict(&self) -> &'static str {
        match (self.value, self.aim) {
            (None, _) => "not measured",
            (_, None) => "",
            (Some(value), Some(aim)) if value.high <= aim => "met",
            (Some(value), Some(aim)) if value.low > aim => "MISSED",
            _ => "unclear",
        }
    }
}

/// A line per row of the scenes.
pub fn hooks(bench: &Bench, samples: &Samples) -> Vec<Line> {
    let rows = SCENES.iter().flat_map(|scene| scene.rows);
    rows.map(|row| hook(bench, samples, row)).collect()
}

fn hook(bench: &Bench, samples: &Samples, row: &Row) -> Line {
    let found = samples.of(row);
    let mut values: Vec<f64> = found.iter().map(|sample| sample.above_empty).collect();
    if let Some(others) = row.beside.map(|other| samples.of_name(other)) {
        let other = median(
            &others
                .iter()
                .map(|sample| sample.above_empty)
                .collect::<Vec<_>>(),
        );
        match other {
            Some(other) => values
                .iter_mut()
                .for_each(|value| *value = 2.0 * *value - other.value),
            None => values.clear(),
        }
    }
    let noise: Vec<f64> = found.iter().map(|sample| sample.noise).collect();
    Line {
        what: row.what,
        program: bench
            .program(row)
            .unwrap_or_else(|| "(not here)".to_owned()),
        unit: "ns",
        value: median(&values),
        noise: median(&noise),
        rounds: values.len(),
        runs: found.iter().map(|sample| sample.runs).sum(),
        aim: row.aim_ns,
    }
}

/// What a quiet walk may add to a trace, bytes.
const QUIET_BYTES: f64 = 1024.0;

const fn single(value: f64) -> Median {
    Median {
        value,
        low: value,
        high: value,
    }
}

/// The lines about walks over open sockets.
pub fn walks(walks: &[Walk]) -> Vec<Line> {
    let line = |what, unit, value, aim, rounds| Line {
        what,
        program: "walk_sockets".to_owned(),
        unit,
        value: Some(value),
        noise: None,
        rounds,
        runs: 0,
        aim,
    };
    let mut lines: Vec<_> = walks
        .iter()
        .map(|walk| Line {
            runs: walk.sockets,
            ..line(walk.what, "ms", walk.ms, walk.aim_ms, WALKS)
        })
        .collect();
    let bytes = walks.iter().map(|walk| walk.bytes).max().unwrap_or(0);
    lines.push(line(
        "a quiet walk in a trace, unpacked",
        "B",
        single(bytes as f64),
        Some(QUIET_BYTES),
        WALKS,
    ));
    lines
}

/// The lines about the program itself.
pub fn rest(rest: &Rest) -> Vec<Line> {
    let line = |what, unit, value: Median, aim, rounds| Line {
        what,
        program: "sendtrace live".to_owned(),
        unit,
        value: Some(value),
        noise: None,
        rounds,
        runs: 0,
        aim,
    };
    vec![
        line(
            "ready after the start",
            "ms",
            rest.ready_ms,
            Some(READY_MS),
            crate::rest::STARTS,
        ),
        line(
            "idle, of one core",
            "%",
            rest.cpu_percent,
            Some(IDLE_PERCENT),
            crate::rest::WATCHES,
        ),
        line(
            "resident beside the rings",
            "MiB",
            single(rest.memory_mib),
            Some(MEMORY_MIB),
            1,
        ),
        line(
            "resident of the rings",
            "MiB",
            single(rest.rings_mib),
            None,
            1,
        ),
    ]
}

/// The table.
pub fn text(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<36} {:<15} {:>8} {:<4} {:>16} {:>15} {:>7} {:>8} {:>5}\n",
        "what", "program", "median", "", "95 %", "noise (A/A)", "rounds", "runs", "aim"
    );
    for line in lines {
        let digits = if line.unit == "%" { 3 } else { 1 };
        let range = |median: Option<Median>| {
            median.map_or_else(String::new, |m| {
                format!("{:.digits$} .. {:.digits$}", m.low, m.high)
            })
        };
        let value = line
            .value
            .map_or_else(String::new, |median| format!("{:.digits$}", median.value));
        let runs = if line.runs == 0 {
            String::new()
        } else {
            line.runs.to_string()
        };
        let aim = line.aim.map_or_else(String::new, |aim| aim.to_string());
        let row = format!(
            "{:<36} {:<15} {value:>8} {:<4} {:>16} {:>15} {:>7} {runs:>8} {aim:>5} {}",
            line.what,
            line.program,
            line.unit,
            range(line.value),
            range(line.noise),
            line.rounds,
            line.verdict()
        );
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// One object per line; what was not measured is null.
pub fn json(line: &Line) -> Value {
    json!({
        "type": "bench",
        "what": line.what,
        "program": line.program,
        "unit": line.unit,
        "median": line.value.map(|median| median.value),
        "low": line.value.map(|median| median.low),
        "high": line.value.map(|median| median.high),
        "noise_low": line.noise.map(|median| median.low),
        "noise_high": line.noise.map(|median| median.high),
        "rounds": line.rounds,
        "runs": line.runs,
        "aim": line.aim,
        "verdict": line.verdict(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(low: f64, high: f64) -> &'static str {
        let value = Some(Median {
            value: f64::midpoint(low, high),
            low,
            high,
        });
        let program = String::new();
        Line {
            what: "",
            program,
            unit: "ns",
            value,
            noise: None,
            rounds: 1,
            runs: 1,
            aim: Some(25.0),
        }
        .verdict()
    }

    #[test]
    fn an_aim_inside_of_the_interval_is_neither_met_nor_missed() {
        assert_eq!(verdict(20.0, 25.0), "met");
        assert_eq!(verdict(20.0, 26.0), "unclear");
        assert_eq!(verdict(25.1, 26.0), "MISSED");
    }
}
