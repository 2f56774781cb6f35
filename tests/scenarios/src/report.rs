//! The line that tells one check: what `cargo xtask vm` makes its tables from.
//!
//! One JSON object per line on stdout, the same that `sendtrace selftest --format json` prints. A test that
//! prints such lines asserts at its end that nothing failed: the lines inform, the assertion decides.

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// Promised by the plan, and it does not work.
    Fail,
    /// What this kernel or host cannot do, or what `doctor` says is not seen; the detail says why.
    Unsupported,
}

impl Outcome {
    /// The word in the line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Prints the line of one check.
///
/// `group` is one of `event`, `send path`, `errno`, `retransmit`, `drop`, `program`, `hook`; `check` is
/// unique within it and the same on every kernel.
///
/// # Panics
/// When `unsupported` comes without a reason: it would hide a failure.
pub fn check_line(group: &str, check: &str, outcome: Outcome, detail: &str) {
    assert!(
        outcome != Outcome::Unsupported || !detail.is_empty(),
        "{group}: {check}: unsupported needs its reason"
    );
    println!("{}", value(group, check, outcome, detail));
}

fn value(group: &str, check: &str, outcome: Outcome, detail: &str) -> Value {
    json!({"type": "check", "group": group, "check": check, "outcome": outcome.name(), "detail": detail})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_type_first_and_stays_one_line() {
        let line = value("errno", "EPIPE", Outcome::Unsupported, "two\nlines").to_string();
        assert_eq!(
            line,
            r#"{"type":"check","group":"errno","check":"EPIPE","outcome":"unsupported","detail":"two\nlines"}"#
        );
    }
}
