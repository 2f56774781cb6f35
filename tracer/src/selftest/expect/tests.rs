use super::*;
use tracer_capture::owner::{NOT_IN_TIME, NOT_POSSIBLE};

const BOOT_NS: u64 = 5_000_000_000;
/// 2026-11-23T00:00:00Z is second 0 of the boot clock.
const WALL: i128 = 1_795_392_000_000_000_000;

fn sender() -> Who {
    Who {
        pid: 42,
        comm: "batchd".to_owned(),
        uid: 1000,
        start_ns: BOOT_NS,
        cgroup: Some("/test".to_owned()),
        found_among_files: true,
    }
}

fn flow() -> Flow {
    Flow {
        proto: "tcp",
        local: Some("198.18.0.1:19001".to_owned()),
        remote: Some("198.18.0.2:9001".to_owned()),
        netns: 7,
    }
}

fn event(cause: &str) -> Value {
    json!({
        "type": "event", "event": "retransmit", "count": 1,
        "owner": {
            "pid": 42, "tid": 42, "comm": "batchd", "uid": 1000, "cgroup": "/test",
            "started": "2026-11-23T00:00:05.003000000+00:00", "grade": "at_send",
        },
        "flow": {
            "proto": "tcp", "local": "198.18.0.1:19001", "remote": "198.18.0.2:9001", "netns": 7, "socket": 3,
        },
        "retransmit": {"cause": cause, "attempt": 1},
    })
}

fn expected(causes: &[&str]) -> Expectation {
    let line = |cause: &&str| Line::of(&sender(), &["at_send"]).with("/retransmit/cause", *cause);
    Expectation::events("retransmit", &flow(), causes.iter().map(line).collect())
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut event = event("rto");
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

fn state(expectation: &Expectation, said: &[Value]) -> State {
    expectation.state(said, WALL)
}

#[test]
fn exactly_the_expected_events_in_order_are_seen() {
    let expectation = expected(&["tlp", "rto"]);
    assert_eq!(
        state(&expectation, &[event("tlp"), event("rto")]),
        State::Seen
    );
}

#[test]
fn an_event_that_has_not_come_is_missing_and_said_to_be() {
    let expectation = expected(&["tlp", "rto"]);
    let State::Missing(text) = state(&expectation, &[event("tlp")]) else {
        panic!("one is missing");
    };
    assert_eq!(
        text,
        "expected 2 events (event retransmit, flow.proto tcp, flow.local 198.18.0.1:19001, flow.remote \
         198.18.0.2:9001, flow.netns 7), 1 came"
    );
    let State::Missing(text) = state(&expectation, &[]) else {
        panic!("both are missing");
    };
    assert!(text.ends_with("none came"), "{text}");
}

#[test]
fn an_event_that_comes_twice_is_wrong() {
    let State::Wrong(text) = state(&expected(&["rto"]), &[event("rto"), event("rto")]) else {
        panic!("one is too many");
    };
    assert!(text.starts_with("expected 1 event, 2 came"), "{text}");
}

#[test]
fn the_wrong_order_is_wrong() {
    let said = [event("rto"), event("tlp")];
    assert!(matches!(
        state(&expected(&["tlp", "rto"]), &said),
        State::Wrong(_)
    ));
}

#[test]
fn an_aggregate_is_no_single_event() {
    let said = [changed("/count", json!(2))];
    assert!(matches!(state(&expected(&["rto"]), &said), State::Wrong(_)));
}

#[test]
fn every_part_of_an_owner_is_compared() {
    let expectation = expected(&["rto"]);
    let wrong = [
        ("/owner/pid", json!(43)),
        ("/owner/pid", Value::Null),
        ("/owner/tid", json!(43)),
        ("/owner/comm", json!("other")),
        ("/owner/uid", json!(0)),
        ("/owner/cgroup", json!("/")),
        ("/owner/grade", json!("unknown")),
        ("/owner/grade", json!("last_known")),
        (
            "/owner/started",
            json!("2026-11-23T00:00:06.000000000+00:00"),
        ),
        ("/owner/started", Value::Null),
    ];
    for (pointer, value) in wrong {
        let said = [changed(pointer, value.clone())];
        let State::Wrong(text) = state(&expectation, &said) else {
            panic!("{pointer} {value}");
        };
        let name = pointer.trim_start_matches('/').replace('/', ".");
        assert!(text.starts_with(&name), "{text}");
    }
}

#[test]
fn an_owner_that_could_not_be_confirmed_in_time_counts() {
    let mut said = event("rto");
    said["owner"]["grade"] = json!("last_known");
    said["owner"]["why"] = json!(NOT_IN_TIME);
    assert_eq!(state(&expected(&["rto"]), &[said]), State::Seen);
}

#[test]
fn an_owner_that_cannot_be_confirmed_counts_only_where_doctor_says_so() {
    let mut said = event("rto");
    said["owner"]["grade"] = json!("last_known");
    said["owner"]["why"] = json!(NOT_POSSIBLE);
    let mut expectation = expected(&["rto"]);
    let State::Wrong(_) = state(&expectation, &[said.clone()]) else {
        panic!("open files can be looked up here");
    };
    let Owner::Process { who, .. } = &mut expectation.lines[0].owner else {
        panic!("a process");
    };
    who.found_among_files = false;
    assert_eq!(state(&expectation, &[said]), State::Seen);
}

#[test]
fn an_event_of_another_flow_is_not_claimed() {
    let expectation = expected(&["rto"]);
    for (pointer, value) in [
        ("/flow/local", json!("198.18.0.2:9001")),
        ("/flow/remote", Value::Null),
        ("/flow/netns", json!(8)),
        ("/event", json!("drop")),
    ] {
        let said = [changed(pointer, value)];
        assert!(!expectation.claims(&said[0]));
        assert!(matches!(state(&expectation, &said), State::Missing(_)));
    }
}

#[test]
fn nobody_is_an_owner_that_must_be_said_too() {
    let expectation = Expectation::events("retransmit", &flow(), vec![Line::of_nobody()]);
    assert!(matches!(
        state(&expectation, &[event("rto")]),
        State::Wrong(_)
    ));
    let mut said = event("rto");
    said["owner"] =
        json!({"pid": null, "grade": "unknown", "why": "no local socket belongs to it"});
    assert_eq!(state(&expectation, &[said]), State::Seen);
}

#[test]
fn aggregates_are_summed_to_the_last_event() {
    let total = |total| expected(&["rto"]).counting(Counting::Aggregated(total));
    let said = [event("rto"), changed("/count", json!(9))];
    assert_eq!(state(&total(10), &said), State::Seen);
    assert!(matches!(state(&total(11), &said), State::Missing(_)));
    assert!(matches!(state(&total(9), &said), State::Wrong(_)));
    // Nothing was aggregated.
    let said = [event("rto"), event("rto")];
    assert!(matches!(state(&total(2), &said), State::Wrong(_)));
}

#[test]
fn some_needs_one_and_any_needs_none_but_none_may_be_wrong() {
    let with = |counting| expected(&["rto"]).counting(counting);
    let wrong = changed("/owner/pid", json!(1));
    for (counting, none) in [(Counting::Some, false), (Counting::Any, true)] {
        let state = |said: &[Value]| state(&with(counting), said);
        assert_eq!(state(&[]) == State::Seen, none);
        assert_eq!(state(&[event("rto"), event("rto")]), State::Seen);
        assert!(matches!(
            state(&[event("rto"), wrong.clone()]),
            State::Wrong(_)
        ));
    }
}
