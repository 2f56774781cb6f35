//! Triggers: which events set the flight recorder off.
//!
//! An expression is a filter in the words of the command line, with a rate behind it where one event alone is
//! nothing to wake up for: `errno=ECOMM`, `retransmit rate>200/s remote=10.0.0.0/8`. Pure: time is in the
//! events.

mod rate;
mod words;

use crate::event::{Cause, Detail, Event, EventKind};
use crate::filter::FilterSpec;

use rate::{Limit, Window};

/// One `--trigger`.
#[derive(Clone, Debug)]
pub struct Trigger {
    expression: String,
    wanted: FilterSpec,
    /// Causes of retransmits; empty for all.
    causes: Vec<Cause>,
    /// Reasons of drops, as typed; empty for all.
    reasons: Vec<String>,
    rate: Option<Window>,
    /// Waits that are no longer, microseconds, set nothing off.
    above_us: Option<u64>,
}

impl Trigger {
    /// Reads an expression: terms separated by blanks, of which all must hold. The words and values are those
    /// of the filters; the help of `record` lists them.
    ///
    /// # Errors
    /// The word that is wrong, and what was expected instead.
    pub fn parse(expression: &str) -> Result<Self, String> {
        words::parse(expression)
    }

    /// The expression as typed, for the trace and for people.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Names of drop reasons in it. Only the running kernel knows its reasons, so whoever starts the recorder
    /// can warn of one that it does not have.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// Takes an event and says whether the trigger fires at it. With a rate that is every event at which the
    /// rate is exceeded, until [`Self::rearm`] or until it falls.
    ///
    /// Each event must be given once, and about in the order of time: an event that comes late counts at its
    /// own time, but a window that the latest event has closed stays closed.
    pub fn observe(&mut self, event: &Event) -> bool {
        self.matches(event)
            && self
                .rate
                .as_mut()
                .is_none_or(|window| window.add(event.boot_ns, event.count))
    }

    /// Forgets what was counted, so that the same events do not fire twice.
    pub fn rearm(&mut self) {
        if let Some(window) = &mut self.rate {
            window.clear();
        }
    }

    fn matches(&self, event: &Event) -> bool {
        // A loss is shown whatever the filter, but it is not what anybody waits for.
        event.kind() != EventKind::Lost
            && self.wanted.matches(event)
            && (self.causes.is_empty()
                || matches!(&event.detail, Detail::Retransmit(retransmit)
                    if self.causes.contains(&retransmit.cause)))
            && (self.reasons.is_empty()
                || matches!(&event.detail, Detail::Drop(drop)
                    if drop.reason.as_ref().is_some_and(|reason| self.names(reason))))
            && self
                .above_us
                .is_none_or(|above| waited_us(&event.detail).is_some_and(|us| us > above))
    }

    fn names(&self, reason: &str) -> bool {
        self.reasons
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(reason))
    }
}

/// For how long something waits, or was blocked.
fn waited_us(detail: &Detail) -> Option<u64> {
    match detail {
        Detail::Waiting(waiting) => Some(waiting.for_us),
        Detail::Blocked(blocked) => blocked.blocked_us,
        _ => None,
    }
}

/// All triggers of a recorder, of which any one is enough.
#[derive(Clone, Debug, Default)]
pub struct Triggers(Vec<Trigger>);

impl Triggers {
    /// In the order as typed.
    pub fn new(triggers: Vec<Trigger>) -> Self {
        Self(triggers)
    }

    /// Takes an event and gives the first trigger that fires at it. Each of them counts every event.
    pub fn observe(&mut self, event: &Event) -> Option<&Trigger> {
        let mut first = None;
        for trigger in &mut self.0 {
            let fires = trigger.observe(event);
            if fires && first.is_none() {
                first = Some(&*trigger);
            }
        }
        first
    }

    /// [`Trigger::rearm`] for all.
    pub fn rearm(&mut self) {
        self.0.iter_mut().for_each(Trigger::rearm);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
