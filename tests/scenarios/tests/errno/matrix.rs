//! The table: what was provoked, and whether the events tell it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scenarios::{
    Cgroup, Identity, Outcome, Peer, Run, World, assert_flow, assert_owner, check_line, number,
    text,
};

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

/// Two hosts, and what is known so far.
pub struct Matrix {
    pub world: World,
    /// Where the refused processes go. Made before a tracer looks for names of cgroups, and kept: a new one can go
    /// without a name for a second.
    pub cgroup: Option<Cgroup>,
    lines: Vec<Line>,
    /// What the check that runs has provoked.
    provoked: Vec<Provoked>,
    next_bytes: u64,
}

/// Failed sends whose events are looked at in the end: nothing waits for the tracer in between.
struct Provoked {
    who: Identity,
    bytes: u64,
    proto: String,
    remote: Option<String>,
    name: String,
    errno: i32,
    count: usize,
}

struct Line {
    check: String,
    outcome: Outcome,
    detail: String,
    provoked: Vec<Provoked>,
}

/// How a check went so far, with a remark; `Err` is why it cannot be made here.
pub type Checked = Result<String, String>;

impl Matrix {
    /// To be called before the tracer starts.
    pub fn new() -> Self {
        Self {
            world: World::pair(),
            cgroup: Cgroup::new(),
            lines: Vec::new(),
            provoked: Vec::new(),
            next_bytes: 1000,
        }
    }

    /// A size that no other send of the matrix has.
    pub fn bytes(&mut self) -> u64 {
        self.next_bytes += 1;
        self.next_bytes
    }

    /// Runs one check; a panic in it is its failure, and the next one runs.
    pub fn check(&mut self, name: &str, run: impl FnOnce(&mut Self) -> Checked) {
        let (outcome, detail) = match catch(|| run(self)) {
            Ok(Ok(detail)) => (Outcome::Pass, detail),
            Ok(Err(reason)) => (Outcome::Unsupported, reason),
            Err(panic) => (Outcome::Fail, panic),
        };
        self.lines.push(Line {
            check: name.to_owned(),
            outcome,
            detail,
            provoked: std::mem::take(&mut self.provoked),
        });
    }

    /// These sends have failed; in the end their events must be there and say so.
    pub fn expect(&mut self, expected: &Expected<'_>) -> Checked {
        self.provoked.push(Provoked {
            who: expected.peer.id.clone(),
            bytes: expected.bytes,
            proto: expected.proto.to_owned(),
            remote: expected.remote.map(str::to_owned),
            name: expected.name.to_owned(),
            errno: expected.errno,
            count: expected.count,
        });
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

    /// Every failure must be among the events of the run exactly as often as it happened, and each event must
    /// tell it. Prints a line per check; returns the checks that failed.
    pub fn finish(self, run: &Run) -> Vec<String> {
        let mut failed = Vec::new();
        for mut line in self.lines {
            if line.outcome == Outcome::Pass {
                let seen = catch(|| {
                    for provoked in &line.provoked {
                        provoked.assert_told(run, &self.world);
                    }
                });
                if let Err(panic) = seen {
                    (line.outcome, line.detail) = (Outcome::Fail, panic);
                }
            }
            check_line("errno", &line.check, line.outcome, &line.detail);
            if line.outcome == Outcome::Fail {
                failed.push(line.check);
            }
        }
        failed
    }
}

impl Provoked {
    fn assert_told(&self, run: &Run, world: &World) {
        let events = run.events("send_error", |event| {
            event["owner"]["pid"] == self.who.pid
                && event["send_error"]["requested_bytes"] == self.bytes
        });
        assert_eq!(
            events.len(),
            self.count,
            "events of failed sends of {} bytes by {:?}: {events:?}",
            self.bytes,
            self.who
        );
        for event in events {
            assert_owner(event, &self.who, &["at_send"]);
            assert_eq!(text(event, "send_error.name"), self.name, "{event}");
            let errno = number(event, "send_error.errno");
            assert_eq!(errno, i64::from(self.errno), "{event}");
            assert_eq!(number(event, "send_error.sent_bytes"), 0, "{event}");
            assert_eq!(number(event, "count"), 1, "{event}");
            match &self.remote {
                Some(remote) => assert_flow(event, &self.proto, "", remote, &world.a),
                None => {
                    assert_eq!(text(event, "flow.proto"), self.proto, "{event}");
                    assert!(event["flow"]["remote"].is_null(), "{event}");
                }
            }
        }
    }
}

/// What the closure returns, or what its panic said.
fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default()
    })
}
