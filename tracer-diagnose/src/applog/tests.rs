//! Lines and events that are made for each other, or for nobody.

use super::*;
use tracer_model::event::{
    Attribution, Cause, Connection, Detail, Endpoint, Event, Flow, Outcome, Owner, Retransmit,
    SendError, TcpState, Trigger,
};
use tracer_model::linux;

const SECOND: i64 = 1_000_000_000;
/// 2026-11-22T03:14:15Z.
const NOON: i64 = 1_795_317_255 * SECOND;

struct Scene {
    socket_index: SocketIndex,
    log: String,
}

impl Scene {
    fn new() -> Self {
        Self {
            socket_index: SocketIndex::default(),
            log: String::new(),
        }
    }

    fn event(&mut self, ms: i64, socket: u64, detail: Detail) {
        let remote: std::net::SocketAddr = "10.0.0.12:443".parse().unwrap();
        let local = std::net::SocketAddr::new("10.0.0.1".parse().unwrap(), 40_000 + socket as u16);
        let event = Event {
            boot_ns: u64::try_from(ms).unwrap(),
            count: 1,
            owner: Owner {
                pid: Some(42),
                grade: Attribution::AtSend,
                ..Owner::default()
            },
            flow: Some(Flow {
                proto: "tcp".into(),
                local: Some(Endpoint::Inet(local)),
                remote: Some(Endpoint::Inet(remote)),
                netns: None,
                socket: Some(socket),
            }),
            detail,
            tcp: None,
        };
        self.socket_index.event(0, NOON + ms * 1_000_000, &event);
    }

    fn failed(&mut self, ms: i64, socket: u64, errno: i32) {
        let error = SendError {
            errno: errno.unsigned_abs(),
            requested_bytes: Some(100 * socket),
            sent_bytes: None,
            blocked_us: None,
        };
        self.event(ms, socket, Detail::SendError(error));
    }

    fn timeout(&mut self, ms: i64, socket: u64, attempt: u32) {
        let resent = Retransmit {
            cause: Cause::Rto,
            outcome: Outcome::Sent,
            attempt: Some(attempt),
            segments: Some(1),
            bytes: None,
            trigger: Trigger::Timer,
        };
        self.event(ms, socket, Detail::Retransmit(resent));
    }

    /// A line at a time of the log's clock.
    fn line(&mut self, ms: i64, rest: &str) {
        let ns = NOON + ms * 1_000_000;
        self.log.push_str(&format!("ts={ns} {rest}\n"));
    }

    fn read(self, given: Option<i64>) -> AppLog {
        let mut lines = Lines::new(Fields::default(), TimeZone::UTC);
        self.log
            .lines()
            .for_each(|line| lines.line(line.as_bytes()));
        let span = Some((NOON, NOON + 3600 * SECOND));
        AppLog::new("log".to_owned(), lines, self.socket_index, span, given)
    }

    fn words(self) -> Vec<String> {
        let log = self.read(Some(0));
        log.matched.into_iter().map(|one| one.words).collect()
    }
}

const TO: &str = "req_id=8f3 dest=10.0.0.12:443 pid=42";

#[test]
fn a_request_gets_its_evidence_and_its_retry_the_new_connection() {
    let mut scene = Scene::new();
    for (ms, attempt) in [(1000, 1), (1400, 2), (2200, 3)] {
        scene.timeout(ms, 1, attempt);
    }
    scene.failed(3800, 1, linux::ECOMM);
    scene.line(3802, &format!("{TO} errno=ECOMM retry=2/5"));
    scene.failed(6000, 2, linux::ECOMM);
    scene.line(6001, &format!("{TO} errno=70 retry=3/5"));
    scene.failed(8000, 2, linux::EPIPE);
    scene.line(8001, &format!("{TO} errno=EPIPE retry=4/5"));
    assert_eq!(
        scene.words(),
        [
            "req_id=8f3 failed with ECOMM 1.6 s after the third RTO in a row on this socket; retry 2/5",
            "req_id=8f3 failed with ECOMM, with no trouble on this socket before; retry 3/5 went out on a new \
             connection",
            "req_id=8f3 failed with EPIPE, with no trouble on this socket before; retry 4/5 went out on the same \
             connection",
        ]
    );
}

#[test]
fn the_events_that_carry_it_are_named() {
    let mut scene = Scene::new();
    scene.timeout(1000, 1, 1);
    scene.timeout(1400, 1, 2);
    scene.failed(3800, 1, linux::ECOMM);
    scene.line(3802, &format!("{TO} errno=70"));
    let log = scene.read(Some(0));
    let expected = Found::Socket {
        index: 0,
        events: vec![1000, 1400, 3800],
        exact: true,
    };
    assert_eq!(log.matched[0].found, expected);
}

#[test]
fn several_sockets_are_ambiguous_until_the_size_tells_them_apart() {
    for (bytes, ambiguous) in [("", true), (" bytes=200", false), (" bytes=7", true)] {
        let mut scene = Scene::new();
        scene.failed(1000, 1, linux::ECOMM);
        scene.failed(1001, 2, linux::ECOMM);
        scene.line(1002, &format!("{TO} errno=70{bytes}"));
        let log = scene.read(Some(0));
        let found = &log.matched[0].found;
        assert_eq!(
            matches!(found, Found::Ambiguous { all: 2, .. }),
            ambiguous,
            "{bytes}"
        );
        if ambiguous {
            assert!(
                log.matched[0].words.contains("2 sockets fit"),
                "{}",
                log.matched[0].words
            );
        }
    }
}

#[test]
fn the_own_port_tells_connections_apart() {
    let mut scene = Scene::new();
    scene.failed(1000, 1, linux::ECOMM);
    scene.failed(1001, 2, linux::ECOMM);
    scene.line(1002, &format!("{TO} local=10.0.0.1:40002 errno=70"));
    scene.line(1003, &format!("{TO} local=10.0.0.1:40003 errno=70"));
    let log = scene.read(Some(0));
    assert!(matches!(
        log.matched[0].found,
        Found::Socket { index: 1, .. }
    ));
    assert_eq!(log.matched[1].found, Found::Nothing);
}

#[test]
fn many_errors_close_together_do_not_pull_the_clock() {
    let mut scene = Scene::new();
    for number in 0..60 {
        scene.failed(1000 + number * 40, 1, linux::ECOMM);
        scene.line(1002 + number * 40, &format!("{TO} errno=70"));
    }
    let log = scene.read(None);
    let expected = Offset::Same {
        matches: 60,
        median_ns: 2_000_000,
    };
    assert_eq!(log.offset, expected);
}

#[test]
fn a_line_that_fits_nothing_says_so() {
    let cases = [
        // Too late, too early, another destination, process and errno.
        (4000, "dest=10.0.0.12:443 errno=70"),
        (500, "dest=10.0.0.12:443 errno=70"),
        (1001, "dest=10.0.0.13:443 errno=70"),
        (1001, "dest=10.0.0.12:443 pid=43 errno=70"),
        (1001, "errno=EPIPE"),
        // Any trouble would fit.
        (1001, "retry=1"),
    ];
    for (ms, rest) in cases {
        let mut scene = Scene::new();
        scene.failed(1000, 1, linux::ECOMM);
        scene.line(ms, rest);
        let words = scene.words().remove(0);
        assert!(
            words.contains("no kernel evidence within 2 s"),
            "{rest}: {words}"
        );
    }
}

#[test]
fn an_error_that_the_kernel_did_not_tell_gets_what_it_told() {
    let mut scene = Scene::new();
    scene.timeout(1000, 1, 1);
    scene.timeout(1400, 1, 2);
    scene.line(1500, &format!("{TO} err=\"request timed out: ETIMEDOUT\""));
    assert_eq!(
        scene.words(),
        [
            "req_id=8f3 says ETIMEDOUT, which the kernel did not tell it; but the second RTO in a row on its socket, \
             100 ms before this line, and 1 more events in the 2 s before"
        ]
    );
}

#[test]
fn what_the_kernel_ended_is_a_lost_connection() {
    let mut scene = Scene::new();
    for (socket, from) in [(1, TcpState::SynSent), (2, TcpState::Established)] {
        let ended = Connection {
            from: Some(from),
            to: Some(TcpState::Close),
            errno: Some(110),
        };
        let ms = i64::try_from(socket).unwrap() * 10_000;
        scene.event(ms, socket, Detail::Connection(ended));
        scene.line(ms + 500, "id=a dest=10.0.0.12 errno=110");
    }
    let words = scene.words();
    assert!(
        words[0].starts_with("id=a could not connect (ETIMEDOUT), with no"),
        "{words:?}"
    );
    assert!(words[0].ends_with("500 ms before this line"), "{words:?}");
    assert!(
        words[1].starts_with("id=a lost its connection (ETIMEDOUT)"),
        "{words:?}"
    );
}

#[test]
fn a_name_is_not_looked_up_and_it_is_said() {
    let mut scene = Scene::new();
    scene.failed(1000, 1, linux::ECOMM);
    scene.line(1001, "dest=db.example:443 errno=70");
    scene.line(1002, "dest=db.example:80 errno=70");
    let words = scene.words();
    assert!(words[0].starts_with("failed with ECOMM"), "{words:?}");
    assert!(words[0].ends_with("(the destination db.example:443 is a name, and was not compared)"));
    assert!(words[1].contains("no kernel evidence"), "{words:?}");
}

/// Errors at uneven times, and the log with its clock ahead by so much.
fn drifted(ahead_ms: i64, lines: usize) -> AppLog {
    let mut scene = Scene::new();
    for (number, ms) in [10_000, 11_700, 15_300, 21_000, 34_900]
        .into_iter()
        .enumerate()
    {
        scene.failed(ms, number as u64 + 1, linux::ECOMM);
        if number < lines {
            scene.line(ms + ahead_ms + 3, "dest=10.0.0.12:443 errno=70");
        }
    }
    scene.read(None)
}

#[test]
fn the_offset_of_the_clock_is_estimated_and_said() {
    for ahead_ms in [-7_200_000, -2_500, 2_500, 9 * 3_600_000] {
        let log = drifted(ahead_ms, 5);
        let expected = Offset::Estimated {
            offset_ns: (ahead_ms + 3) * 1_000_000,
            matches: 5,
            spread_ns: 0,
        };
        assert_eq!(log.offset, expected);
        assert_eq!(log.found(), [5, 0, 0], "{ahead_ms}");
        assert!(
            log.clock_words().contains("estimated"),
            "{}",
            log.clock_words()
        );
    }
}

#[test]
fn a_clock_that_agrees_is_left_alone() {
    let log = drifted(0, 5);
    assert_eq!(log.offset.ns(), 0);
    assert!(
        matches!(log.offset, Offset::Same { matches: 5, .. }),
        "{:?}",
        log.offset
    );
}

#[test]
fn too_few_errors_give_no_offset() {
    let log = drifted(60_000, 2);
    assert!(
        matches!(log.offset, Offset::Assumed { .. }),
        "{:?}",
        log.offset
    );
    assert_eq!(log.found()[0], 0);
}

#[test]
fn a_beat_that_fits_several_offsets_gives_none() {
    let mut scene = Scene::new();
    for number in 0..20_i64 {
        scene.failed(10_000 + number * 5_000, 1, linux::ECOMM);
        scene.line(
            10_000 + number * 5_000 + 60_000,
            "dest=10.0.0.12:443 errno=70",
        );
    }
    let log = scene.read(None);
    assert_eq!(log.offset.ns(), 0, "{:?}", log.offset);
}

#[test]
fn lines_outside_of_the_recording_are_counted_and_not_judged() {
    let mut scene = Scene::new();
    scene.line(-60_000, "dest=10.0.0.12:443 errno=70");
    scene.line(3_700_000, "dest=10.0.0.12:443 errno=70");
    let log = scene.read(Some(0));
    assert_eq!((log.counts.outside, log.matched.len()), (2, 0));
}

#[test]
fn hostile_lines_break_nothing() {
    let mut lines = Lines::new(Fields::default(), TimeZone::UTC);
    for line in [
        &b"ts=9223372036854775807 errno=70 dest=10.0.0.12:443"[..],
        b"ts=0 errno=70 pid=42 retry=18446744073709551615/0",
        b"{\"ts\":1e400,\"errno\":1}",
        b"\xff\xff\x00\x1b[2J",
        b"",
    ] {
        lines.line(line);
    }
    lines.too_long();
    let mut scene = Scene::new();
    scene.failed(1000, 1, linux::ECOMM);
    for offset in [None, Some(i64::MIN), Some(i64::MAX)] {
        let mut again = Lines::new(Fields::default(), TimeZone::UTC);
        again.entries = lines.entries.clone();
        again.counts = lines.counts.clone();
        let mut other = Scene::new();
        other.failed(1000, 1, linux::ECOMM);
        let log = AppLog::new(
            "\u{1b}".to_owned(),
            again,
            other.socket_index,
            Some((i64::MIN, i64::MAX)),
            offset,
        );
        assert_eq!(log.counts.bad, 3);
    }
}
