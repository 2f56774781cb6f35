use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use tracer_model::event::{Detail, Direction, Event, Totals};
use tracer_model::testing::{Rng, event};

use super::*;
use crate::sign::is_decision;
use crate::testing::{SECOND, WALL_NS, header};
use crate::{HostFacts, Observer, Report, Verdict, judge};

/// Observes events in the order in which they are given.
fn observed(events: &[Event]) -> Observed {
    let mut observer = Observer::default();
    let header = header();
    let facts = HostFacts::new("test".to_owned(), TimeZone::UTC, &header);
    let host = observer.host(facts, &header);
    for event in events {
        observer.event(host, WALL_NS + event.boot_ns as i64, event);
    }
    observer.covered(WALL_NS, WALL_NS + 60 * SECOND as i64);
    observer.finish(Totals::default()).0
}

/// Events that are trouble for certain, whatever comes of them; RST, ends of connections and waits are joined, and
/// not counted here.
fn trouble(events: &[Event]) -> u64 {
    let all = events.iter().filter(|event| event.flow.is_some());
    let counted = all.filter(|event| match &event.detail {
        Detail::SendError(_) | Detail::Retransmit(_) | Detail::Device(_) | Detail::Blocked(_) => {
            true
        }
        Detail::Drop(drop) => match drop.direction {
            Some(Direction::Sent) => true,
            _ => drop.reason.as_deref().is_some_and(is_decision),
        },
        _ => false,
    });
    counted.map(|event| event.count).sum()
}

fn joined(sign: &Sign) -> bool {
    matches!(
        sign,
        Sign::Ended(_)
            | Sign::Waited(_)
            | Sign::NeverOpened
            | Sign::ResetReceived
            | Sign::ResetSent
    )
}

#[test]
fn every_event_that_is_trouble_is_accounted_for_exactly_once() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let count = 1 + rng.below(60);
        let mut events: Vec<_> = (0..count).map(|_| event(&mut rng)).collect();
        events.sort_by_key(|event| event.boot_ns);
        let observed = observed(&events);
        let judgement = judge(&observed);
        let entries = &judgement.entries;
        let sum: u64 = entries
            .iter()
            .filter(|entry| !joined(&entry.sign))
            .map(|entry| entry.sum.count)
            .sum();
        assert_eq!(sum, trouble(&events), "seed {seed}");
        let once: BTreeSet<_> = entries
            .iter()
            .map(|entry| (entry.socket, &entry.sign))
            .collect();
        assert_eq!(once.len(), entries.len(), "seed {seed}");
        assert!(
            entries.iter().all(|entry| entry.fate != Fate::Unknown),
            "seed {seed}"
        );
        let shares: f64 = judgement.findings.iter().map(|finding| finding.share).sum();
        let harm: f64 = judgement.findings.iter().map(|finding| finding.harm).sum();
        assert!(
            harm == 0.0 || (shares - 1.0).abs() < 1e-6,
            "seed {seed}: {shares}"
        );
    }
}

#[test]
fn nothing_wrong_is_said_only_when_all_trouble_is_left_out_on_purpose() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let events: Vec<_> = (0..1 + rng.below(2)).map(|_| event(&mut rng)).collect();
        let report = Report::new(observed(&events), crate::Hours::default(), false);
        if report.verdict == Verdict::NothingWrong {
            let left: u64 = report.left_out.iter().map(|one| one.count).sum();
            assert!(left >= trouble(&events), "seed {seed}: {events:?}");
        }
    }
}
