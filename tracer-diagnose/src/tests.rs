use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde_json::json;
use tracer_model::event::{Detail, Event, SendError, Totals};
use tracer_model::linux;

use super::rule::{Confidence, Rule};
use super::testing::{SECOND, WALL_NS, flow, header, owner, refused, report_of};
use super::{HostFacts, Observer, Report, Verdict, rules};

fn causes(report: &Report) -> Vec<(&str, Confidence)> {
    let all = report.findings.iter();
    all.map(|finding| (finding.rule.cause, finding.confidence))
        .collect()
}

fn all_rules() -> impl Iterator<Item = &'static Rule> {
    rules::ALL.iter().copied().chain([&rules::UNKNOWN])
}

#[test]
fn every_rule_says_all_that_an_operator_needs_and_names_only_causes_that_exist() {
    let names: BTreeSet<_> = all_rules().map(|rule| rule.cause).collect();
    assert_eq!(names.len(), all_rules().count(), "two rules of one name");
    for rule in all_rules() {
        let texts = [
            rule.title,
            rule.reason,
            rule.rests_on,
            rule.refuted_by,
            rule.next_step,
            rule.do_not,
        ];
        for text in texts {
            assert!(text.len() > 20, "{}: {text:?}", rule.cause);
            assert!(!text.contains("  "), "{}: {text:?}", rule.cause);
        }
        assert!(!rule.needs.is_empty(), "{}", rule.cause);
        for other in rule.supersedes {
            assert!(names.contains(other), "{}: {other}", rule.cause);
            assert_ne!(*other, rule.cause);
        }
    }
    assert_eq!(
        rules::of("path_loss").map(|rule| rule.cause),
        Some("path_loss")
    );
    assert!(rules::of("no such cause").is_none());
}

#[test]
fn no_two_rules_step_back_for_each_other() {
    for rule in all_rules() {
        for other in rule.supersedes.iter().filter_map(|cause| rules::of(cause)) {
            assert!(
                !other.supersedes.contains(&rule.cause),
                "{} and {}",
                rule.cause,
                other.cause
            );
        }
    }
}

#[test]
fn a_burst_of_refusals_is_told_and_a_steady_health_check_is_not() {
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, "orders", 7, "10.0.0.2:443", n))
        .collect();
    let report = report_of(&header(), &burst, 10);
    assert_eq!(causes(&report), [("connection_refused", Confidence::High)]);
    let finding = &report.findings[0];
    assert_eq!(finding.id, "connection_refused:orders:10.0.0.2:443");
    assert_eq!(finding.subject.sockets, 5);
    assert!((finding.share - 1.0).abs() < 1e-9);

    let steady = |comm| {
        let checks: Vec<_> = (0..6)
            .flat_map(|n| refused(SECOND + n * 2 * SECOND, comm, 7, "10.0.0.2:443", n))
            .collect();
        report_of(&header(), &checks, 20)
    };
    let report = steady("haproxy");
    assert_eq!(causes(&report), []);
    assert_eq!(report.verdict, Verdict::NothingWrong);
    // Whoever is not known for it waits for the service.
    assert_eq!(
        causes(&steady("orders")),
        [("fixed_retry", Confidence::Medium)]
    );
}

#[test]
fn what_was_not_recorded_is_said_and_makes_a_finding_less_sure() {
    let mut header = header();
    header.insert("events".to_owned(), json!(["reset", "send_error"]));
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, "orders", 7, "10.0.0.2:443", n))
        .collect();
    let report = report_of(&header, &burst, 10);
    assert_eq!(
        causes(&report),
        [("connection_refused", Confidence::Medium)]
    );
    assert_eq!(
        report.findings[0].not_observed,
        [
            "connection events were not recorded",
            "drops were not recorded: this host may have dropped the answers itself"
        ]
    );
}

#[test]
fn too_little_data_is_an_answer() {
    assert_eq!(report_of(&header(), &[], 0).verdict, Verdict::TooLittleData);
    assert_eq!(report_of(&header(), &[], 60).verdict, Verdict::NothingWrong);
    let mut drops = header();
    drops.insert("events".to_owned(), json!(["drop"]));
    assert_eq!(report_of(&drops, &[], 60).verdict, Verdict::TooLittleData);
}

#[test]
fn many_programs_at_one_destination_are_one_finding() {
    let all: Vec<_> = (0..12)
        .flat_map(|n| {
            let comm = format!("worker-{}", n % 4);
            let at = SECOND + n * 700_000_000;
            refused(at, &comm, 100 + (n % 4) as u32, "10.0.0.2:443", n)
        })
        .collect();
    let report = report_of(&header(), &all, 20);
    assert_eq!(report.findings.len(), 1, "{:?}", causes(&report));
    assert_eq!(report.findings[0].subject.processes, 4);
    assert_eq!(report.findings[0].subject.sockets, 12);
}

#[test]
fn what_no_rule_explains_is_unknown_and_would_block_is_no_failure() {
    let failed = |errno: i32| -> Vec<_> {
        (0..4)
            .map(|n| Event {
                boot_ns: SECOND + n,
                count: 1,
                owner: owner("odd", 9),
                flow: Some(flow(40_000, "10.0.0.2:443", 5)),
                detail: Detail::SendError(SendError {
                    errno: errno.unsigned_abs(),
                    requested_bytes: Some(1),
                    sent_bytes: Some(0),
                    blocked_us: None,
                }),
                tcp: None,
            })
            .collect()
    };
    let report = report_of(&header(), &failed(linux::EIO), 10);
    assert_eq!(causes(&report), [("unknown", Confidence::Low)]);
    assert_eq!(report.findings[0].rule.layer, None);
    assert_eq!(
        causes(&report_of(&header(), &failed(linux::EAGAIN), 10)),
        []
    );
}

#[test]
fn of_too_many_sockets_those_with_trouble_are_kept_whenever_they_came_and_the_rest_is_counted() {
    let mut observer = Observer::default();
    let header = header();
    let facts = HostFacts::new("test".to_owned(), TimeZone::UTC, &header);
    let host = observer.host(facts, &header);
    let mut events = 0;
    for n in 0..60_000u64 {
        let heavy = n > 50_000 && n.is_multiple_of(10);
        let socket = if heavy { 1_000_000 } else { n };
        for mut event in refused(SECOND + n, "storm", 7, "10.0.0.2:443", 0) {
            event.flow.as_mut().expect("a flow").socket = Some(socket);
            if heavy {
                event.detail = Detail::SendError(SendError {
                    errno: linux::EIO.unsigned_abs(),
                    requested_bytes: None,
                    sent_bytes: None,
                    blocked_us: None,
                });
            }
            events += 1;
            observer.event(host, WALL_NS + event.boot_ns as i64, &event);
        }
    }
    let (observed, _) = observer.finish(Totals::default());
    assert!(observed.sockets.len() <= 20_000);
    let heaviest = observed
        .sockets
        .iter()
        .max_by_key(|socket| socket.trouble());
    assert_eq!(heaviest.and_then(|socket| socket.cookie), Some(1_000_000));
    let left_out = observed.coverage.sockets_left_out;
    assert!(
        (80_000..events).contains(&left_out),
        "{left_out} of {events}"
    );
}

#[test]
fn damage_of_a_trace_makes_every_finding_less_sure() {
    let mut observer = Observer::default();
    let header = header();
    let facts = HostFacts::new("test".to_owned(), TimeZone::UTC, &header);
    let host = observer.host(facts, &header);
    for n in 0..5 {
        for event in refused(SECOND + n * 50_000_000, "orders", 7, "10.0.0.2:443", n) {
            observer.event(host, WALL_NS + event.boot_ns as i64, &event);
        }
    }
    observer.damaged(&["one block is missing".to_owned()]);
    let (observed, hours) = observer.finish(Totals::default());
    let report = Report::new(observed, hours, false);
    assert_eq!(
        causes(&report),
        [("connection_refused", Confidence::Medium)]
    );
    assert_eq!(
        report.findings[0].not_observed[0],
        "in the trace, one block is missing"
    );
}
