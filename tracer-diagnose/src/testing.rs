//! Events and reports for the tests of this crate and of those that render reports.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tracer_model::event::{
    Attribution, Connection, Detail, Direction, Endpoint, Event, Flow, Owner, RawName, Reset, Tcp,
    TcpState, Totals,
};
use tracer_model::linux;
use tracer_model::samples::{Change, Counts, Sample};

use crate::{HostFacts, Observer, Report};

/// One second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// The wall clock of these tests is the boot clock and this.
pub const WALL_NS: i64 = 1_700_000_000 * 1_000_000_000;

/// The header of a recording in which every kind of event was wanted.
pub fn header() -> Map<String, Value> {
    let all = json!({
        "host": "test",
        "events": ["retransmit", "send_error", "drop", "device", "reset", "connection"],
        "sysctls": { "net.ipv4.ip_local_port_range": "32768\t60999" },
    });
    all.as_object().cloned().unwrap()
}

/// The report of these events, in a recording of so many seconds.
pub fn report_of(header: &Map<String, Value>, events: &[Event], seconds: u64) -> Report {
    report_with(header, events, seconds, Sample::default(), &[])
}

/// The same, with this sample of the whole time, and changes.
pub fn report_with(
    header: &Map<String, Value>,
    events: &[Event],
    seconds: u64,
    sample: Sample,
    changes: &[Change],
) -> Report {
    let mut observer = Observer::default();
    let facts = HostFacts::new("test".to_owned(), TimeZone::UTC, header);
    let host = observer.host(facts, header);
    for event in events {
        observer.event(host, WALL_NS + event.boot_ns as i64, event);
    }
    let sample = Sample {
        boot_ns: seconds * SECOND,
        interval_ns: seconds * SECOND,
        counters: sample.counters.or(Some(Counts::new())),
        ..sample
    };
    for change in changes {
        observer.change(host, WALL_NS + change.boot_ns as i64, change);
    }
    observer.sample(host, WALL_NS + (seconds * SECOND) as i64, &sample);
    observer.covered(WALL_NS, WALL_NS + (seconds * SECOND) as i64);
    let (observed, hours) = observer.finish(Totals::default());
    Report::new(observed, hours, false)
}

/// A process that connected.
pub fn owner(comm: &str, pid: u32) -> Owner {
    Owner {
        grade: Attribution::AtConnect,
        pid: Some(pid),
        comm: Some(RawName::from(comm)),
        started_boot_ns: Some(1),
        ..Owner::default()
    }
}

/// A TCP connection from 10.0.0.1.
pub fn flow(local_port: u16, remote: &str, socket: u64) -> Flow {
    Flow {
        proto: "tcp".into(),
        local: Some(Endpoint::Inet(([10, 0, 0, 1], local_port).into())),
        remote: Some(Endpoint::Inet(remote.parse().unwrap())),
        netns: Some(1),
        socket: Some(socket),
    }
}

/// A connection request that was refused.
pub fn refused(at: u64, comm: &str, pid: u32, remote: &str, socket: u64) -> Vec<Event> {
    let event = |detail| Event {
        boot_ns: at,
        count: 1,
        owner: owner(comm, pid),
        flow: Some(flow(40_000 + socket as u16, remote, socket)),
        detail,
        tcp: Some(Tcp {
            state: Some(TcpState::SynSent),
            ..Tcp::default()
        }),
    };
    vec![
        event(Detail::Reset(Reset {
            direction: Some(Direction::Received),
            reason: None,
        })),
        event(Detail::Connection(Connection {
            from: Some(TcpState::SynSent),
            to: Some(TcpState::Close),
            errno: Some(linux::ECONNREFUSED.unsigned_abs()),
        })),
    ]
}
