//! Whether a report says of a trace what it must, and nothing that is wrong.

use serde_json::Value;

use super::expected::{Expected, Finding};

/// What a report found, beside what it must find.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Of each expected finding that is there, its confidence.
    pub right: Vec<String>,
    /// Findings that are not expected.
    pub others: Vec<Other>,
    /// Why the report is wrong; empty when it is right.
    pub wrong: Vec<String>,
}

/// A finding that is not expected.
#[derive(Debug)]
pub struct Other {
    pub confidence: String,
    /// `confidence symptom/layer/cause owner peer`.
    pub told: String,
}

/// Judges what `sendtrace report --format json` printed.
///
/// Right is a report that has each expected finding, with the right owner and destination, and no other one that it
/// is sure of. Where nothing is expected, no finding at all is right, however unsure.
pub fn judge(report: &str, expected: &Expected) -> Verdict {
    let lines = report
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut verdict = Verdict::default();
    let mut missing: Vec<&Finding> = expected.iter().collect();
    let mut is_report = false;
    for line in lines {
        is_report |= line["type"] == "report";
        if line["type"] != "finding" {
            continue;
        }
        let confidence = line["confidence"].as_str().unwrap_or("?").to_owned();
        if let Some(found) = missing.iter().position(|finding| is(&line, finding)) {
            missing.remove(found);
            verdict.right.push(confidence);
            continue;
        }
        let told = tell(&line);
        if expected.is_empty() || confidence == "high" {
            verdict.wrong.push(format!("says {told}"));
        }
        verdict.others.push(Other { confidence, told });
    }
    if !is_report {
        verdict.wrong.push("there is no report".to_owned());
    }
    let missing = missing
        .iter()
        .map(|finding| format!("does not say {}", finding.tell()));
    verdict.wrong.splice(0..0, missing);
    verdict
}

fn is(line: &Value, expected: &Finding) -> bool {
    let word = |key: &str| line[key].as_str().unwrap_or_default();
    let owner = line["owner"]["comm"].as_str();
    let peer = word("peer");
    // An address stands for all of its ports.
    let is_peer = |remote: &str| peer == remote || address(peer) == remote;
    word("symptom") == expected.symptom
        && word("layer") == expected.layer
        && word("cause") == expected.cause
        && expected
            .owner
            .as_deref()
            .is_none_or(|comm| owner == Some(comm))
        && expected.remote.as_deref().is_none_or(is_peer)
}

/// `10.0.0.1` of `10.0.0.1:80`, `::1` of `[::1]:80`, and of what has words after it.
fn address(peer: &str) -> &str {
    let end = peer.split(' ').next().unwrap_or(peer);
    match end.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None if end.matches(':').count() == 1 => end.split(':').next().unwrap_or(end),
        None => end,
    }
}

fn tell(line: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} {}/{}/{} {} {}",
        word(&line["confidence"]),
        word(&line["symptom"]),
        word(&line["layer"]),
        word(&line["cause"]),
        word(&line["owner"]["comm"]),
        word(&line["peer"]),
    )
}

impl Finding {
    /// In the words of a report.
    pub fn tell(&self) -> String {
        format!(
            "{}/{}/{} {} {}",
            self.symptom,
            self.layer,
            self.cause,
            self.owner.as_deref().unwrap_or("-"),
            self.remote.as_deref().unwrap_or("-")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"type":"report","findings":1}"#;

    fn finding(confidence: &str, comm: &str, peer: &str) -> String {
        format!(
            r#"{{"type":"finding","symptom":"stall","layer":"network","cause":"path_loss","confidence":"{confidence}","owner":{{"comm":"{comm}"}},"peer":"{peer}"}}"#
        )
    }

    fn expected(remote: &str) -> Expected {
        vec![Finding {
            symptom: "stall".into(),
            layer: "network".into(),
            cause: "path_loss".into(),
            owner: Some("sync".into()),
            remote: Some(remote.into()),
        }]
    }

    fn is_right(findings: &[String], expected: &Expected) -> bool {
        let report = format!("{REPORT}\n{}", findings.join("\n"));
        judge(&report, expected).wrong.is_empty()
    }

    #[test]
    fn the_right_finding_about_somebody_else_is_wrong() {
        let found = [finding("high", "sync", "10.0.0.1:80")];
        assert!(is_right(&found, &expected("10.0.0.1:80")));
        assert!(is_right(&found, &expected("10.0.0.1")));
        assert!(!is_right(&found, &expected("10.0.0.1:8")));
        assert!(!is_right(
            &[finding("high", "other", "10.0.0.1:80")],
            &expected("10.0.0.1")
        ));
        assert!(!is_right(&[], &expected("10.0.0.1")));
    }

    #[test]
    fn an_address_is_without_its_port() {
        for (peer, expected) in [
            ("10.0.0.1:80", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1 (to port 80 here)", "10.0.0.1"),
            ("[fd99::1]:80", "fd99::1"),
            ("fd99::1", "fd99::1"),
        ] {
            assert_eq!(address(peer), expected);
        }
    }

    #[test]
    fn a_second_finding_may_be_there_but_not_sure_of_itself() {
        let right = finding("medium", "sync", "10.0.0.1:80");
        for (confidence, fine) in [("low", true), ("medium", true), ("high", false)] {
            let second = finding(confidence, "other", "10.0.0.2:80");
            assert_eq!(
                is_right(&[right.clone(), second], &expected("10.0.0.1")),
                fine
            );
        }
    }

    #[test]
    fn where_silence_is_expected_nothing_may_be_said_but_something_must() {
        assert!(is_right(&[], &Vec::new()));
        assert!(!is_right(
            &[finding("low", "sync", "10.0.0.1:80")],
            &Vec::new()
        ));
        assert!(!judge("", &Vec::new()).wrong.is_empty());
    }
}
