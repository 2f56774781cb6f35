//! What must have been seen, and whether it was: pure.
//!
//! Events are claimed by a key that belongs to one fault alone (its flow, or the size of its send). All that fit the
//! key must be the expected ones, in order: one too few is missing, one too many was seen twice, and one that names
//! another process is wrong.

mod whose;

use serde_json::{Value, json};

pub use whose::{Owner, Who};

/// One expected line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub owner: Owner,
    /// JSON pointer and value.
    pub fields: Vec<(&'static str, Value)>,
}

/// What must come of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// JSON pointer and value: which lines are meant.
    pub key: Vec<(&'static str, Value)>,
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// How the numbers under `count` of these lines are compared.
    pub counting: Counting,
}

/// See [`Expectation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Each line stands for one event.
    Single,
    /// Lines may stand for several events, which are this many together; each looks like the first expected one.
    Sum(u64),
    /// As [`Counting::Sum`], and some line really stands for several.
    Aggregated(u64),
    /// At least one line, each like the first expected one.
    Some,
    /// As [`Counting::Some`], but none is fine too.
    Any,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Seen,
    /// What came so far is right.
    Missing(String),
    /// More will not mend it.
    Wrong(String),
}

impl Expectation {
    /// Exactly these events of a kind on a flow.
    pub fn events(event_kind: &str, flow: &Flow, lines: Vec<Line>) -> Self {
        Self::of(event_kind, flow.key(), lines)
    }

    /// Exactly these events of a kind, identified by these JSON pointers and values.
    pub fn of(event_kind: &str, told_by: Vec<(&'static str, Value)>, lines: Vec<Line>) -> Self {
        let mut key = vec![("/type", json!("event")), ("/event", json!(event_kind))];
        key.extend(told_by);
        Self {
            key,
            lines,
            counting: Counting::Single,
        }
    }

    /// What is counted of one kind on a flow, instead of listed.
    pub fn counted(event_kind: &str, kind: &str, flow: &Flow, line: Line, total: u64) -> Self {
        let mut key = vec![
            ("/type", json!("counted")),
            ("/event", json!(event_kind)),
            ("/kind", json!(kind)),
        ];
        key.extend(flow.key());
        Self {
            key,
            lines: vec![line],
            counting: Counting::Sum(total),
        }
    }

    /// Compares the numbers in another way.
    pub fn counting(mut self, counting: Counting) -> Self {
        self.counting = counting;
        self
    }

    /// Narrows the key.
    pub fn with(mut self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.key.push((pointer, value.into()));
        self
    }

    /// Is this line meant?
    pub fn claims(&self, line: &Value) -> bool {
        self.key
            .iter()
            .all(|(pointer, value)| at(line, pointer) == value)
    }

    /// Compares all that was said so far. `wall_minus_boot_ns` ties the times of events to the clock of process
    /// starts.
    pub fn state(&self, said: &[Value], wall_minus_boot_ns: i128) -> State {
        let ours: Vec<_> = said.iter().filter(|line| self.claims(line)).collect();
        match self.counting {
            Counting::Single => self.singles(&ours, wall_minus_boot_ns),
            Counting::Sum(total) => self.sum(&ours, total, wall_minus_boot_ns),
            Counting::Aggregated(total) => match self.sum(&ours, total, wall_minus_boot_ns) {
                State::Seen if ours.iter().all(|line| line["count"] == 1) => {
                    State::Wrong("every event was listed, none was counted".to_owned())
                }
                state => state,
            },
            Counting::Some => match self.sum(&ours, u64::MAX, wall_minus_boot_ns) {
                State::Missing(_) if !ours.is_empty() => State::Seen,
                State::Missing(_) => State::Missing(self.missing(0, 1)),
                state => state,
            },
            Counting::Any => match self.sum(&ours, u64::MAX, wall_minus_boot_ns) {
                State::Missing(_) => State::Seen,
                state => state,
            },
        }
    }

    /// Reported only when the run ends.
    pub fn comes_last(&self) -> bool {
        self.key.contains(&("/type", json!("counted")))
    }

    fn singles(&self, ours: &[&Value], wall_minus_boot_ns: i128) -> State {
        for (line, expected) in ours.iter().zip(&self.lines) {
            let compared = expected
                .compare(line, wall_minus_boot_ns)
                .and_then(|()| holds(line, &[("/count", json!(1))]));
            if let Err(difference) = compared {
                return State::Wrong(format!("{difference}; came: {}", short(line)));
            }
        }
        if let Some(surplus) = ours.get(self.lines.len()) {
            return State::Wrong(format!(
                "expected {}, {} came; the first too many: {}",
                events(self.lines.len() as u64),
                ours.len(),
                short(surplus)
            ));
        }
        if ours.len() < self.lines.len() {
            return State::Missing(self.missing(ours.len() as u64, self.lines.len() as u64));
        }
        State::Seen
    }

    fn sum(&self, ours: &[&Value], total: u64, wall_minus_boot_ns: i128) -> State {
        let mut sum = 0;
        for line in ours {
            let compared = self.lines.first().map_or(Ok(()), |expected| {
                expected.compare(line, wall_minus_boot_ns)
            });
            if let Err(difference) = compared {
                return State::Wrong(format!("{difference}; came: {}", short(line)));
            }
            sum += line["count"].as_u64().unwrap_or(0);
        }
        match sum {
            sum if sum == total => State::Seen,
            sum if sum < total => State::Missing(self.missing(sum, total)),
            sum => State::Wrong(format!("expected {}, {sum} were reported", events(total))),
        }
    }

    fn missing(&self, came: u64, expected: u64) -> String {
        let key: Vec<_> = self
            .key
            .iter()
            .filter(|(pointer, _)| *pointer != "/type")
            .map(|(pointer, value)| format!("{} {}", name(pointer), text(value)))
            .collect();
        let came = match came {
            0 => "none came".to_owned(),
            1 => "1 came".to_owned(),
            came => format!("{came} came"),
        };
        format!("expected {} ({}), {came}", events(expected), key.join(", "))
    }
}

impl Line {
    /// A line about a process.
    pub fn of(who: &Who, grades: &'static [&'static str]) -> Self {
        Self {
            owner: Owner::Process {
                who: who.clone(),
                grades,
            },
            fields: Vec::new(),
        }
    }

    /// A line about nobody.
    pub fn of_nobody() -> Self {
        Self {
            owner: Owner::Nobody,
            fields: Vec::new(),
        }
    }

    /// Or about nobody, where no other event of the same call tells the process in time.
    pub fn or_nobody(mut self) -> Self {
        self.owner = Owner::ProcessOrNobody(Box::new(self.owner));
        self
    }

    /// With this field.
    pub fn with(mut self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((pointer, value.into()));
        self
    }

    fn compare(&self, line: &Value, wall_minus_boot_ns: i128) -> Result<(), String> {
        self.owner.compare(line, wall_minus_boot_ns)?;
        holds(line, &self.fields)
    }
}

/// Both ends, as events must name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub proto: &'static str,
    pub local: Option<String>,
    pub remote: Option<String>,
    pub netns: u64,
}

impl Flow {
    /// The same connection, seen from the other end.
    pub fn turned(&self) -> Self {
        Self {
            local: self.remote.clone(),
            remote: self.local.clone(),
            ..self.clone()
        }
    }

    /// JSON pointers and values that tell it.
    pub fn key(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("/flow/proto", json!(self.proto)),
            ("/flow/local", json!(self.local)),
            ("/flow/remote", json!(self.remote)),
            ("/flow/netns", json!(self.netns)),
        ]
    }
}

/// The value at a JSON pointer of plain keys. Asked of every line for every key, so without copying any.
fn at<'a>(line: &'a Value, pointer: &str) -> &'a Value {
    let keys = pointer.split('/').skip(1);
    keys.fold(line, |value, key| value.get(key).unwrap_or(&Value::Null))
}

fn holds(line: &Value, fields: &[(&'static str, Value)]) -> Result<(), String> {
    for (pointer, expected) in fields {
        let found = at(line, pointer);
        if found != expected {
            return Err(format!(
                "{} is {}, expected {}",
                name(pointer),
                text(found),
                text(expected)
            ));
        }
    }
    Ok(())
}

fn name(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn events(count: u64) -> String {
    if count == 1 {
        "1 event".to_owned()
    } else {
        format!("{count} events")
    }
}

/// An event on one line of a report: who, between whom, what.
pub fn short(line: &Value) -> String {
    let part = |pointer: &str| text(at(line, pointer));
    let event_kind = part("/event");
    format!(
        "{event_kind} of pid {} ({}, {}) {} -> {} {}",
        part("/owner/pid"),
        part("/owner/comm"),
        part("/owner/grade"),
        part("/flow/local"),
        part("/flow/remote"),
        part(&format!("/{event_kind}"))
    )
}

#[cfg(test)]
mod tests;
