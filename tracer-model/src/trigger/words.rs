//! The words of a trigger, read with the parsers of the filters.

use super::{Limit, Trigger, Window};
use crate::event::{Cause, EventKind};
use crate::filter::{self, Filters};
use crate::values;

/// Words that stand before `=`.
const KEYS: &str = "event, errno, remote, port, proto, comm, pid, cgroup, cause, reason";

const NO_TWO_KINDS: &str = "no event is of two kinds; for either of them: event=A,B";

const CAUSES: [Cause; 7] = [
    Cause::Rto,
    Cause::Fast,
    Cause::Tlp,
    Cause::Syn,
    Cause::SynAck,
    Cause::Mtu,
    Cause::Unknown,
];

/// Reads an expression.
pub(super) fn parse(expression: &str) -> Result<Trigger, String> {
    let mut read = Reader::default();
    for word in split(expression)? {
        read.term(&word)
            .map_err(|why| format!("{}: {}", quoted(&word), without_flags(&why)))?;
    }
    if read.seen.is_empty() {
        return Err(
            "a trigger names the events that set it off, for example errno=ECOMM or 'retransmit rate>200/s'"
                .to_string(),
        );
    }
    read.finish(expression)
}

#[derive(Default)]
struct Reader {
    filters: Filters,
    causes: Vec<Cause>,
    reasons: Vec<String>,
    rate: Option<Limit>,
    above_us: Option<u64>,
    /// Which kinds of terms there were: each may come once, since all must hold.
    seen: Vec<&'static str>,
}

impl Reader {
    fn term(&mut self, word: &str) -> Result<(), String> {
        if let Some(rest) = word.strip_prefix("rate") {
            self.once("rate", "of two rates one is enough")?;
            self.rate = Some(rate(rest)?);
            return Ok(());
        }
        if let Some((name, time)) = word.split_once('>') {
            self.once("event", NO_TWO_KINDS)?;
            self.filters.event = vec![bare(name)?];
            self.above_us = Some(longer(name, time)?);
            return Ok(());
        }
        let Some((key, value)) = word.split_once('=') else {
            self.once("event", NO_TWO_KINDS)?;
            self.filters.event = vec![bare(word)?];
            return Ok(());
        };
        let again = format!("all terms must hold, so each comes once; for alternatives: {key}=A,B");
        let filters = &mut self.filters;
        let kind = match key {
            "event" => {
                filters.event = list(value, event_kind)?;
                "event"
            }
            "errno" => {
                filters.errno = list(value, values::errno)?;
                "errno"
            }
            "remote" => {
                filters.remote = list(value, values::remote)?;
                "remote"
            }
            "port" => {
                filters.port = list(value, values::ports)?.into_iter().flatten().collect();
                "port"
            }
            "proto" => {
                filters.proto = list(value, values::proto)?;
                "proto"
            }
            "comm" => {
                filters.comm = list(value, |name| values::comm(name.as_bytes()))?;
                "comm"
            }
            "pid" => {
                filters.pid = list(value, values::pid)?;
                "pid"
            }
            "cgroup" if !value.is_empty() => {
                filters.cgroup = Some(value.to_owned());
                "cgroup"
            }
            "cgroup" => {
                return Err("expected a path, for example cgroup=/system.slice".to_string());
            }
            "cause" => {
                self.causes = list(value, cause)?;
                "cause"
            }
            "reason" => {
                self.reasons = list(value, reason)?;
                "reason"
            }
            _ => {
                return Err(format!(
                    "expected an event kind, rate>N/T, or one of {KEYS} with = behind it"
                ));
            }
        };
        self.once(kind, &again)
    }

    fn once(&mut self, kind: &'static str, why: &str) -> Result<(), String> {
        if self.seen.contains(&kind) {
            return Err(why.to_owned());
        }
        self.seen.push(kind);
        Ok(())
    }

    /// Terms that belong to one event kind say which one; those of two event kinds can never both hold.
    fn finish(mut self, expression: &str) -> Result<Trigger, String> {
        self.belongs("cause", EventKind::Retransmit, self.causes.is_empty())?;
        self.belongs("reason", EventKind::Drop, self.reasons.is_empty())?;
        let wanted = filter::resolve_offline(&self.filters)
            .map_err(|error| without_flags(&error.to_string()))?;
        Ok(Trigger {
            expression: expression.trim().to_owned(),
            wanted,
            causes: self.causes,
            reasons: self.reasons,
            rate: self.rate.map(Window::new),
            above_us: self.above_us,
        })
    }

    fn belongs(&mut self, term: &str, to: EventKind, absent: bool) -> Result<(), String> {
        if absent {
            return Ok(());
        }
        let event_kinds = &mut self.filters.event;
        if (!event_kinds.is_empty() && !event_kinds.contains(&to)) || !self.filters.errno.is_empty()
        {
            return Err(format!(
                "{term}= is of {to} alone, and the other terms leave that out: it would never fire"
            ));
        }
        *event_kinds = vec![to];
        Ok(())
    }
}

/// A word without `=`: an event kind.
fn bare(word: &str) -> Result<EventKind, String> {
    event_kind(word).map_err(|_| {
        let names: Vec<_> = EventKind::ALL
            .iter()
            .filter(|event_kind| **event_kind != EventKind::Lost)
            .map(|event_kind| event_kind.name())
            .collect();
        format!(
            "expected an event kind ({}), rate>N/T, or one of {KEYS} with = behind it",
            names.join(", ")
        )
    })
}

fn event_kind(name: &str) -> Result<EventKind, String> {
    if name == EventKind::Lost.name() {
        return Err("lost events are no trigger".to_string());
    }
    values::event_kind(name)
}

fn cause(name: &str) -> Result<Cause, String> {
    CAUSES
        .into_iter()
        .find(|cause| cause.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("expected one of {}", CAUSES.map(Cause::name).join(", ")))
}

/// Only the running kernel knows which there are; `reason_N` and `subsystem:N` are names too.
fn reason(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_:".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(
            "expected a drop reason as the output names it, for example NO_SOCKET".to_string(),
        );
    }
    Ok(name.to_owned())
}

/// What follows `waiting>` or `blocked>`: a time, in microseconds.
fn longer(name: &str, time: &str) -> Result<u64, String> {
    if ![EventKind::Waiting, EventKind::Blocked]
        .map(EventKind::name)
        .contains(&name)
    {
        return Err("expected waiting>T or blocked>T: no other event takes time".to_string());
    }
    let time = values::duration(time)
        .map_err(|_| format!("expected {name}>T without blanks, for example {name}>30s"))?;
    u64::try_from(time.as_micros()).map_err(|_| "the time is too long".to_string())
}

/// What follows `rate`: `>N/T` or `>=N/T`, where T is `s`, `m`, `h`, `10s`, `5m`…
fn rate(text: &str) -> Result<Limit, String> {
    let expected = || {
        "expected rate>N/T without blanks, for example rate>10/s, rate>=200/10s or rate>5/m"
            .to_string()
    };
    let above = text.strip_prefix('>').ok_or_else(expected)?;
    let (extra, rest) = match above.strip_prefix('=') {
        Some(rest) => (0, rest),
        None => (1, above),
    };
    let (number, time) = rest.split_once('/').ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let one = format!("1{time}");
    let digits_first = time.starts_with(|c: char| c.is_ascii_digit());
    let window =
        values::duration(if digits_first { time } else { &one }).map_err(|_| expected())?;
    let too_large = || "the numbers of this rate are too large".to_string();
    let fires_at = number.checked_add(extra).ok_or_else(too_large)?;
    if fires_at == 0 {
        return Err("a rate of no events is always there: expected a number above 0".to_string());
    }
    Ok(Limit {
        fires_at,
        window_ns: u64::try_from(window.as_nanos()).map_err(|_| too_large())?,
    })
}

/// Values separated by commas, each read alike.
fn list<T>(value: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').map(read).collect()
}

/// Words, at blanks; a part in double quotes may have blanks in it (`comm="Web Content"`).
fn split(expression: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_quotes = false;
    for c in expression.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            c if c.is_whitespace() && !in_quotes => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            }
            c => word.push(c),
        }
    }
    if in_quotes {
        return Err(format!("{}: a quote is not closed", quoted(expression)));
    }
    words.extend((!word.is_empty()).then_some(word));
    Ok(words)
}

/// The messages of the filters name flags; here the same words stand before `=`.
fn without_flags(message: &str) -> String {
    KEYS.split(", ").fold(message.to_owned(), |message, key| {
        message.replace(&format!("--{key}"), &format!("{key}="))
    })
}

/// Fit for a terminal, and not without end.
fn quoted(word: &str) -> String {
    let shown: String = word.chars().take(80).collect();
    format!("\"{}\"", shown.escape_debug())
}
