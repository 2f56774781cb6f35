//! What is true of a scenario, and what a report made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is wrong, as whoever made the fault knows it. Words are alternatives: each is right.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Truth {
    /// Name of the kind of scenario.
    pub kind: String,
    /// Empty: nothing is wrong, and a report must find nothing.
    pub symptoms: Vec<String>,
    pub layers: Vec<String>,
    pub causes: Vec<String>,
    /// Consequences of the fault that are true beside it.
    pub also: Vec<String>,
    /// Pids of who suffers, in the initial namespace.
    pub owners: Vec<u32>,
    /// Pids of who was refused once, as anybody may be: true, and not the fault.
    pub refused: Vec<u32>,
    /// Everybody on the host suffers, or nobody in particular.
    pub everybody: bool,
    /// Addresses that are out of reach.
    pub remotes: Vec<String>,
    /// When the fault was there, wall clock in seconds.
    pub from: f64,
    pub until: f64,
}

/// What one report was worth.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The report's own word for the whole.
    pub said: String,
    /// Confidences of the findings that are right.
    pub right: Vec<String>,
    /// Confidences of the findings that say that a cause is not known, about the right process.
    pub open: Vec<String>,
    /// Consequences that are true: neither counted for it nor against it.
    pub beside: Vec<String>,
    pub wrong: Vec<Wrong>,
}

/// A finding that is not true.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wrong {
    pub confidence: String,
    /// `symptom/layer/cause owner peer`.
    pub told: String,
    /// Which words of it are not true.
    pub why: String,
}

impl Truth {
    pub fn is_fault(&self) -> bool {
        !self.causes.is_empty()
    }
}

impl Verdict {
    /// A fault of which the report says nothing that is true.
    pub fn is_silent(&self, truth: &Truth) -> bool {
        truth.is_fault() && self.right.is_empty() && self.open.is_empty() && self.wrong.is_empty()
    }

    pub fn is_alarm(&self, truth: &Truth) -> bool {
        !truth.is_fault() && (!self.open.is_empty() || !self.wrong.is_empty())
    }
}

/// Judges what `sendtrace report --format json` printed.
pub fn judge(report: &str, truth: &Truth) -> Verdict {
    let mut verdict = Verdict {
        said: "no report".into(),
        ..Verdict::default()
    };
    for line in report
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        match line["type"].as_str() {
            Some("report") => verdict.said = word(&line["verdict"]),
            Some("finding") => add(&mut verdict, &line, truth),
            _ => {}
        }
    }
    verdict
}

fn add(verdict: &mut Verdict, line: &Value, truth: &Truth) {
    let confidence = word(&line["confidence"]);
    let cause = word(&line["cause"]);
    let told = format!(
        "{}/{}/{cause} {} {}",
        word(&line["symptom"]),
        word(&line["layer"]),
        word(&line["owner"]["comm"]),
        word(&line["peer"]),
    );
    let pid = line["owner"]["pid"].as_u64();
    let was_refused = |of: &u32| pid == Some(u64::from(*of)) && cause == "connection_refused";
    if truth.is_fault() && truth.refused.iter().any(was_refused) {
        verdict.beside.push(told);
        return;
    }
    let about = [
        (!owner_is(line, truth)).then_some("owner"),
        (!remote_is(line, truth)).then_some("remote"),
        (!time_is(line, truth)).then_some("time"),
    ];
    let whom_and_when: Vec<&str> = about.into_iter().flatten().collect();
    let is_consequence = truth.also.contains(&cause) && !truth.causes.contains(&cause);
    if is_consequence && whom_and_when.is_empty() {
        verdict.beside.push(told);
        return;
    }
    // It says nothing false, unless about somebody else.
    let of_nobody = line["owner"]["pid"].is_null() && whom_and_when == ["owner"];
    if truth.is_fault() && cause == "unknown" && (whom_and_when.is_empty() || of_nobody) {
        verdict.open.push(confidence);
        return;
    }
    let is = |words: &[String], key: &str| words.contains(&word(&line[key]));
    let mut why: Vec<&str> = [
        ("cause", &truth.causes),
        ("layer", &truth.layers),
        ("symptom", &truth.symptoms),
    ]
    .into_iter()
    .filter(|(key, words)| !is(words, key))
    .map(|(key, _)| key)
    .collect();
    why.extend(whom_and_when);
    if why.is_empty() {
        verdict.right.push(confidence);
    } else {
        let why = match truth.is_fault() {
            true => why.join(", "),
            false => "nothing is wrong".to_owned(),
        };
        verdict.wrong.push(Wrong {
            confidence,
            told,
            why,
        });
    }
}

/// The owner is one of those who suffer; a finding about several of them may name none.
fn owner_is(line: &Value, truth: &Truth) -> bool {
    match line["owner"]["pid"].as_u64() {
        Some(pid) => truth.everybody || truth.owners.iter().any(|owner| u64::from(*owner) == pid),
        None => truth.everybody || truth.owners.len() != 1,
    }
}

/// The destination is one of those out of reach, in whatever form; a finding about several may name none.
fn remote_is(line: &Value, truth: &Truth) -> bool {
    let Some(peer) = line["peer"].as_str() else {
        return true;
    };
    truth.everybody || truth.remotes.is_empty() || truth.remotes.iter().any(|at| names(peer, at))
}

/// Whether the address stands in the text as a whole one: `10.0.0.1` is not in `10.0.0.11:80`.
fn names(text: &str, address: &str) -> bool {
    text.match_indices(address).any(|(at, _)| {
        let after = text[at + address.len()..].chars().next();
        let before = text[..at].chars().next_back();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit() || c == '.');
        !part(after) && (!part(before))
    })
}

/// The finding was there while the fault was; its consequences may come later.
fn time_is(line: &Value, truth: &Truth) -> bool {
    /// Seconds that a timer of the kernel may need to notice.
    const LATER: f64 = 8.0;
    let second = |key: &str| {
        let time: Option<jiff::Timestamp> = line[key].as_str().and_then(|time| time.parse().ok());
        time.map(|time| time.as_nanosecond() as f64 / 1e9)
    };
    let (Some(first), Some(last)) = (second("first"), second("last")) else {
        return true;
    };
    first <= truth.until + LATER && last >= truth.from - 0.5
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let words = |word: &str| vec![word.to_owned()];
        Truth {
            kind: "path_loss".into(),
            symptoms: words("stall"),
            layers: words("network"),
            causes: words("path_loss"),
            also: words("bufferbloat"),
            owners: vec![7],
            refused: vec![9],
            remotes: words("10.0.0.1"),
            from: 100.0,
            until: 105.0,
            ..Truth::default()
        }
    }

    fn told(cause: &str, confidence: &str, pid: u32, peer: &str, second: u32) -> Verdict {
        judge(
            &format!(
                r#"{{"type":"report","verdict":"findings"}}
{{"type":"finding","symptom":"stall","layer":"network","cause":"{cause}","confidence":"{confidence}","owner":{{"pid":{pid},"comm":"x"}},"peer":"{peer}","first":"1970-01-01T00:01:{second}Z","last":"1970-01-01T00:01:{second}Z"}}"#
            ),
            &truth(),
        )
    }

    #[test]
    fn a_finding_is_right_when_cause_owner_destination_and_time_are() {
        assert_eq!(
            told("path_loss", "high", 7, "10.0.0.1:80", 42).right,
            ["high"]
        );
        for (cause, pid, peer, second, why) in [
            ("syn_blackhole", 7, "10.0.0.1:80", 42, "cause"),
            ("path_loss", 8, "10.0.0.1:80", 42, "owner"),
            ("path_loss", 7, "10.0.0.11:80", 42, "remote"),
            ("path_loss", 7, "110.0.0.1", 42, "remote"),
            ("path_loss", 7, "10.0.0.1", 30, "time"),
        ] {
            let verdict = told(cause, "high", pid, peer, second);
            assert_eq!(verdict.wrong[0].why, why, "{verdict:?}");
        }
    }

    #[test]
    fn consequences_and_admitted_ignorance_are_neither_right_nor_wrong() {
        let open = told("unknown", "low", 7, "10.0.0.1", 42);
        assert!(open.wrong.is_empty() && open.right.is_empty() && !open.is_silent(&truth()));
        let refused = told("connection_refused", "medium", 9, "10.0.0.77", 42);
        assert!(refused.wrong.is_empty() && refused.is_silent(&truth()));
        let beside = told("bufferbloat", "medium", 7, "10.0.0.1", 42);
        assert_eq!(beside.beside.len(), 1);
        assert!(beside.is_silent(&truth()));
    }

    #[test]
    fn any_finding_on_a_healthy_host_is_an_alarm_and_none_about_a_fault_is_silence() {
        let (healthy, nothing) = (Truth::default(), r#"{"type":"report","verdict":"x"}"#);
        assert!(!judge(nothing, &healthy).is_alarm(&healthy));
        assert!(judge(nothing, &truth()).is_silent(&truth()));
        let finding = r#"{"type":"finding","cause":"unknown","confidence":"low"}"#;
        assert!(judge(finding, &healthy).is_alarm(&healthy));
    }
}
