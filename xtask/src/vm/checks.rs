//! From what a step printed to checks: the lines of the contract, and what the test harness says.

use serde_json::Value;

use super::record::Step;

/// One line of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What had been taken away; `None` on the whole kernel.
    pub variant: Option<String>,
    pub group: String,
    pub name: String,
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Pass,
    Fail,
    Unsupported,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
        }
    }
}

impl Check {
    pub fn new(group: &str, name: &str, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            variant: None,
            group: group.to_owned(),
            name: name.to_owned(),
            outcome,
            detail: detail.into(),
        }
    }

    pub fn of_variant(mut self, variant: Option<&str>) -> Self {
        self.variant = variant.map(str::to_owned);
        self
    }
}

/// A line `{"type":"check",…}`; anything before it is passed over: the harness does not end its own line.
pub fn parse(line: &str) -> Option<Check> {
    let value: Value = serde_json::from_str(&line[line.find('{')?..]).ok()?;
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    if text("type")? != "check" {
        return None;
    }
    let outcome = match text("outcome")?.as_str() {
        "pass" => Outcome::Pass,
        // The self-test has tried several times; what the host keeps back nobody can see.
        "unsupported" | "withheld" => Outcome::Unsupported,
        // A word that nobody knows must not look like success.
        _ => Outcome::Fail,
    };
    Some(Check {
        variant: None,
        group: text("group")?,
        name: text("check")?,
        outcome,
        detail: text("detail").unwrap_or_default(),
    })
}

/// The checks of a test program: its own lines, and one line per test of the harness.
pub fn of_tests(program: &str, step: &Step) -> Vec<Check> {
    let mut checks: Vec<Check> = step.stdout.iter().filter_map(|line| parse(line)).collect();
    let skipped: Vec<(&str, &str)> = step
        .stderr
        .iter()
        .filter_map(|line| skipped(line))
        .collect();
    let failed = failed(&step.stdout);
    let group = format!("test {program}");
    for name in started(&step.stdout) {
        let skip = skipped.iter().find(|(test, _)| *test == name);
        let (outcome, detail) = if failed.contains(&name) {
            (Outcome::Fail, panic_of(step, name))
        } else if let Some((_, why)) = skip {
            (Outcome::Unsupported, (*why).to_owned())
        } else {
            (Outcome::Pass, String::new())
        };
        checks.push(Check::new(&group, name, outcome, detail));
    }
    if !step.succeeded() && failed.is_empty() {
        // The test that hung or died is the last that was started.
        let last = started(&step.stdout).last().copied().unwrap_or("run");
        checks.retain(|check| !(check.group == group && check.name == last));
        checks.push(Check::new(&group, last, Outcome::Fail, ending(step)));
    }
    if checks.is_empty() {
        checks.push(Check::new(&group, "run", Outcome::Fail, "printed nothing"));
    }
    checks
}

/// How a step ended and its last words.
pub fn ending(step: &Step) -> String {
    let words = step
        .stderr
        .iter()
        .rev()
        .find(|line| !line.trim().is_empty());
    match words {
        Some(words) => format!("{}: {words}", step.ending()),
        None => step.ending(),
    }
}

/// `test NAME ... ok`; without capturing, what the test prints stands in place of the result.
fn started(stdout: &[String]) -> Vec<&str> {
    let names = stdout.iter().filter_map(|line| {
        let (name, _) = line.strip_prefix("test ")?.split_once(" ...")?;
        Some(name)
    });
    names.collect()
}

/// The list at the end: `failures:`, then one indented name per line.
fn failed(stdout: &[String]) -> Vec<&str> {
    let Some(start) = stdout.iter().rposition(|line| line == "failures:") else {
        return Vec::new();
    };
    let names = stdout[start + 1..]
        .iter()
        .take_while(|line| line.starts_with("    "));
    names.map(|line| line.trim()).collect()
}

/// `SKIPPED: test: why`, as `scenarios::skip` writes it.
fn skipped(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("SKIPPED: ")?.split_once(": ")
}

/// `thread 'NAME' (…) panicked at FILE:LINE:`, then the message.
fn panic_of(step: &Step, name: &str) -> String {
    let sign = format!("thread '{name}'");
    let mut lines = step.stderr.iter();
    let Some(place) = lines.find(|line| line.starts_with(&sign) && line.contains("panicked at"))
    else {
        return String::new();
    };
    let place = place.split("panicked at ").last().unwrap_or_default();
    let message = lines.next().map_or("", String::as_str);
    format!("{place} {message}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::End;
    use super::*;

    fn step(stdout: &str, stderr: &str, code: Option<i32>) -> Step {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Step {
            name: "test x".into(),
            stdout: lines(stdout),
            stderr: lines(stderr),
            withheld: 0,
            end: Some(End {
                code,
                signal: None,
                timed_out: code.is_none(),
                took: Duration::from_secs(3),
            }),
        }
    }

    fn short(checks: &[Check]) -> Vec<(&str, Outcome)> {
        checks
            .iter()
            .map(|c| (c.name.as_str(), c.outcome))
            .collect()
    }

    #[test]
    fn a_check_line_is_found_behind_the_words_of_the_harness() {
        let line = r#"test root_x ... {"type":"check","group":"errno","check":"EPIPE","outcome":"pass","detail":""}"#;
        let check = parse(line).expect("a check");
        assert_eq!(
            (check.group.as_str(), check.name.as_str()),
            ("errno", "EPIPE")
        );
        assert_eq!(parse(r#"{"type":"event"}"#), None);
        assert_eq!(parse("test x ... ok"), None);
    }

    #[test]
    fn an_outcome_that_nobody_knows_is_a_failure() {
        let line = r#"{"type":"check","group":"g","check":"c","outcome":"passed"}"#;
        assert_eq!(parse(line).expect("a check").outcome, Outcome::Fail);
    }

    #[test]
    fn tests_pass_fail_or_are_skipped_with_the_reason() {
        let stdout = "test a ... ok\ntest b ... words\nmore words\nFAILED\ntest c ... ok\n\
                      failures:\n\nfailures:\n    b\n\ntest result: FAILED.";
        let stderr = "thread 'b' (12) panicked at tests/x.rs:3:5:\nno event\nSKIPPED: c: needs tc";
        let checks = of_tests("x", &step(stdout, stderr, Some(101)));
        assert_eq!(
            short(&checks),
            [
                ("a", Outcome::Pass),
                ("b", Outcome::Fail),
                ("c", Outcome::Unsupported)
            ]
        );
        assert_eq!(checks[1].detail, "tests/x.rs:3:5: no event");
        assert_eq!(checks[2].detail, "needs tc");
    }

    #[test]
    fn a_test_program_that_hangs_blames_its_last_test() {
        let checks = of_tests("x", &step("test a ... ok\ntest b ... ", "", None));
        assert_eq!(short(&checks), [("a", Outcome::Pass), ("b", Outcome::Fail)]);
        // What the test has reported itself does not make it well.
        let failure = r#"{"type":"check","group":"g","check":"c","outcome":"fail"}"#;
        let stdout = format!("test a ... ok\n{failure}\ntest b ... ");
        let checks = of_tests("x", &step(&stdout, "", None));
        assert!(short(&checks).contains(&("b", Outcome::Fail)));
    }

    #[test]
    fn silence_is_a_failure() {
        assert_eq!(
            short(&of_tests("x", &step("", "", Some(0)))),
            [("run", Outcome::Fail)]
        );
    }
}
