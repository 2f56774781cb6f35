//! A witness beside the tracer: what fired while this host let no BPF program run, see
//! [`tracer_capture::withholding`].

use trace_instance::{TRACEPOINTS, TraceInstance};
use tracer_capture::withholding::Withholding;

use super::check::{Outcome, Verdict};

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

/// Whether some check failed.
pub fn any_failed(verdicts: &[Verdict]) -> bool {
    let failed = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Fail(_));
    verdicts.iter().any(failed)
}

/// What a check that failed says the second time counts.
pub fn replace_failed(verdicts: &mut [Verdict], again: Vec<Verdict>) {
    for later in again {
        let mut failed = verdicts
            .iter_mut()
            .filter(|verdict| matches!(verdict.outcome, Outcome::Fail(_)));
        if let Some(verdict) = failed.find(|verdict| verdict.name == later.name) {
            *verdict = later;
        }
    }
}

/// Nothing is known of what still fails where events were withheld every time.
pub fn excuse_failed(verdicts: &mut [Verdict]) {
    for verdict in verdicts {
        if let Outcome::Fail(problem) = &verdict.outcome {
            verdict.outcome = Outcome::Withheld(problem.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(outcomes: [Outcome; 3]) -> Vec<Verdict> {
        let verdict = |(name, outcome): (&str, Outcome)| Verdict {
            name: name.to_owned(),
            outcome,
        };
        ["a", "b", "c"]
            .into_iter()
            .zip(outcomes)
            .map(verdict)
            .collect()
    }

    #[test]
    fn only_what_failed_is_judged_again() {
        let (good, bad) = (
            || Outcome::Pass(String::new()),
            || Outcome::Fail("none came".to_owned()),
        );
        let mut first = verdicts([good(), bad(), bad()]);
        replace_failed(&mut first, verdicts([bad(), good(), bad()]));
        assert_eq!(first, verdicts([good(), good(), bad()]));
        assert!(any_failed(&first));
        excuse_failed(&mut first);
        let withheld = Outcome::Withheld("none came".to_owned());
        assert_eq!(first, verdicts([good(), good(), withheld]));
        assert!(!any_failed(&first));
    }
}
