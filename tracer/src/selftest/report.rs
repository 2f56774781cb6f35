//! The findings of the self-test, for people and for machines. Pure.

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::check::{Outcome, Verdict};
use tracer_model::escape;

/// Widest line of the table.
const COLUMNS: usize = 108;
const GROUP: &str = "event";

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const MEDIUM: Style = AnsiColor::Yellow.on_default();

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub pass: usize,
    pub fail: usize,
    pub unsupported: usize,
    pub withheld: usize,
}

/// Counts.
pub fn tally(verdicts: &[Verdict]) -> Tally {
    let mut tally = Tally::default();
    for verdict in verdicts {
        match verdict.outcome {
            Outcome::Pass(_) => tally.pass += 1,
            Outcome::Fail(_) => tally.fail += 1,
            Outcome::Unsupported(_) => tally.unsupported += 1,
            Outcome::Withheld(_) => tally.withheld += 1,
        }
    }
    tally
}

fn parts(outcome: &Outcome) -> (&'static str, Style, &str) {
    match outcome {
        Outcome::Pass(detail) => ("pass", GOOD, detail),
        Outcome::Fail(detail) => ("fail", BAD, detail),
        Outcome::Unsupported(detail) => ("unsupported", MEDIUM, detail),
        Outcome::Withheld(detail) => ("withheld", MEDIUM, detail),
    }
}

/// One object per line, the last one the sum.
pub fn json(verdicts: &[Verdict], kernel: Option<&str>) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let (outcome, _, detail) = parts(&verdict.outcome);
        let line = json!({
            "type": "check", "group": GROUP, "check": verdict.name, "outcome": outcome, "detail": detail,
        });
        text.push_str(&escape::json(format!("{line}\n")));
    }
    let tally = tally(verdicts);
    let last = json!({
        "type": "selftest", "pass": tally.pass, "fail": tally.fail, "unsupported": tally.unsupported,
        "withheld": tally.withheld, "kernel": kernel,
    });
    text.push_str(&escape::json(format!("{last}\n")));
    text
}

/// A table.
pub fn text(verdicts: &[Verdict], kernel: Option<&str>, colour: bool) -> String {
    let width = verdicts
        .iter()
        .map(|verdict| escape::width(&verdict.name))
        .max()
        .unwrap_or(0);
    // Two blanks after each of the first columns.
    let indent = "unsupported".len() + 2 + width + 2;
    let mut text = String::new();
    for verdict in verdicts {
        let (word, style, detail) = parts(&verdict.outcome);
        let word = format!("{word:<11}");
        let word = if colour {
            format!("{style}{word}{style:#}")
        } else {
            word
        };
        let head = format!("{word}  {:<width$}  ", verdict.name);
        let detail = escape::name(detail.as_bytes());
        for (number, line) in wrap(&detail, COLUMNS.saturating_sub(indent).max(20))
            .iter()
            .enumerate()
        {
            let start = if number == 0 {
                head.clone()
            } else {
                " ".repeat(indent)
            };
            text.push_str(format!("{start}{line}").trim_end());
            text.push('\n');
        }
    }
    let tally = tally(verdicts);
    let kernel = escape::name(kernel.unwrap_or("unknown").as_bytes());
    let withheld = match tally.withheld {
        0 => String::new(),
        count => format!(", {count} withheld by this host"),
    };
    text.push_str(&format!(
        "\n{} passed, {} failed, {} unsupported{withheld} on kernel {kernel}\n",
        tally.pass, tally.fail, tally.unsupported
    ));
    text
}

/// Breaks at blanks.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let used = lines.last().map_or(0, |line| escape::width(line));
        if used > 0 && used + 1 + escape::width(word) > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let verdict = |name: &str, outcome| Verdict {
            name: name.to_owned(),
            outcome,
        };
        vec![
            verdict("retransmit rto", Outcome::Pass("3 lost".to_owned())),
            verdict(
                "drop",
                Outcome::Fail("expected 1 event, none\u{1b}[31m came".to_owned()),
            ),
            verdict("device", Outcome::Unsupported("no ".repeat(40))),
        ]
    }

    #[test]
    fn the_table_is_aligned_and_wraps_under_its_last_column() {
        let table = text(&verdicts(), Some("6.1.0"), false);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "pass         retransmit rto  3 lost");
        assert!(lines[1].starts_with("fail         drop            expected 1 event"));
        assert!(lines[2].starts_with("unsupported  device          no no"));
        assert!(lines[3].starts_with("                             no no"));
        assert_eq!(
            lines.last().unwrap(),
            &"1 passed, 1 failed, 1 unsupported on kernel 6.1.0"
        );
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        assert!(!table.contains('\u{1b}'), "what others said is escaped");
        assert!(text(&verdicts(), None, true).contains("\u{1b}["));
    }

    #[test]
    fn what_a_host_withheld_is_no_failure_and_is_counted_apart() {
        let mut verdicts = verdicts();
        verdicts[1].outcome = Outcome::Withheld("expected 1 event, none came".to_owned());
        assert_eq!(tally(&verdicts).fail, 0);
        let table = text(&verdicts, Some("6.1.0"), false);
        assert!(
            table.contains("\nwithheld     drop            expected 1 event"),
            "{table}"
        );
        let last = table.lines().last();
        let expected = "1 passed, 0 failed, 1 unsupported, 1 withheld by this host on kernel 6.1.0";
        assert_eq!(last, Some(expected));
        assert!(json(&verdicts, None).contains(r#""outcome":"withheld""#));
    }

    #[test]
    fn json_is_a_line_per_check_and_the_sum() {
        let lines = json(&verdicts(), Some("6.1.0"));
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            json!({"type": "check", "group": "event", "check": "retransmit rto", "outcome": "pass",
                "detail": "3 lost"})
        );
        assert_eq!(
            lines[3],
            json!({"type": "selftest", "pass": 1, "fail": 1, "unsupported": 1, "withheld": 0, "kernel": "6.1.0"})
        );
    }
}
