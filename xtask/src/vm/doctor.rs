//! What `sendtrace doctor --format json` said on a kernel.

use serde_json::Value;

use super::record::Step;

/// The line `{"type":"doctor",…}`, as far as it is compared here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doctor {
    pub can_trace: bool,
    pub problem: Option<String>,
    pub not_seen: Vec<String>,
    pub hooks: Vec<Hook>,
    pub losses: Vec<Loss>,
    pub limits: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    pub purpose: String,
    pub serves: Vec<String>,
    pub attach: String,
    pub program: Option<String>,
    /// `allowed`, `refused`, `missing`, `untried`
    pub status: String,
    pub errno: Option<i64>,
    pub error: Option<String>,
    pub passed_over: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub serves: String,
    pub lost: String,
    pub why: String,
}

impl Hook {
    pub fn allowed(&self) -> bool {
        self.status == "allowed"
    }

    /// Why nothing runs here, for people.
    pub fn why_not(&self) -> String {
        let refusal = self.error.clone();
        refusal.unwrap_or_else(|| match self.passed_over.first() {
            Some((_, why)) => why.clone(),
            None => self.status.clone(),
        })
    }
}

impl Doctor {
    /// Finds the line among what a step printed.
    pub fn of_step(step: &Step) -> Option<Self> {
        step.stdout.iter().find_map(|line| Self::parse(line))
    }

    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        if text(&value, "type")? != "doctor" {
            return None;
        }
        Some(Self {
            can_trace: value.get("can_trace")?.as_bool()?,
            problem: text(&value, "problem"),
            not_seen: texts(&value, "events_not_seen"),
            hooks: list(&value, "hooks").iter().filter_map(hook).collect(),
            losses: list(&value, "losses").iter().filter_map(loss).collect(),
            limits: list(&value, "limits")
                .iter()
                .filter_map(|limit| Some((text(limit, "about")?, text(limit, "text")?)))
                .collect(),
        })
    }

    pub fn hook(&self, like: &Hook) -> Option<&Hook> {
        self.hooks
            .iter()
            .find(|hook| hook.purpose == like.purpose && hook.attach == like.attach)
    }
}

fn hook(value: &Value) -> Option<Hook> {
    Some(Hook {
        purpose: text(value, "purpose")?,
        serves: texts(value, "serves"),
        attach: text(value, "attach")?,
        program: text(value, "program"),
        status: text(value, "status")?,
        errno: value.get("errno").and_then(Value::as_i64),
        error: text(value, "error"),
        passed_over: list(value, "passed_over")
            .iter()
            .filter_map(|other| Some((text(other, "program")?, text(other, "why")?)))
            .collect(),
    })
}

fn loss(value: &Value) -> Option<Loss> {
    Some(Loss {
        serves: text(value, "serves")?,
        lost: text(value, "lost")?,
        why: text(value, "why")?,
    })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let texts = list(value, name).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_and_losses_are_read_from_the_line() {
        let line = r#"{"type":"doctor","can_trace":true,"problem":null,"events_not_seen":["drop"],
            "hooks":[{"purpose":"accept","serves":["owner"],"attach":"fexit/inet_csk_accept","program":"accept2",
                "status":"refused","errno":1,"error":"EPERM","passed_over":[{"program":"accept4","why":"4"}]}],
            "losses":[{"serves":"owner","lost":"x","why":"y","remedy":"z"}],"limits":[]}"#;
        let doctor = Doctor::parse(&line.replace('\n', "")).expect("complete");
        assert_eq!(doctor.not_seen, ["drop"]);
        assert_eq!(doctor.hooks[0].program.as_deref(), Some("accept2"));
        assert_eq!(doctor.hooks[0].why_not(), "EPERM");
        assert_eq!(doctor.losses[0].lost, "x");
        assert_eq!(Doctor::parse(r#"{"type":"event"}"#), None);
    }
}
