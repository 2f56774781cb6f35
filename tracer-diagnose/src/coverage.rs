//! What could be seen at all: a rule that needs more must say so, not guess.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Sum;
use tracer_model::event::{Signal, Totals};

/// What was recorded, and what is missing in it.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Signals that were recorded; `None` when the trace does not say.
    pub signals: Option<BTreeSet<String>>,
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
        let signals = facts.get("signals").and_then(Value::as_array);
        if let Some(signals) = signals {
            let names = signals.iter().filter_map(Value::as_str).map(str::to_owned);
            self.signals.get_or_insert_default().extend(names);
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

    /// Was this signal recorded? A trace that does not say is taken to have all but `send`.
    pub fn has(&self, signal: Signal) -> bool {
        match &self.signals {
            Some(signals) => signals.contains(signal.name()),
            None => signal != Signal::Send,
        }
    }

    /// Is one of the signals missing that most failures show in?
    pub fn signals_missing(&self) -> bool {
        [Signal::Retransmit, Signal::SendError, Signal::Connection]
            .iter()
            .any(|signal| !self.has(*signal))
    }

    /// What is missing for whoever needs these signals, and samples: for people.
    pub fn missing(&self, needs: &[Signal], samples: bool) -> Vec<String> {
        let mut missing: Vec<_> = needs
            .iter()
            .filter(|signal| !self.has(**signal))
            .map(|signal| format!("the signal {signal} was not recorded"))
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
                .filter(|lost| needs.iter().any(|signal| lost.starts_with(signal.name())))
                .cloned(),
        );
        for (signal, totals) in &self.totals.signals {
            if !needs.contains(signal) {
                continue;
            }
            if totals.lost > 0 {
                missing.push(format!("{} events of {signal} were lost", totals.lost));
            }
            if let Some(missed @ 1..) = totals.missed {
                missing.push(format!(
                    "the kernel skipped {missed} runs of the {signal} hooks"
                ));
            }
        }
        missing
    }
}
