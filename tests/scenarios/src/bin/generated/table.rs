//! What was found of what was there: a line for each seed, and a table for all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scenarios::generated::Verdict;

use crate::round::Line;

/// More findings of high confidence than this may not be wrong in a run.
const WRONG_HIGH: usize = 3;

/// How often each confidence was right.
#[derive(Default)]
pub struct Count {
    pub right: usize,
    pub wrong: usize,
    /// Findings that say themselves that the cause is not known.
    pub open: usize,
}

/// The fate of one kind.
#[derive(Default)]
pub struct Row<'a> {
    pub wanted: &'a str,
    pub played: usize,
    pub high: usize,
    pub medium: usize,
    pub low: usize,
    pub open: usize,
    pub silent: usize,
    /// Healthy, and nothing was found.
    pub well: usize,
    /// Said in its place, or beside it: what, and how often.
    pub wrong: BTreeMap<String, usize>,
}

pub const CONFIDENCES: [&str; 3] = ["high", "medium", "low"];

pub fn judged(lines: &[Line]) -> impl Iterator<Item = (&Line, &Verdict)> {
    lines
        .iter()
        .filter_map(|line| Some((line, line.verdict.as_ref()?)))
}

pub fn calibration(lines: &[Line]) -> [Count; 3] {
    CONFIDENCES.map(|confidence| {
        let mut count = Count::default();
        for (_, verdict) in judged(lines) {
            let of = |words: &[String]| words.iter().filter(|word| *word == confidence).count();
            count.right += of(&verdict.right);
            count.open += of(&verdict.open);
            count.wrong += verdict
                .wrong
                .iter()
                .filter(|wrong| wrong.confidence == confidence)
                .count();
        }
        count
    })
}

pub fn rows(lines: &[Line]) -> BTreeMap<&str, Row<'_>> {
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for (line, verdict) in judged(lines) {
        let row = rows.entry(&line.kind).or_default();
        row.wanted = &line.wanted;
        row.played += 1;
        if !line.truth.is_fault() {
            row.well += usize::from(!verdict.is_alarm(&line.truth));
        } else if verdict.is_silent(&line.truth) {
            row.silent += 1;
        }
        let has = |confidence: &str| verdict.right.iter().any(|word| word == confidence);
        if has("high") {
            row.high += 1;
        } else if has("medium") {
            row.medium += 1;
        } else if has("low") {
            row.low += 1;
        } else if !verdict.open.is_empty() {
            row.open += 1;
        }
        for wrong in &verdict.wrong {
            let cause = wrong.told.split(' ').next().unwrap_or_default();
            let what = format!("{} {cause} ({})", wrong.confidence, wrong.why);
            *row.wrong.entry(what).or_default() += 1;
        }
    }
    rows
}

/// One seed.
pub fn tell(line: &Line) -> String {
    let mut text = format!("{:<11} {:<32} ", line.seed, line.kind);
    let Some(verdict) = &line.verdict else {
        let why = line.not_played.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            "NOT PLAYED: {}",
            why.lines().take(3).collect::<Vec<_>>().join(" ")
        );
        return text;
    };
    if verdict.is_silent(&line.truth) {
        let _ = write!(text, "SILENT ({})", verdict.said);
    } else if !line.truth.is_fault() && !verdict.is_alarm(&line.truth) {
        text.push_str("well, and nothing found");
    }
    for (word, confidences) in [("right", &verdict.right), ("unknown", &verdict.open)] {
        if !confidences.is_empty() {
            let _ = write!(text, "{word} {}  ", confidences.join(", "));
        }
    }
    for wrong in &verdict.wrong {
        let _ = write!(
            text,
            "\n      WRONG {} {}: {}",
            wrong.confidence, wrong.told, wrong.why
        );
    }
    if !verdict.wrong.is_empty() || verdict.is_alarm(&line.truth) {
        let _ = write!(text, "\n      was {}; {}", line.wanted, line.told);
    }
    if line.again {
        text.push_str("\n      alarmed again when it was played once more");
    }
    text
}

/// All of them.
pub fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "\n{:<33} {:>6} {:>5} {:>6} {:>4} {:>7} {:>6} {:>4}  wrong\n",
        "kind", "played", "high", "medium", "low", "unknown", "silent", "well"
    );
    for (kind, row) in rows(lines) {
        let wrong: Vec<_> = row
            .wrong
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let _ = writeln!(
            text,
            "{kind:<33} {:>6} {:>5} {:>6} {:>4} {:>7} {:>6} {:>4}  {}",
            row.played,
            row.high,
            row.medium,
            row.low,
            row.open,
            row.silent,
            row.well,
            wrong.join("; ")
        );
    }
    text.push('\n');
    for (confidence, count) in CONFIDENCES.iter().zip(calibration(lines)) {
        let all = count.right + count.wrong;
        let _ = writeln!(
            text,
            "{confidence}: {} of {all} right ({}); {} more say that the cause is not known",
            count.right,
            percent(count.right, all),
            count.open
        );
    }
    let Sums {
        faults,
        named,
        silent,
        twins,
        alarms,
    } = sums(lines);
    let _ = writeln!(
        text,
        "{faults} faults: {named} named, {silent} silent; {twins} healthy hosts: {alarms} alarmed; {} not played",
        lines.iter().filter(|line| line.verdict.is_none()).count()
    );
    text
}

/// How many faults were named or silent, and how many healthy hosts led to a finding.
pub struct Sums {
    pub faults: usize,
    pub named: usize,
    pub silent: usize,
    pub twins: usize,
    pub alarms: usize,
}

pub fn sums(lines: &[Line]) -> Sums {
    let (faults, twins): (Vec<_>, Vec<_>) =
        judged(lines).partition(|(line, _)| line.truth.is_fault());
    let silent = faults
        .iter()
        .filter(|(line, verdict)| verdict.is_silent(&line.truth))
        .count();
    let named = faults
        .iter()
        .filter(|(_, verdict)| !verdict.right.is_empty())
        .count();
    let alarms = twins
        .iter()
        .filter(|(line, verdict)| verdict.is_alarm(&line.truth))
        .count();
    Sums {
        faults: faults.len(),
        named,
        silent,
        twins: twins.len(),
        alarms,
    }
}

pub fn percent(part: usize, all: usize) -> String {
    match all {
        0 => "–".to_owned(),
        all => format!("{:.1} %", part as f64 * 100.0 / all as f64),
    }
}

/// Why the run has failed; empty: it has not.
pub fn failures(lines: &[Line]) -> Vec<String> {
    let mut failures = Vec::new();
    let [high, ..] = calibration(lines);
    if high.wrong > WRONG_HIGH {
        failures.push(format!(
            "{} findings of high confidence are wrong",
            high.wrong
        ));
    }
    for line in lines.iter().filter(|line| line.again) {
        failures.push(format!("{}: {} was alarmed twice", line.seed, line.kind));
    }
    let not_played = lines.iter().filter(|line| line.verdict.is_none()).count();
    if not_played * 4 > lines.len() {
        failures.push(format!(
            "{not_played} of {} could not be played",
            lines.len()
        ));
    }
    failures
}
