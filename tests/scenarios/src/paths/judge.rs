//! From a comparison to the line of a table: pass, fail, or not to be seen on this host.

use super::{Comparison, Fault, FaultKind, Path, SendReport};
use crate::report::Outcome;

/// Faults that a line shows; a path that is wrong is mostly wrong in one way.
const SHOWN: usize = 3;

/// The outcome of a path and the words beside it.
///
/// `not_seen` is what `doctor` says about this path, if it says that it is not seen on this host. It excuses
/// sends that have no event at all on their flow, and nothing else: an event that is there must be right.
pub fn judge(
    path: Path,
    report: &SendReport,
    comparison: &Comparison,
    not_seen: Option<&str>,
) -> (Outcome, String) {
    if let Some(why) = &report.unsupported {
        let outcome = if path.optional {
            Outcome::Unsupported
        } else {
            Outcome::Fail
        };
        return (outcome, why.clone());
    }
    let note = report.note.as_ref();
    let with_note =
        |text: String| note.map_or_else(|| text.clone(), |note| format!("{text} ({note})"));
    let sends = report.count();
    if let Some(why) = proves_nothing(path, report) {
        return (Outcome::Fail, why);
    }
    if comparison.faults.is_empty() {
        let sizes = match comparison.without_requested {
            0 => String::new(),
            all if all == sends => ", requested size not shown".to_owned(),
            some => format!(", requested size of {some} not shown"),
        };
        return (
            Outcome::Pass,
            with_note(format!("{sends} of {sends}{sizes}")),
        );
    }
    let whole = |fault: &Fault| fault.kind == FaultKind::Missed { whole: true };
    if let Some(why) = not_seen
        && comparison.faults.iter().all(whole)
    {
        return (Outcome::Unsupported, with_note(why.to_owned()));
    }
    let count = comparison.faults.len();
    let mut shown: Vec<String> = comparison
        .faults
        .iter()
        .take(SHOWN)
        .map(Fault::to_string)
        .collect();
    if count > SHOWN {
        shown.push(format!("and {} more", count - SHOWN));
    }
    let right = comparison.right;
    let faults = shown.join("; ");
    (
        Outcome::Fail,
        with_note(format!(
            "{right} of {sends} right, {count} faults: {faults}"
        )),
    )
}

/// Why these sends are not what the path is about.
fn proves_nothing(path: Path, report: &SendReport) -> Option<String> {
    let mut calls = report.sends.iter().flat_map(|sends| &sends.calls);
    if report.count() == 0 {
        return Some("nothing was sent".to_owned());
    }
    if path.name.starts_with("failing: ") {
        return calls
            .all(|call| call.result >= 0)
            .then(|| "no send failed".to_owned());
    }
    calls
        .find(|call| call.result < 0)
        .map(|call| format!("a send failed with errno {}", -call.result))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::{By, Call, End, Sends};

    const ALWAYS: Path = Path {
        name: "TCP send",
        optional: false,
    };
    const OPTIONAL: Path = Path {
        name: "MPTCP send",
        optional: true,
    };

    fn two_sends() -> SendReport {
        let call = Call {
            requested: 10,
            result: 10,
        };
        SendReport {
            sends: vec![Sends {
                by: By::Process,
                proto: "tcp".to_owned(),
                local: End::Unnamed,
                remote: End::Unnamed,
                calls: vec![call, call],
            }],
            ..SendReport::default()
        }
    }

    fn with(kinds: &[FaultKind]) -> Comparison {
        Comparison {
            right: 2 - kinds.len().min(2),
            without_requested: 0,
            faults: kinds
                .iter()
                .map(|&kind| Fault {
                    kind,
                    detail: "a send".to_owned(),
                })
                .collect(),
        }
    }

    fn outcome(
        path: Path,
        report: &SendReport,
        kinds: &[FaultKind],
        not_seen: Option<&str>,
    ) -> Outcome {
        judge(path, report, &with(kinds), not_seen).0
    }

    #[test]
    fn all_right_is_a_pass_that_says_how_many_and_what_is_not_shown() {
        let (outcome, detail) = judge(ALWAYS, &two_sends(), &with(&[]), None);
        assert_eq!((outcome, detail.as_str()), (Outcome::Pass, "2 of 2"));
        let comparison = Comparison {
            without_requested: 2,
            ..with(&[])
        };
        let (_, detail) = judge(ALWAYS, &two_sends(), &comparison, None);
        assert_eq!(detail, "2 of 2, requested size not shown");
    }

    #[test]
    fn only_what_a_kernel_may_lack_can_be_unsupported() {
        let none = SendReport::unsupported("ENOPROTOOPT");
        assert_eq!(outcome(OPTIONAL, &none, &[], None), Outcome::Unsupported);
        assert_eq!(outcome(ALWAYS, &none, &[], None), Outcome::Fail);
    }

    #[test]
    fn a_path_that_sent_nothing_proves_nothing() {
        assert_eq!(
            outcome(ALWAYS, &SendReport::default(), &[], None),
            Outcome::Fail
        );
    }

    #[test]
    fn a_path_about_success_must_succeed_and_one_about_failure_must_fail() {
        let failing = Path {
            name: "failing: EAGAIN",
            optional: false,
        };
        let mut report = two_sends();
        assert_eq!(outcome(failing, &report, &[], None), Outcome::Fail);
        report.sends[0].calls[1].result = -11;
        assert_eq!(outcome(failing, &report, &[], None), Outcome::Pass);
        assert_eq!(outcome(ALWAYS, &report, &[], None), Outcome::Fail);
    }

    #[test]
    fn doctor_excuses_a_blind_path_and_nothing_else() {
        let (whole, part) = (
            FaultKind::Missed { whole: true },
            FaultKind::Missed { whole: false },
        );
        let of = |kinds: &[FaultKind], doctor| outcome(ALWAYS, &two_sends(), kinds, doctor);
        assert_eq!(of(&[whole, whole], Some("blind")), Outcome::Unsupported);
        assert_eq!(of(&[whole, whole], None), Outcome::Fail);
        assert_eq!(of(&[part], Some("blind")), Outcome::Fail);
        for kind in [
            FaultKind::Double,
            FaultKind::Unexpected,
            FaultKind::WrongOwner,
            FaultKind::WrongFlow,
            FaultKind::WrongRequested,
        ] {
            assert_eq!(of(&[whole, kind], Some("blind")), Outcome::Fail);
        }
    }

    #[test]
    fn a_failure_shows_its_first_faults_and_counts_the_rest() {
        let (_, detail) = judge(ALWAYS, &two_sends(), &with(&[FaultKind::Double; 5]), None);
        assert_eq!(
            detail,
            "0 of 2 right, 5 faults: double: a send; double: a send; double: a send; and 2 more"
        );
    }
}
