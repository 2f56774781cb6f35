use serde_json::json;

use super::*;
use crate::sys;

const NETNS: u64 = 4_026_532_000;

fn me() -> Identity {
    Identity {
        pid: 4242,
        start_ticks: 1000,
        comm: "sender".to_owned(),
        uid: 0,
        cgroup: None,
    }
}

/// Three sends that succeed and one that fails.
fn report() -> SendReport {
    let end = |text: &str| End::Is(text.to_owned());
    let calls = [(1001, 1001), (1002, 1002), (1003, 700), (1004, -11)]
        .map(|(requested, result)| Call { requested, result });
    SendReport::of(
        ("tcp", end("127.0.0.1:5000"), end("127.0.0.1:80")),
        calls.to_vec(),
    )
}

fn started() -> String {
    let wall = sys::wall_minus_boot_ns() + 10_000_000_000;
    jiff::Timestamp::from_nanosecond(wall).unwrap().to_string()
}

fn event(requested: Option<u64>, result: i64) -> Value {
    let flow = json!({"proto": "tcp", "local": "127.0.0.1:5000", "remote": "127.0.0.1:80", "netns": NETNS});
    let owner = json!({"pid": 4242, "tid": 4242, "comm": "sender", "uid": 0, "started": started(), "grade": "at_send"});
    if result < 0 {
        json!({"event": "send_error", "count": 1, "owner": owner, "flow": flow,
            "send_error": {"errno": -result, "requested_bytes": requested, "sent_bytes": 0}})
    } else {
        json!({"event": "send", "count": 1, "owner": owner, "flow": flow,
            "send": {"requested_bytes": requested, "sent_bytes": result}})
    }
}

fn all() -> Vec<Value> {
    vec![
        event(Some(1001), 1001),
        event(None, 1002),
        event(Some(1003), 700),
        event(None, -11),
    ]
}

fn kinds(events: &[Value]) -> Vec<FaultKind> {
    let faults = compare(&me(), NETNS, &report(), events).faults;
    faults.into_iter().map(|fault| fault.kind).collect()
}

/// The faults after one event was changed.
fn after(change: impl Fn(&mut Value)) -> Vec<FaultKind> {
    let mut events = all();
    change(&mut events[0]);
    kinds(&events)
}

#[test]
fn one_event_per_send_is_right_in_any_order() {
    let mut events = all();
    for _ in 0..4 {
        events.rotate_left(1);
        let comparison = compare(&me(), NETNS, &report(), &events);
        assert_eq!(comparison.faults, []);
        assert_eq!(comparison.right, 4);
        assert_eq!(comparison.without_requested, 2);
    }
}

#[test]
fn a_second_event_of_a_send_is_double() {
    for index in 0..4 {
        let mut events = all();
        events.push(events[index].clone());
        assert_eq!(kinds(&events), [FaultKind::Double]);
    }
}

#[test]
fn a_send_without_an_event_is_missed() {
    for index in 0..4 {
        let mut events = all();
        events.remove(index);
        assert_eq!(kinds(&events), [FaultKind::Missed { whole: false }]);
    }
    assert_eq!(kinds(&[]), [FaultKind::Missed { whole: true }; 4]);
}

#[test]
fn a_result_that_no_send_had_is_unexpected_and_the_send_missed() {
    let faults = after(|event| event["send"]["sent_bytes"] = json!(999));
    assert_eq!(
        faults,
        [FaultKind::Unexpected, FaultKind::Missed { whole: false }]
    );
    let faults = after(|event| event["send"]["sent_bytes"] = Value::Null);
    assert_eq!(
        faults,
        [FaultKind::Unexpected, FaultKind::Missed { whole: false }]
    );
}

#[test]
fn an_aggregate_is_not_an_event_of_one_send() {
    let faults = after(|event| event["count"] = json!(2));
    assert_eq!(
        faults,
        [FaultKind::Unexpected, FaultKind::Missed { whole: false }]
    );
}

#[test]
fn a_requested_size_may_be_null_but_not_wrong() {
    assert_eq!(
        after(|event| event["send"]["requested_bytes"] = Value::Null),
        []
    );
    assert_eq!(
        after(|event| event["send"]["requested_bytes"] = json!(1002)),
        [FaultKind::WrongRequested]
    );
}

#[test]
fn every_word_about_the_owner_counts() {
    let wrong = [
        ("pid", json!(4243)),
        ("pid", Value::Null),
        ("tid", json!(4243)),
        ("comm", json!("other")),
        ("uid", json!(1000)),
        ("started", json!("2020-01-01T00:00:00Z")),
        ("started", Value::Null),
        ("grade", json!("kernel")),
        ("grade", json!("at_connect")),
    ];
    for (key, value) in wrong {
        let faults = after(|event| event["owner"][key] = value.clone());
        assert_eq!(faults, [FaultKind::WrongOwner], "{key} {value}");
    }
    assert_eq!(
        after(|event| event["owner"] = Value::Null),
        [FaultKind::WrongOwner]
    );
}

#[test]
fn a_flow_may_be_null_but_not_wrong() {
    for key in ["local", "remote", "netns"] {
        assert_eq!(after(|event| event["flow"][key] = Value::Null), []);
        assert_eq!(
            after(|event| event["flow"][key] = json!("127.0.0.1:5001")),
            [FaultKind::WrongFlow]
        );
    }
    assert_eq!(after(|event| event["flow"] = Value::Null), []);
    assert_eq!(
        after(|event| event["flow"]["proto"] = json!("udp")),
        [FaultKind::WrongFlow]
    );
}

#[test]
fn an_end_without_a_name_must_be_null() {
    let mut report = report();
    report.sends[0].local = End::Unnamed;
    let faults = compare(&me(), NETNS, &report, &all()).faults;
    assert!(
        faults
            .iter()
            .all(|fault| fault.kind == FaultKind::WrongFlow)
    );
    assert_eq!(faults.len(), 4);
}

#[test]
fn a_send_by_the_kernel_must_name_nobody() {
    let mut report = report();
    report.sends[0].by = By::Kernel;
    let mut events = all();
    let blamed = compare(&me(), NETNS, &report, &events).faults;
    assert!(
        blamed
            .iter()
            .all(|fault| fault.kind == FaultKind::WrongOwner)
    );
    assert_eq!(blamed.len(), 4);
    for event in &mut events {
        event["owner"] = json!({"pid": null, "tid": null, "comm": null, "grade": "kernel"});
    }
    assert_eq!(compare(&me(), NETNS, &report, &events).faults, []);
}

#[test]
fn another_thread_is_right_only_where_it_may_be() {
    let mut report = report();
    report.sends[0].by = By::AnyThread;
    let mut events = all();
    events[0]["owner"]["tid"] = json!(4243);
    assert_eq!(compare(&me(), NETNS, &report, &events).faults, []);
}

#[test]
fn a_flow_that_is_missed_whole_is_told_from_one_that_is_missed_in_part() {
    let mut report = report();
    let mut other = report.sends[0].clone().by(By::Kernel);
    other.local = End::Unnamed;
    report.sends.push(other);
    let faults = compare(&me(), NETNS, &report, &all()).faults;
    assert_eq!(faults.len(), 4);
    assert!(
        faults
            .iter()
            .all(|fault| fault.kind == FaultKind::Missed { whole: true })
    );
}

#[test]
fn an_event_belongs_to_a_path_by_its_pid_or_without_one_by_its_flow() {
    let mut event = event(None, 1001);
    let ours = |event: &Value| is_of(event, &me(), &report());
    assert!(ours(&event));
    event["flow"]["local"] = json!("127.0.0.1:5001");
    assert!(ours(&event), "the wrong flow of a right process");
    event["owner"]["pid"] = json!(1);
    assert!(!ours(&event));
    event["owner"]["pid"] = Value::Null;
    assert!(!ours(&event));
    event["flow"]["local"] = json!("127.0.0.1:5000");
    assert!(ours(&event));
    event["flow"]["remote"] = Value::Null;
    assert!(ours(&event));
    event["flow"]["proto"] = json!("udp");
    assert!(!ours(&event), "a port of UDP is not one of TCP");
    event["flow"] = json!({"proto": "tcp", "local": null, "remote": null});
    assert!(!ours(&event));
}
