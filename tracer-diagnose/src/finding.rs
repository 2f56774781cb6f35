//! A finding: a diagnosis with its evidence.

use super::rule::{Confidence, Layer, Rule, Symptom};
use super::{Peer, Sum};
use tracer_model::event::{Flow, Owner};

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// For people: `time-outs (rto)`.
    pub what: String,
    /// How many events; `None` when it is no count.
    pub count: Option<u64>,
    /// Of the first and last one, nanoseconds of the wall clock.
    pub when: Option<(i64, i64)>,
    /// `boot_ns` of a few of the events, by which they are found in the trace.
    pub events: Vec<u64>,
}

impl Evidence {
    pub fn of(what: impl Into<String>, sum: &Sum) -> Self {
        Self {
            what: what.into(),
            count: Some(sum.count),
            when: Some((sum.first_ns, sum.last_ns)),
            events: sum.examples.clone(),
        }
    }

    /// Something that is no count of events.
    pub fn fact(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            count: None,
            when: None,
            events: Vec::new(),
        }
    }
}

/// Whose trouble it is, and towards whom.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Index of the host with most trouble.
    pub host: usize,
    /// Indices of all hosts that are concerned.
    pub hosts: Vec<usize>,
    /// Of the conversation with most trouble.
    pub owner: Option<Owner>,
    /// The same flow, where it is one socket; else what its sockets have in common.
    pub flow: Option<Flow>,
    pub peer: Option<Peer>,
    /// Conversations that are concerned.
    pub conversations: usize,
    /// Processes that are concerned.
    pub processes: usize,
    /// Sockets that are concerned.
    pub sockets: usize,
    /// What it is about beside a conversation: an interface, a port.
    pub about: Option<String>,
}

/// A diagnosis with its evidence.
#[derive(Clone)]
pub struct Finding {
    /// Cause, process and destination: the same in another trace of the same trouble.
    pub id: String,
    pub rule: &'static Rule,
    pub symptom: Symptom,
    /// `None`: the evidence does not tell.
    pub layer: Option<Layer>,
    pub confidence: Confidence,
    pub subject: Subject,
    /// Trouble that it explains, in events.
    pub explains: u64,
    /// Harm that it accounts for: see [`super::Socket::harm`].
    pub harm: f64,
    /// Part of all harm, 0 to 1.
    pub share: f64,
    /// The first time that it shows, nanoseconds of the wall clock.
    pub first_ns: i64,
    /// The last time that it shows, nanoseconds of the wall clock.
    pub last_ns: i64,
    pub evidence: Vec<Evidence>,
    pub against: Vec<String>,
    /// What else it might have been, and is not.
    pub excluded: Vec<String>,
    pub not_observed: Vec<String>,
}
