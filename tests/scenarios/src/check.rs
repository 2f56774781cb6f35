//! Assertions on single events.

use serde_json::Value;

use crate::identity::Identity;
use crate::world::Host;

/// The number at this path (`tcp.rto_us`); panics with the event when it is not there or not a number.
pub fn number(event: &Value, path: &str) -> i64 {
    get(event, path)
        .as_i64()
        .unwrap_or_else(|| panic!("{path} is not a number in {event}"))
}

/// The text at this path.
pub fn text<'a>(event: &'a Value, path: &str) -> &'a str {
    get(event, path)
        .as_str()
        .unwrap_or_else(|| panic!("{path} is not text in {event}"))
}

fn get<'a>(event: &'a Value, path: &str) -> &'a Value {
    event
        .pointer(&format!("/{}", path.replace('.', "/")))
        .unwrap_or(&Value::Null)
}

/// The owner is this process, to the start time, known in one of these ways.
#[track_caller]
pub fn assert_owner(event: &Value, who: &Identity, grades: &[&str]) {
    assert_eq!(
        number(event, "owner.pid"),
        i64::from(who.pid),
        "owner.pid, expected {who:?}: {event}"
    );
    assert_eq!(text(event, "owner.comm"), who.comm, "owner.comm: {event}");
    assert_eq!(
        number(event, "owner.uid"),
        i64::from(who.uid),
        "owner.uid: {event}"
    );
    assert_eq!(
        number(event, "owner.tid"),
        i64::from(who.pid),
        "owner.tid: {event}"
    );
    let started = text(event, "owner.started");
    assert!(
        who.started_at(started),
        "owner.started {started}, expected {who:?}: {event}"
    );
    assert_eq!(
        event["owner"]["cgroup"].as_str(),
        who.cgroup.as_deref(),
        "owner.cgroup: {event}"
    );
    let grade = text(event, "owner.grade");
    assert!(
        grades.contains(&grade),
        "owner.grade {grade}, expected one of {grades:?}: {event}"
    );
}

/// The flow is this one, in this namespace. An empty local end is not compared.
#[track_caller]
pub fn assert_flow(event: &Value, proto: &str, local: &str, remote: &str, host: &Host) {
    assert_eq!(text(event, "flow.proto"), proto, "flow.proto: {event}");
    if !local.is_empty() {
        assert_eq!(text(event, "flow.local"), local, "flow.local: {event}");
    }
    assert_eq!(text(event, "flow.remote"), remote, "flow.remote: {event}");
    assert_eq!(
        number(event, "flow.netns"),
        host.netns() as i64,
        "flow.netns: {event}"
    );
}

/// Every field of the `tcp` object is there and plausible for a retransmit of data.
#[track_caller]
pub fn assert_retransmit_tcp(event: &Value) {
    let within = |key: &str, low: i64, high: i64| {
        let value = number(event, &format!("tcp.{key}"));
        assert!(
            (low..=high).contains(&value),
            "tcp.{key} = {value}, expected {low} to {high}: {event}"
        );
        value
    };
    let minute_us = 60_000_000;
    within("send_queue_bytes", 1, 1 << 30);
    within("sndbuf_bytes", 1024, 1 << 30);
    within("cwnd_segments", 1, 1 << 20);
    // Null while it is infinite: before the first loss is dealt with.
    if !event["tcp"]["ssthresh_segments"].is_null() {
        within("ssthresh_segments", 1, 1 << 20);
    }
    within("srtt_us", 1, minute_us);
    within("rto_us", 100_000, 2 * minute_us);
    within("backoff", 0, 16);
    within("mss_bytes", 500, 1500);
    within("pmtu_bytes", 1000, 1500);
    within("peer_window_bytes", 0, 1 << 30);
    let unacked = within("unacked_segments", 1, 1 << 20);
    within("lost_segments", 0, unacked);
    within("last_send_us_ago", 0, minute_us);
    within("last_ack_us_ago", 0, minute_us);
    assert!(number(event, "retransmit.segments") >= 1, "{event}");
    assert!(number(event, "retransmit.bytes") >= 1, "{event}");
}
