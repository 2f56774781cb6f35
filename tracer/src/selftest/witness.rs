//! A witness beside the tracer: what fired while this host let no BPF program run, see
//! [`tracer_capture::withholding`].

use trace_instance::{TRACEPOINTS, TraceInstance};
use tracer_capture::withholding::Withholding;

use super::check::{Outcome, Verdict};
use super::closing::SURE;

/// Watches until it is dropped.
pub struct Witness {
    withholding: Withholding,
    trace_instance: TraceInstance,
}

impl Witness {
    /// `None` where the kernel does not let us watch: then every failure is one.
    pub fn watch() -> Option<Self> {
        Some(Self {
            withholding: Withholding::watch()?,
            trace_instance: TraceInstance::of_process_1(&TRACEPOINTS)?,
        })
    }

    /// Whether something fired since that this host kept from every program.
    pub fn was_withheld(&self) -> bool {
        self.withholding.found() == Some(true) && self.trace_instance.firings().1 > 0
    }
}

/// Whether the check failed or was withheld, and an event that was withheld may be why.
fn may_be_withheld(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, Outcome::Fail(_) | Outcome::Withheld(_))
        && !SURE.contains(&verdict.name.as_str())
}

/// Whether a check itself says that something was withheld.
pub fn says_withheld(verdicts: &[Verdict]) -> bool {
    let withheld = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Withheld(_));
    verdicts.iter().any(withheld)
}

/// Whether it is worth while to look again.
pub fn is_in_doubt(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(may_be_withheld)
}

/// What a check in doubt says the second time counts.
pub fn replace_doubtful(verdicts: &mut [Verdict], again: Vec<Verdict>) {
    for later in again {
        let mut doubtful = verdicts
            .iter_mut()
            .filter(|verdict| may_be_withheld(verdict));
        if let Some(verdict) = doubtful.find(|verdict| verdict.name == later.name) {
            *verdict = later;
        }
    }
}

/// Nothing is known of what still fails where events were withheld every time.
pub fn excuse_doubtful(verdicts: &mut [Verdict]) {
    for verdict in verdicts
        .iter_mut()
        .filter(|verdict| may_be_withheld(verdict))
    {
        if let Outcome::Fail(problem) = &verdict.outcome {
            verdict.outcome = Outcome::Withheld(problem.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(outcomes: [Outcome; 4]) -> Vec<Verdict> {
        let names = ["a", "b", "c", "nothing else"].into_iter();
        let verdict = |(name, outcome): (&str, Outcome)| Verdict {
            name: name.to_owned(),
            outcome,
        };
        names.zip(outcomes).map(verdict).collect()
    }

    #[test]
    fn only_what_an_event_withheld_may_explain_is_judged_again_and_excused() {
        let good = || Outcome::Pass(String::new());
        let bad = || Outcome::Fail("none came".to_owned());
        let mut first = verdicts([good(), bad(), bad(), bad()]);
        assert!(is_in_doubt(&first));
        replace_doubtful(&mut first, verdicts([bad(), good(), bad(), good()]));
        assert_eq!(first, verdicts([good(), good(), bad(), bad()]));
        excuse_doubtful(&mut first);
        let withheld = Outcome::Withheld("none came".to_owned());
        // One event too many was not withheld.
        assert_eq!(first, verdicts([good(), good(), withheld, bad()]));
        assert!(says_withheld(&first));
        replace_doubtful(&mut first, verdicts([bad(), bad(), good(), bad()]));
        assert_eq!(first, verdicts([good(), good(), good(), bad()]));
        assert!(!is_in_doubt(&first) && !says_withheld(&first));
    }
}
