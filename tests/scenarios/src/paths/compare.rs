//! What was sent against what was seen: pure, so that each way to be wrong has a test.

use std::fmt;

use serde_json::Value;

use super::{By, Call, End, SendReport, Sends};
use crate::identity::Identity;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// With the send or the event that shows it.
    pub detail: String,
}

/// How an event, or the lack of one, can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A send without an event; `whole` when no send of its sender on its flow has one.
    Missed {
        whole: bool,
    },
    /// A second event of a send.
    Double,
    /// An event that no send explains.
    Unexpected,
    WrongOwner,
    WrongRequested,
    WrongFlow,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many sends have exactly one event, right in all that it says.
    pub right: usize,
    /// How many of these did not say the requested size.
    pub without_requested: usize,
    pub faults: Vec<Fault>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Missed { .. } => "missed",
            FaultKind::Double => "double",
            FaultKind::Unexpected => "unexpected",
            FaultKind::WrongOwner => "wrong owner",
            FaultKind::WrongRequested => "wrong requested size",
            FaultKind::WrongFlow => "wrong flow",
        };
        write!(f, "{what}: {}", self.detail)
    }
}

/// Whether this event belongs to this report: by its process, or, when it names none, by its flow. An event
/// that names somebody else belongs to nobody, and that is a fault of its own.
pub fn is_of(event: &Value, who: &Identity, report: &SendReport) -> bool {
    if let Some(pid) = event["owner"]["pid"].as_u64() {
        return pid == u64::from(who.pid);
    }
    let flow = &event["flow"];
    report.sends.iter().any(|sends| {
        let ends = [
            (&sends.local, &flow["local"]),
            (&sends.remote, &flow["remote"]),
        ];
        // Ports alone would not do: TCP and UDP have the same, and they are given again.
        let told: Vec<_> = ends.iter().filter(|(_, told)| !told.is_null()).collect();
        flow["proto"] == sends.proto
            && told.iter().any(|(end, _)| has_port(end))
            && told
                .iter()
                .all(|(end, told)| matches!(end, End::Is(text) if *told == text))
    })
}

fn has_port(end: &End) -> bool {
    let End::Is(text) = end else {
        return false;
    };
    let address = text.parse::<std::net::SocketAddr>();
    address.is_ok_and(|address| address.port() != 0)
}

/// A send that waits for its event.
struct Waiting<'a> {
    group: usize,
    sends: &'a Sends,
    call: Call,
    found: bool,
}

/// Holds the events of a report's sends (`send` and `send_error`) against them.
pub fn compare(who: &Identity, netns: u64, report: &SendReport, events: &[Value]) -> Comparison {
    let mut waiting: Vec<Waiting> = Vec::new();
    for (group, sends) in report.sends.iter().enumerate() {
        waiting.extend(sends.calls.iter().map(|&call| Waiting {
            group,
            sends,
            call,
            found: false,
        }));
    }
    let mut result = Comparison::default();
    // Those that say most choose first, so that those that say less take what is left.
    let (sized, unsized_): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| requested(event).is_some());
    let mut rest = Vec::new();
    for event in sized.into_iter().chain(unsized_) {
        let fit = waiting
            .iter_mut()
            .find(|send| !send.found && faults(event, who, netns, send).is_empty());
        match fit {
            Some(send) => {
                send.found = true;
                result.right += 1;
                result.without_requested += usize::from(requested(event).is_none());
            }
            None => rest.push(event),
        }
    }
    for event in rest {
        result
            .faults
            .extend(explain(event, who, netns, &mut waiting));
    }
    let seen_in = |group: usize| waiting.iter().any(|send| send.group == group && send.found);
    for send in waiting.iter().filter(|send| !send.found) {
        let whole = !seen_in(send.group);
        result.faults.push(Fault {
            kind: FaultKind::Missed { whole },
            detail: send.to_string(),
        });
    }
    result
}

/// Why an event fits no send that waits. It takes the one that it resembles, so that one mistake is not
/// reported as two.
fn explain(event: &Value, who: &Identity, netns: u64, waiting: &mut [Waiting]) -> Vec<Fault> {
    let same = |send: &&mut Waiting| outcome(event) == Some(send.call.result) && one(event);
    let nearest = waiting
        .iter_mut()
        .filter(same)
        .filter(|send| !send.found)
        .min_by_key(|send| faults(event, who, netns, send).len());
    if let Some(send) = nearest {
        send.found = true;
        return faults(event, who, netns, send)
            .into_iter()
            .map(|kind| Fault {
                kind,
                detail: format!("{send}: {event}"),
            })
            .collect();
    }
    let again = waiting
        .iter_mut()
        .filter(same)
        .any(|send| requested(event).is_none_or(|requested| requested == send.call.requested));
    let kind = if again {
        FaultKind::Double
    } else {
        FaultKind::Unexpected
    };
    vec![Fault {
        kind,
        detail: event.to_string(),
    }]
}

/// What keeps this event from being that of this send.
fn faults(event: &Value, who: &Identity, netns: u64, send: &Waiting) -> Vec<FaultKind> {
    let mut faults = Vec::new();
    if outcome(event) != Some(send.call.result) || !one(event) {
        faults.push(FaultKind::Unexpected);
    }
    if requested(event).is_some_and(|requested| requested != send.call.requested) {
        faults.push(FaultKind::WrongRequested);
    }
    if !owner_fits(event, who, send.sends.by) {
        faults.push(FaultKind::WrongOwner);
    }
    if !flow_fits(&event["flow"], netns, send.sends) {
        faults.push(FaultKind::WrongFlow);
    }
    faults
}

/// Exactly one send, not an aggregate.
fn one(event: &Value) -> bool {
    event["count"] == 1
}

/// Bytes taken, or the negative errno.
fn outcome(event: &Value) -> Option<i64> {
    match event["event"].as_str()? {
        "send" => event["send"]["sent_bytes"].as_i64(),
        "send_error" => Some(-event["send_error"]["errno"].as_i64()?),
        _ => None,
    }
}

fn requested(event: &Value) -> Option<u64> {
    event[event["event"].as_str()?]["requested_bytes"].as_u64()
}

fn owner_fits(event: &Value, who: &Identity, by: By) -> bool {
    let owner = &event["owner"];
    if by == By::Kernel {
        return owner["grade"] == "kernel" && owner["pid"].is_null() && owner["comm"].is_null();
    }
    owner["pid"] == who.pid
        && (by == By::AnyThread || owner["tid"] == who.pid)
        && owner["comm"] == who.comm
        && owner["uid"] == who.uid
        && owner["grade"] == "at_send"
        && owner["started"]
            .as_str()
            .is_some_and(|at| who.started_at(at))
}

fn flow_fits(flow: &Value, netns: u64, sends: &Sends) -> bool {
    let end_fits = |value: &Value, end: &End| match end {
        End::Unnamed => value.is_null(),
        End::Is(text) => value.is_null() || value == text,
    };
    flow.is_null()
        || flow["proto"] == sends.proto
            && end_fits(&flow["local"], &sends.local)
            && end_fits(&flow["remote"], &sends.remote)
            && (flow["netns"].is_null() || flow["netns"] == netns)
}

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sends {
            by,
            proto,
            local,
            remote,
            ..
        } = self.sends;
        write!(
            f,
            "a send of {} bytes that returned {}, by {by:?}, {proto} {local:?} to {remote:?}",
            self.call.requested, self.call.result
        )
    }
}

#[cfg(test)]
mod tests;
