//! What a comparison must give whatever is compared, with sides that are made of events.

mod chance;
mod setup;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tracer_model::linux;

use super::*;
use crate::{HostFacts, Observer};
use tracer_model::event::{
    Cause, Connection, Detail, Event, Flow, Outcome, Owner, Retransmit, SendError, Tcp, TcpState,
    Totals, Trigger,
};

const SECOND: i64 = 1_000_000_000;

/// A recording of `seconds`: so many send errors, and stalls of this length each, spread evenly.
#[derive(Clone, Copy)]
struct Made {
    seconds: i64,
    errors: i64,
    stalls: i64,
    stall_us: u64,
    /// New segments, and those sent again, each second.
    segments: u64,
    resent: u64,
}

const QUIET: Made = Made {
    seconds: 100,
    errors: 0,
    stalls: 0,
    stall_us: 1_000_000,
    segments: 1000,
    resent: 0,
};

fn event(wall_ns: i64, socket: u64, detail: Detail, tcp: Option<Tcp>) -> (i64, Event) {
    let flow = Flow {
        proto: "tcp".into(),
        local: None,
        remote: None,
        netns: Some(7),
        socket: Some(socket),
    };
    let event = Event {
        boot_ns: u64::try_from(wall_ns).unwrap(),
        count: 1,
        owner: Owner::default(),
        flow: Some(flow),
        detail,
        tcp,
    };
    (wall_ns, event)
}

fn made(header: Value, made: Made) -> Side {
    let Value::Object(header) = header else {
        panic!("an object");
    };
    let mut observer = Observer::default();
    let mut collector = DiffCollector::default();
    collector.header(&header);
    observer.host(HostFacts::new("a".into(), TimeZone::UTC, &header), &header);
    let length = made.seconds * SECOND;
    let mut events = Vec::new();
    for number in 0..made.errors {
        let error = Detail::SendError(SendError {
            errno: linux::ECOMM as u32,
            requested_bytes: None,
            sent_bytes: None,
            blocked_us: None,
        });
        let at = length / made.errors * number + SECOND / 3;
        events.push(event(at, 1, error, None));
    }
    for number in 0..made.stalls {
        let socket = 10 + u64::try_from(number).unwrap();
        let at = length / made.stalls * number + SECOND / 2;
        let resent = Detail::Retransmit(Retransmit {
            cause: Cause::Rto,
            outcome: Outcome::Sent,
            attempt: Some(1),
            segments: Some(1),
            bytes: None,
            trigger: Trigger::Timer,
        });
        // Values that are alike but not the same.
        let rto_us = made.stall_us + socket % 7 * 1000;
        let tcp = Tcp {
            rto_us: Some(rto_us),
            ..Tcp::default()
        };
        events.push(event(at, socket, resent, Some(tcp)));
        let closed = Detail::Connection(Connection {
            from: Some(TcpState::Established),
            to: Some(TcpState::Close),
            errno: None,
        });
        events.push(event(at, socket, closed, None));
    }
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in &events {
        observer.event(0, *at, event);
        collector.event(*at, event);
    }
    for second in 0..made.seconds {
        let sample = json!({
            "boot_ns": second * SECOND, "interval_ns": SECOND,
            "counters": {"Tcp.OutSegs": made.segments, "Tcp.RetransSegs": made.resent},
        });
        collector.sample(&serde_json::from_value(sample).unwrap());
    }
    observer.covered(0, length);
    let (observed, _) = observer.finish(Totals::default());
    Side::new(
        "made".into(),
        observed,
        collector,
        RecordedFilters::default(),
    )
}

fn header() -> Value {
    json!({"netns": 7, "host": "a", "kernel_release": "6.12", "tool_version": "1", "sysctls": {"net.a": "1"}})
}

fn compare(one: Made, other: Made) -> Diff {
    Diff::new(made(header(), one), made(header(), other), false)
}

fn verdict(diff: &Diff, id: &str) -> Verdict {
    let found = diff.measures.iter().find(|one| one.id == id);
    found.unwrap_or_else(|| panic!("no {id}")).verdict
}

/// Recordings of many kinds.
fn zoo() -> Vec<Made> {
    let mut zoo = Vec::new();
    for errors in [0, 1, 9, 40, 400] {
        for (stalls, stall_us) in [(0, 0), (5, 200_000), (30, 200_000), (30, 3_000_000)] {
            for resent in [0, 5, 50] {
                zoo.push(Made {
                    errors,
                    stalls,
                    stall_us,
                    resent,
                    ..QUIET
                });
            }
        }
    }
    zoo
}

#[test]
fn a_recording_compared_with_itself_is_neither_better_nor_worse() {
    for one in zoo() {
        let diff = compare(one, one);
        for measure in &diff.measures {
            let sane = [Verdict::Unchanged, Verdict::TooLittleData].contains(&measure.verdict);
            assert!(sane, "{measure:?}");
        }
        let sane = [Verdict::Unchanged, Verdict::TooLittleData].contains(&diff.overall.verdict);
        assert!(sane, "{:?}", diff.overall);
    }
}

#[test]
fn swapped_sides_swap_better_and_worse_of_every_measure() {
    let zoo = zoo();
    for (number, one) in zoo.iter().enumerate() {
        let other = zoo[(number * 7 + 3) % zoo.len()];
        let (there, back) = (compare(*one, other), compare(other, *one));
        for (a, b) in there.measures.iter().zip(&back.measures) {
            assert_eq!(a.id, b.id);
            let swapped = match b.verdict {
                Verdict::Better => Verdict::Worse,
                Verdict::Worse => Verdict::Better,
                same => same,
            };
            assert_eq!(a.verdict, swapped, "{a:?}\n{b:?}");
        }
    }
}

#[test]
fn twice_the_time_at_the_same_rate_is_unchanged() {
    let one = Made {
        errors: 200,
        stalls: 60,
        resent: 5,
        ..QUIET
    };
    let longer = Made {
        seconds: 200,
        errors: 400,
        stalls: 120,
        ..one
    };
    let diff = compare(one, longer);
    assert_eq!(
        diff.overall.verdict,
        Verdict::Unchanged,
        "{:?}",
        diff.overall
    );
    assert_eq!(verdict(&diff, "send_errors_per_hour"), Verdict::Unchanged);
    assert_eq!(verdict(&diff, "stall_us"), Verdict::Unchanged);
}

#[test]
fn more_errors_with_as_much_more_traffic_are_unchanged() {
    let one = Made {
        errors: 200,
        ..QUIET
    };
    let busier = Made {
        errors: 600,
        segments: 3000,
        ..QUIET
    };
    let diff = compare(one, busier);
    assert_eq!(verdict(&diff, "send_errors_per_hour"), Verdict::Worse);
    assert_eq!(
        verdict(&diff, "send_errors_per_million_packets"),
        Verdict::Unchanged
    );
    assert_eq!(
        diff.overall.verdict,
        Verdict::Unchanged,
        "{:?}",
        diff.overall
    );
}

#[test]
fn fewer_errors_bought_with_longer_stalls_are_worse_and_it_says_so() {
    let one = Made {
        errors: 400,
        stalls: 40,
        stall_us: 1_000_000,
        ..QUIET
    };
    let patient = Made {
        errors: 40,
        stalls: 40,
        stall_us: 16_000_000,
        ..QUIET
    };
    let diff = compare(one, patient);
    assert_eq!(diff.overall.verdict, Verdict::Worse);
    assert!(diff.overall.bought, "{:?}", diff.overall);
    assert!(diff.overall.reason.contains("bought with longer stalls"));
    // The other way round it is not a mere improvement either: there are more errors.
    let back = compare(patient, one);
    assert_eq!(
        (back.overall.verdict, back.overall.bought),
        (Verdict::Worse, false)
    );
}

#[test]
fn fewer_errors_with_a_few_long_stalls_are_not_called_better() {
    let one = Made {
        errors: 400,
        stalls: 40,
        stall_us: 1_000_000,
        ..QUIET
    };
    let few = Made {
        errors: 40,
        stalls: 3,
        stall_us: 60_000_000,
        ..QUIET
    };
    let diff = compare(one, few);
    assert_eq!(
        diff.overall.verdict,
        Verdict::TooLittleData,
        "{:?}",
        diff.overall
    );
    assert!(diff.overall.reason.contains("cannot be told"));
    let short = Made {
        stall_us: 900_000,
        ..few
    };
    assert_eq!(compare(one, short).overall.verdict, Verdict::Better);
}

#[test]
fn errors_in_one_burst_are_too_little_data() {
    let mut burst = made(header(), QUIET);
    for number in 0..100 {
        let error = Detail::SendError(SendError {
            errno: 5,
            requested_bytes: None,
            sent_bytes: None,
            blocked_us: None,
        });
        let (at, event) = event(50 * SECOND + number * 1_000_000, 1, error, None);
        burst.collector.event(at, &event);
    }
    let diff = Diff::new(burst, made(header(), QUIET), false);
    assert_eq!(
        verdict(&diff, "send_errors_per_hour"),
        Verdict::TooLittleData
    );
    assert_eq!(diff.overall.verdict, Verdict::TooLittleData);
}

#[test]
fn what_was_not_recorded_is_not_compared() {
    let mut only = header();
    only["events"] = json!(["send_error"]);
    let many = Made {
        errors: 400,
        stalls: 40,
        ..QUIET
    };
    let diff = Diff::new(made(only, many), made(header(), many), false);
    let stall = diff
        .measures
        .iter()
        .find(|one| one.id == "stall_us")
        .unwrap();
    assert_eq!(stall.verdict, Verdict::TooLittleData);
    assert_eq!(
        stall.note.as_deref(),
        Some("retransmit was not recorded before")
    );
}

#[test]
fn counters_of_the_host_are_not_used_for_a_part_of_it() {
    let many = Made {
        errors: 400,
        ..QUIET
    };
    let narrow = Diff::new(made(header(), many), made(header(), many), true);
    let uses = |diff: &Diff| {
        diff.measures
            .iter()
            .any(|one| one.id.contains("per_million"))
    };
    assert!(!uses(&narrow) && uses(&compare(many, many)));
}

#[test]
fn counters_of_another_namespace_are_not_used() {
    let mut elsewhere = header();
    elsewhere["netns"] = json!(8);
    let many = Made {
        errors: 400,
        stalls: 40,
        ..QUIET
    };
    let few = Made { errors: 20, ..many };
    let diff = Diff::new(made(elsewhere.clone(), many), made(elsewhere, few), false);
    let counts: Vec<_> = diff.measures.iter().filter(|one| one.counts).collect();
    assert!(counts.iter().any(|one| one.id == "send_errors_per_hour"));
    assert!(
        !counts
            .iter()
            .any(|one| one.id.starts_with("send_errors_per_million"))
    );
    assert_eq!(diff.overall.verdict, Verdict::Better, "{:?}", diff.overall);
}
