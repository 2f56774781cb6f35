//! Which field of a log line means what.

use serde_json::{Map, Value};

/// What is taken of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Time,
    Id,
    Peer,
    Port,
    Local,
    Errno,
    Retry,
    Retries,
    Bytes,
    Pid,
}

/// Each meaning: its word in `--app-log-fields`, and the names that are looked for by default, the first one first.
const MEANINGS: [(Meaning, &str, &[&str]); 10] = [
    (
        Meaning::Time,
        "time",
        &["ts", "time", "timestamp", "@timestamp", "t", "datetime"],
    ),
    (
        Meaning::Id,
        "id",
        &[
            "req_id",
            "request_id",
            "requestId",
            "trace_id",
            "traceId",
            "correlation_id",
            "id",
        ],
    ),
    (
        Meaning::Peer,
        "dest",
        &[
            "dest",
            "destination",
            "peer",
            "remote",
            "remote_addr",
            "addr",
            "upstream",
            "host:port",
        ],
    ),
    (
        Meaning::Port,
        "port",
        &["port", "dest_port", "peer_port", "remote_port"],
    ),
    (
        Meaning::Local,
        "local",
        &["local", "local_addr", "laddr", "source", "src"],
    ),
    (
        Meaning::Errno,
        "errno",
        &["errno", "error", "err", "error_code", "code"],
    ),
    (
        Meaning::Retry,
        "retry",
        &["retry", "attempt", "retry_count", "retries", "try"],
    ),
    (
        Meaning::Retries,
        "retries",
        &["max_retries", "max_attempts", "retries_max", "retry_max"],
    ),
    (Meaning::Bytes, "bytes", &["bytes", "size", "len", "length"]),
    (Meaning::Pid, "pid", &["pid", "process_id", "process"]),
];

/// The names of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields([Vec<String>; MEANINGS.len()]);

impl Default for Fields {
    fn default() -> Self {
        Self(MEANINGS.map(|(_, _, names)| names.iter().map(|name| (*name).to_owned()).collect()))
    }
}

impl Fields {
    /// Reads `time=ts,id=req_id,id=trace`: what is named replaces the defaults of that meaning.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Self::default();
        let mut given = [false; MEANINGS.len()];
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let words = || {
                let words: Vec<_> = MEANINGS.iter().map(|(_, word, _)| *word).collect();
                words.join(", ")
            };
            let Some((word, name)) = pair.split_once('=') else {
                return Err(format!(
                    "expected MEANING=FIELD, for example time=ts,id=req_id; {pair:?} has no ="
                ));
            };
            let (word, name) = (word.trim(), name.trim());
            let Some(index) = MEANINGS.iter().position(|(_, known, _)| *known == word) else {
                return Err(format!("{word:?} is none of {}", words()));
            };
            if name.is_empty() {
                return Err(format!(
                    "{word}= needs the name of a field, for example {word}=my_{word}"
                ));
            }
            if !std::mem::replace(&mut given[index], true) {
                fields.0[index].clear();
            }
            fields.0[index].push(name.to_owned());
        }
        Ok(fields)
    }

    /// The values with a meaning, in the order of the names; `null` and the empty text are none.
    pub fn all<'a>(
        &'a self,
        line: &'a Map<String, Value>,
        meaning: Meaning,
    ) -> impl Iterator<Item = &'a Value> {
        self.each(line, meaning).map(|(_, value)| value)
    }

    fn each<'a>(
        &'a self,
        line: &'a Map<String, Value>,
        meaning: Meaning,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let index = MEANINGS.iter().position(|(known, ..)| *known == meaning);
        let names = index.map_or(&[][..], |index| &self.0[index]);
        names
            .iter()
            .filter_map(move |name| Some((name.as_str(), find(line, name)?)))
            .filter(|(_, value)| !value.is_null() && value.as_str() != Some(""))
    }

    /// The first of them.
    pub fn get<'a>(&'a self, line: &'a Map<String, Value>, meaning: Meaning) -> Option<&'a Value> {
        self.all(line, meaning).next()
    }

    /// The same with the name that it was found by.
    pub fn named<'a>(
        &'a self,
        line: &'a Map<String, Value>,
        meaning: Meaning,
    ) -> Option<(&'a str, &'a Value)> {
        self.each(line, meaning).next()
    }
}

/// A field by its whole name, else by the names on the way to it: `net.peer`.
fn find<'a>(line: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = line.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(line.get(first)?.as_object()?, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn get(fields: &Fields, line: Value, meaning: Meaning) -> Option<Value> {
        fields.get(line.as_object()?, meaning).cloned()
    }

    #[test]
    fn defaults_know_the_usual_names_and_an_empty_value_is_none() {
        let fields = Fields::default();
        let line = json!({"id": 7, "req_id": "", "request_id": "8f3"});
        assert_eq!(get(&fields, line, Meaning::Id), Some(json!("8f3")));
        assert_eq!(get(&fields, json!({"ts": null}), Meaning::Time), None);
    }

    #[test]
    fn named_fields_replace_the_defaults_and_reach_into_objects() {
        let fields = Fields::parse("id=trace,id=net.id, dest=net.peer").unwrap();
        let line = json!({"req_id": "no", "net": {"id": 5, "peer": "a"}, "net.peer": "whole"});
        assert_eq!(get(&fields, line.clone(), Meaning::Id), Some(json!(5)));
        assert_eq!(get(&fields, line, Meaning::Peer), Some(json!("whole")));
        assert_eq!(
            get(&fields, json!({"ts": 1}), Meaning::Time),
            Some(json!(1))
        );
    }

    #[test]
    fn a_wrong_word_is_told_the_right_ones() {
        assert!(
            Fields::parse("when=ts")
                .unwrap_err()
                .contains("time, id, dest")
        );
        assert!(Fields::parse("ts").unwrap_err().contains("has no ="));
        assert!(Fields::parse("time=").unwrap_err().contains("time= needs"));
    }
}
