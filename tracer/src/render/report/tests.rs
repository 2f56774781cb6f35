use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tracer_diagnose::{HostFacts, Observer, Report};
use tracer_model::event::{
    Attribution, Connection, Detail, Direction, Endpoint, Event, Flow, Owner, RawName, Reset, Tcp,
    TcpState, Totals,
};
use tracer_model::linux;

use crate::render::Renderer;

const SECOND: u64 = 1_000_000_000;
/// The wall clock of these tests is the boot clock and this.
const WALL_NS: i64 = 1_700_000_000 * 1_000_000_000;

fn header() -> Map<String, Value> {
    let all = json!({
        "host": "test",
        "events": ["retransmit", "send_error", "drop", "device", "reset", "connection"],
        "sysctls": { "net.ipv4.ip_local_port_range": "32768\t60999" },
    });
    all.as_object().cloned().unwrap()
}

fn report_of(header: &Map<String, Value>, events: &[Event], seconds: u64) -> Report {
    let mut observer = Observer::default();
    let facts = HostFacts::new("test".to_owned(), TimeZone::UTC, header);
    let host = observer.host(facts, header);
    for event in events {
        observer.event(host, WALL_NS + event.boot_ns as i64, event);
    }
    observer.covered(WALL_NS, WALL_NS + (seconds * SECOND) as i64);
    let (observed, hours) = observer.finish(Totals::default());
    Report::new(observed, hours)
}

fn owner(comm: &str, pid: u32) -> Owner {
    Owner {
        grade: Attribution::AtConnect,
        pid: Some(pid),
        comm: Some(RawName::from(comm)),
        started_boot_ns: Some(1),
        ..Owner::default()
    }
}

fn flow(local_port: u16, remote: &str, socket: u64) -> Flow {
    Flow {
        proto: "tcp".into(),
        local: Some(Endpoint::Inet(([10, 0, 0, 1], local_port).into())),
        remote: Some(Endpoint::Inet(remote.parse().unwrap())),
        netns: Some(1),
        socket: Some(socket),
    }
}

/// A connection request that was refused.
fn refused(at: u64, comm: &str, pid: u32, remote: &str, socket: u64) -> Vec<Event> {
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

#[test]
fn a_process_cannot_steer_the_terminal_of_who_reads_the_report() {
    let name = "a\x1b[2Jb\u{202e}";
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, name, 7, "10.0.0.2:443", n))
        .collect();
    let report = report_of(&header(), &burst, 10);
    for renderer in [Renderer::Text { colour: false }, Renderer::Json] {
        let text = renderer.report(&report);
        assert!(text.contains("connection_refused"), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
        assert!(text.ends_with('\n'));
    }
}

#[test]
fn text_fits_and_json_is_one_object_per_line_with_the_totals_last() {
    let burst: Vec<_> = (0..5)
        .flat_map(|n| refused(SECOND + n * 50_000_000, "orders", 7, "[2001:db8::2]:443", n))
        .collect();
    let report = report_of(&header(), &burst, 10);
    let json = Renderer::Json.report(&report);
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "report");
    assert_eq!(lines[0]["verdict"], "findings");
    assert_eq!(lines[1]["type"], "finding");
    assert_eq!(lines[1]["evidence"][0]["boot_ns"][0], SECOND);
    assert_eq!(lines[1]["flow"]["remote"], "[2001:db8::2]:443");
    assert_eq!(lines[lines.len() - 1]["type"], "totals");
    let text = Renderer::Text { colour: false }.report(&report);
    for line in text.lines() {
        let width = tracer_model::escape::width(line);
        assert!(width <= crate::render::text::COLUMNS, "{width}: {line}");
    }
}
