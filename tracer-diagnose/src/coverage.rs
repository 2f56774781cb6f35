//! What could be seen at all: a rule that needs more must say so, not guess.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Sum;
use tracer_model::event::{EventKind, Totals};

/// What was recorded, and what is missing in it.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Event kinds that were recorded; `None` when the trace does not say.
    pub event_kinds: Option<BTreeSet<String>>,
    /// What the recorder's host could not show, in the recorder's words.
    pub not_seen: Vec<String>,
    /// Were counters sampled beside the events?
    pub samples: u64,
    /// Events that were lost, by where and which.
    pub lost: Sum,
    pub totals: Totals,
    /// Parts of the traces that are missing or damaged.
    pub damage: Vec<String>,
    /// Sockets beyond the bound, which are not kept apart.
    pub sockets_left_out: u64,
}

impl Coverage {
    pub(super) fn header(&mut self, facts: &Map<String, Value>) {
        let event_kinds = facts.get("events");
        // Traces from before the first release say it so.
        let event_kinds = event_kinds.or_else(|| facts.get("signals"));
        let event_kinds = event_kinds.and_then(Value::as_array);
        if let Some(event_kinds) = event_kinds {
            let names = event_kinds
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned);
            self.event_kinds.get_or_insert_default().extend(names);
        }
        let lost = facts.get("not_seen").and_then(Value::as_array);
        for one in lost.into_iter().flatten() {
            let text = match one {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if !self.not_seen.contains(&text) {
                self.not_seen.push(text);
            }
        }
    }

    /// Was this event kind recorded? A trace that does not say is taken to have all but `send`.
    pub fn has(&self, event_kind: EventKind) -> bool {
        match &self.event_kinds {
            Some(event_kinds) => event_kinds.contains(event_kind.name()),
            None => event_kind != EventKind::Send,
        }
    }

    /// Is one of the event kinds missing that most failures show in?
    pub fn kinds_missing(&self) -> bool {
        [
            EventKind::Retransmit,
            EventKind::SendError,
            EventKind::Connection,
        ]
        .iter()
        .any(|event_kind| !self.has(*event_kind))
    }

    /// What is missing for whoever needs these event kinds, and samples: for people.
    pub fn missing(&self, needs: &[EventKind], samples: bool) -> Vec<String> {
        let mut missing: Vec<_> = needs
            .iter()
            .filter(|event_kind| !self.has(**event_kind))
            .map(|event_kind| format!("{event_kind} events were not recorded"))
            .collect();
        missing.extend(
            self.damage
                .iter()
                .map(|damage| format!("in the trace, {damage}")),
        );
        if samples && self.samples == 0 {
            missing.push("no counters of the host were sampled".to_owned());
        }
        missing.extend(
            self.not_seen
                .iter()
                .filter(|lost| {
                    needs
                        .iter()
                        .any(|event_kind| lost.starts_with(event_kind.name()))
                })
                .cloned(),
        );
        for (event_kind, totals) in &self.totals.events {
            if !needs.contains(event_kind) {
                continue;
            }
            if totals.lost > 0 {
                missing.push(format!("{} events of {event_kind} were lost", totals.lost));
            }
            if let Some(missed @ 1..) = totals.missed {
                missing.push(format!(
                    "the kernel skipped {missed} runs of the {event_kind} hooks"
                ));
            }
        }
        missing
    }
}
