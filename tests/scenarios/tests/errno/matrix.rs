//! The table: what was provoked, and whether the events tell it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scenarios::{
    Cgroup, Outcome, Peer, SOON, Tracer, World, assert_flow, assert_owner, check_line, number, text,
};
use serde_json::Value;

/// The IP version of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

impl Ip {
    /// `udp4`, `tcp6`: what a peer opens, and what checks are called after.
    pub fn kind(self, proto: &str) -> String {
        match self {
            Self::V4 => format!("{proto}4"),
            Self::V6 => format!("{proto}6"),
        }
    }

    /// One of two.
    pub fn pick<T>(self, v4: T, v6: T) -> T {
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
        }
    }

    /// The other host, with this port.
    pub fn remote(self, port: u16) -> String {
        match self {
            Self::V4 => format!("10.99.1.2:{port}"),
            Self::V6 => format!("[fd99:1::2]:{port}"),
        }
    }
}

/// What the events must say of failing sends of one size.
pub struct Expected<'a> {
    pub peer: &'a Peer,
    pub bytes: u64,
    /// As the contract writes it: `tcp`, `udp`, `unix_stream`…
    pub proto: &'a str,
    /// Where to; `None`: no destination was named, and none may be claimed.
    pub remote: Option<&'a str>,
    pub name: &'a str,
    pub errno: i32,
    /// How many sends failed so.
    pub count: usize,
}

/// Two hosts, a tracer, and what is known so far.
pub struct Matrix {
    pub world: World,
    /// Where the refused processes go. Made before the tracer looks for names of cgroups, and kept: a new
    /// one can go without a name for a second.
    pub cgroup: Option<Cgroup>,
    tracer: Tracer,
    lines: Vec<Line>,
    /// Expectations of the check that runs: (pid, bytes, count).
    expected: Vec<(u32, u64, usize)>,
    next_bytes: u64,
}

struct Line {
    check: String,
    outcome: Outcome,
    detail: String,
    expected: Vec<(u32, u64, usize)>,
}

/// Why a check cannot be made here.
pub type Checked = Result<String, String>;

impl Matrix {
    pub fn new() -> Self {
        Self {
            world: World::pair(),
            cgroup: Cgroup::new(),
            tracer: Tracer::start(&["--signal", "send_error", "--would-block"]),
            lines: Vec::new(),
            expected: Vec::new(),
            next_bytes: 1000,
        }
    }

    /// A size that no other send of the matrix has.
    pub fn bytes(&mut self) -> u64 {
        self.next_bytes += 1;
        self.next_bytes
    }

    /// Runs one check; a panic in it is its failure, and the next one runs. `Err` means unsupported, with the
    /// reason.
    pub fn check(&mut self, name: &str, run: impl FnOnce(&mut Self) -> Checked) {
        let ended = catch_unwind(AssertUnwindSafe(|| run(self)));
        let (outcome, detail) = match ended {
            Ok(Ok(detail)) => (Outcome::Pass, detail),
            Ok(Err(reason)) => (Outcome::Unsupported, reason),
            Err(panic) => {
                let said = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                    .unwrap_or_default();
                (Outcome::Fail, said)
            }
        };
        self.lines.push(Line {
            check: name.to_owned(),
            outcome,
            detail,
            expected: std::mem::take(&mut self.expected),
        });
    }

    /// The sends failed; waits for their events and compares all that they say.
    pub fn expect(&mut self, expected: &Expected<'_>) -> Checked {
        let Expected { peer, bytes, .. } = *expected;
        let pid = peer.id.pid;
        self.expected.push((pid, bytes, expected.count));
        let what = format!("{} of {bytes} bytes by {}", expected.name, peer.id.comm);
        let events = self
            .tracer
            .wait_for_count(&what, expected.count, SOON, |event| is(event, pid, bytes));
        for event in &events {
            assert_owner(event, &peer.id, &["at_send"]);
            assert_eq!(text(event, "send_error.name"), expected.name, "{event}");
            assert_eq!(
                number(event, "send_error.errno"),
                i64::from(expected.errno),
                "{event}"
            );
            assert_eq!(number(event, "send_error.sent_bytes"), 0, "{event}");
            match expected.remote {
                Some(remote) => assert_flow(event, expected.proto, "", remote, &self.world.a),
                None => {
                    assert_eq!(text(event, "flow.proto"), expected.proto, "{event}");
                    assert!(event["flow"]["remote"].is_null(), "{event}");
                }
            }
        }
        Ok(String::new())
    }

    /// One failing send of a datagram or stream to a destination.
    pub fn fails(
        &mut self,
        peer: &mut Peer,
        command: &str,
        (proto, remote): (&str, Option<&str>),
        (name, errno): (&str, i32),
    ) -> Checked {
        let bytes = self.bytes();
        peer.fails(&command.replace("BYTES", &bytes.to_string()), errno);
        self.expect(&Expected {
            peer,
            bytes,
            proto,
            remote,
            name,
            errno,
            count: 1,
        })
    }

    /// Ends the run: every failure must be among the events exactly as often as it happened.
    pub fn finish(mut self) {
        let run = self.tracer.stop();
        for line in &mut self.lines {
            for (pid, bytes, count) in &line.expected {
                let found = run
                    .events
                    .iter()
                    .filter(|event| is(event, *pid, *bytes))
                    .count();
                if found != *count && line.outcome == Outcome::Pass {
                    line.outcome = Outcome::Fail;
                    line.detail =
                        format!("{found} events of {count} failed sends of {bytes} bytes");
                }
            }
            check_line("errno", &line.check, line.outcome, &line.detail);
        }
        let failed: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.outcome == Outcome::Fail)
            .map(|line| line.check.as_str())
            .collect();
        assert!(failed.is_empty(), "failed: {failed:?}");
        run.assert_complete();
    }
}

fn is(event: &Value, pid: u32, bytes: u64) -> bool {
    event["signal"] == "send_error"
        && event["owner"]["pid"] == pid
        && event["send_error"]["requested_bytes"] == bytes
}
