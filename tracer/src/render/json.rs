//! JSON, one object per line: the contract that other tools rely on.
//!
//! The order of keys is fixed, a key is never left out because its value is missing (it is `null`), and
//! new keys come after the old ones. `owner.holders` and `owner.why` stand only where they say something.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::Clock;
use tracer_model::errno;
use tracer_model::escape;
use tracer_model::event::{
    Attribution, Counted, Detail, Direction, Endpoint, Event, Flow, Holder, Owner, RawName,
    SocketTimer, Tcp, TcpState, Totals,
};

/// The line of an event.
pub fn event(event: &Event, clock: &Clock) -> String {
    // What was lost belongs to nobody.
    let owner = match event.detail {
        Detail::Lost(_) => Value::Null,
        _ => owner(&event.owner, clock),
    };
    line(&[
        ("type", "event".into()),
        ("time", clock.rfc3339(event.boot_ns).into()),
        ("boot_ns", event.boot_ns.into()),
        ("event", event.kind().name().into()),
        ("count", event.count.into()),
        ("owner", owner),
        ("flow", flow(event.flow.as_ref())),
        (event.kind().name(), detail(&event.detail)),
        ("tcp", event.tcp.as_ref().map_or(Value::Null, tcp)),
    ])
}

/// The line of a count.
pub fn counted(counted: &Counted, clock: &Clock) -> String {
    let time = |boot_ns: Option<u64>| Value::from(boot_ns.and_then(|ns| clock.rfc3339(ns)));
    line(&[
        ("type", "counted".into()),
        ("event", counted.event_kind.name().into()),
        ("kind", counted.kind.name().into()),
        ("code", counted.code.as_deref().into()),
        ("count", counted.count.into()),
        ("bytes", counted.bytes.into()),
        ("first", time(counted.first_boot_ns)),
        ("last", time(counted.last_boot_ns)),
        (
            "owner",
            counted
                .owner
                .as_ref()
                .map_or(Value::Null, |o| owner(o, clock)),
        ),
        ("flow", flow(counted.flow.as_ref())),
    ])
}

/// The line of a trigger of the flight recorder.
pub fn trigger(boot_ns: u64, expression: &str, clock: &Clock) -> String {
    line(&[
        ("type", "trigger".into()),
        ("time", clock.rfc3339(boot_ns).into()),
        ("boot_ns", boot_ns.into()),
        ("expression", expression.into()),
    ])
}

/// The last line of a run.
pub fn totals(totals: &Totals) -> String {
    let event_kinds: serde_json::Map<_, _> = totals
        .events
        .iter()
        .map(|(event_kind, t)| (event_kind.name().to_owned(), json!(t)))
        .collect();
    line(&[("type", "totals".into()), ("events", event_kinds.into())])
}

/// Keys and values in their order, as a line.
pub(super) fn line(entries: &[(&str, Value)]) -> String {
    struct Entries<'a>(&'a [(&'a str, Value)]);
    impl Serialize for Entries<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(self.0.len()))?;
            for (key, value) in self.0 {
                map.serialize_entry(key, value)?;
            }
            map.end()
        }
    }
    // Writing values with string keys to memory cannot fail; an empty line would still be a line.
    let mut text = serde_json::to_string(&Entries(entries)).unwrap_or_default();
    text.push('\n');
    escape::json(text)
}

pub(super) fn owner(owner: &Owner, clock: &Clock) -> Value {
    let started = owner.started_boot_ns.and_then(|ns| clock.rfc3339(ns));
    let mut value = json!({
        "pid": owner.pid, "tid": owner.tid, "comm": lossy(owner.comm.as_ref()), "uid": owner.uid,
        "cgroup": owner.cgroup, "started": started, "grade": owner.grade.name(),
    });
    if let Some(cmdline) = &owner.cmdline {
        value["cmdline"] = cmdline.lossy().into();
    }
    let place = owner.place();
    if let Some(unit) = place.unit {
        value["unit"] = unit.into();
    }
    if let Some(container) = place.container {
        value["container"] = json!({ "id": container.id, "runtime": container.runtime });
    }
    if let Some(pod) = &owner.kubernetes {
        value["kubernetes"] =
            json!({ "namespace": pod.namespace, "pod": pod.pod, "container": pod.container });
    }
    if owner.grade == Attribution::Shared {
        value["holders"] = holders(owner, clock);
    }
    if owner.grade == Attribution::Unknown || owner.why.is_some() {
        value["why"] = owner.why.as_deref().into();
    }
    value
}

/// All who hold a shared socket.
pub fn holders(owner: &Owner, clock: &Clock) -> Value {
    let holder = |holder: &Holder| {
        let started = holder.started_boot_ns.and_then(|ns| clock.rfc3339(ns));
        json!({
            "pid": holder.pid, "comm": lossy(holder.comm.as_ref()), "fd": holder.fd, "started": started,
        })
    };
    owner.holders.iter().map(holder).collect()
}

pub(super) fn flow(flow: Option<&Flow>) -> Value {
    let Some(flow) = flow else { return Value::Null };
    let end = |end: &Option<Endpoint>| end.as_ref().map(Endpoint::lossy);
    json!({
        "proto": flow.proto, "local": end(&flow.local), "remote": end(&flow.remote), "netns": flow.netns,
        "socket": flow.socket,
    })
}

fn detail(detail: &Detail) -> Value {
    let way = |direction: Option<Direction>| direction.map(Direction::name);
    let state = |state: Option<TcpState>| state.map(TcpState::name);
    match detail {
        Detail::Retransmit(r) => json!({
            "cause": r.cause.name(), "outcome": r.outcome.name(), "attempt": r.attempt,
            "segments": r.segments, "bytes": r.bytes, "trigger": r.trigger.name(),
        }),
        Detail::SendError(e) => json!({
            "errno": e.errno, "name": errno::name(e.errno), "requested_bytes": e.requested_bytes,
            "sent_bytes": e.sent_bytes, "blocked_us": e.blocked_us,
        }),
        Detail::Drop(d) => json!({
            "reason": d.reason, "location": d.location, "interface": lossy(d.interface.as_ref()),
            "bytes": d.bytes, "direction": way(d.direction), "ifindex": d.ifindex,
        }),
        Detail::Device(d) => json!({
            "code": d.code, "name": d.name(), "interface": lossy(d.interface.as_ref()), "bytes": d.bytes,
            "ifindex": d.ifindex, "queue": d.queue, "requeued": d.requeued(),
        }),
        Detail::Reset(r) => json!({ "direction": way(r.direction), "reason": r.reason }),
        Detail::Connection(c) => json!({
            "from": state(c.from), "to": state(c.to), "errno": c.errno,
            "name": c.errno.and_then(errno::name),
        }),
        Detail::Send(s) => json!({
            "requested_bytes": s.requested_bytes, "sent_bytes": s.sent_bytes,
        }),
        Detail::Lost(l) => json!({
            "where": l.at.name(), "event": l.event_kind.map(|event_kind| event_kind.name()), "count": l.count,
        }),
        Detail::Waiting(w) => json!({
            "why": w.why.name(), "for_us": w.for_us, "queued_bytes": w.queued_bytes,
            "timer": w.timer.map(SocketTimer::name), "ended": w.ended, "blocked_writers": w.blocked_writers,
            "errno": w.errno, "soft_errno": w.soft_errno, "busy_us": w.busy_us,
            "rwnd_limited_us": w.rwnd_limited_us, "sndbuf_limited_us": w.sndbuf_limited_us,
            "congestion_control": w.congestion_control, "sent_segments": w.sent_segments,
            "acked_bytes": w.acked_bytes, "retransmitted_segments": w.retransmitted_segments,
            "reordering_segments": w.reordering_segments, "unfinished": w.unfinished,
        }),
        Detail::Blocked(b) => json!({
            "blocked_us": b.blocked_us, "requested_bytes": b.requested_bytes, "sent_bytes": b.sent_bytes,
        }),
    }
}

fn tcp(tcp: &Tcp) -> Value {
    json!({
        "state": tcp.state.map(TcpState::name),
        "send_queue_bytes": tcp.send_queue_bytes,
        "sndbuf_bytes": tcp.sndbuf_bytes,
        "cwnd_segments": tcp.cwnd_segments,
        "ssthresh_segments": tcp.ssthresh_segments,
        "srtt_us": tcp.srtt_us,
        "rto_us": tcp.rto_us,
        "backoff": tcp.backoff,
        "mss_bytes": tcp.mss_bytes,
        "pmtu_bytes": tcp.pmtu_bytes,
        "peer_window_bytes": tcp.peer_window_bytes,
        "unacked_segments": tcp.unacked_segments,
        "lost_segments": tcp.lost_segments,
        "last_send_us_ago": tcp.last_send_us_ago,
        "last_ack_us_ago": tcp.last_ack_us_ago,
        "ca_state": tcp.ca_state.map(|state| state.name()),
        "wmem_queued_bytes": tcp.wmem_queued_bytes,
    })
}

fn lossy(name: Option<&RawName>) -> Option<String> {
    name.map(|name| name.lossy().into_owned())
}
