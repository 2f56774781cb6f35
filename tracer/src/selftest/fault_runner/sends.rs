//! Sends that succeed, sends that fail, each with another errno, and a flood of them.

use anyhow::{Result, bail};
use serde_json::Value;
use tracer_common::event_kind;
use tracer_common::selftest::{DENIED_PORT, ECOMM, REFUSED_PORT};

use super::{FaultRunner, Obstacle};
use crate::selftest::check::Watch;
use crate::selftest::expect::{Counting, Expectation, Flow, Line};
use crate::selftest::protocol::{Reply, Request};
use crate::selftest::sandbox::{Sandbox, local, remote};

/// Owners of unix sockets are not stored: they are looked up.
const SENT_OR_FOUND: &[&str] = &["at_send", "seeded"];
/// Nobody has this name.
const NO_UNIX_SOCKET: &str = "sendtrace-selftest-nobody";

impl FaultRunner<'_> {
    pub(super) fn sends(&mut self, family: usize) {
        type Act = fn(&mut Sandbox, usize) -> Result<Watch>;
        let acts: [(&str, Act); 4] = [
            ("send_error ECONNREFUSED", refused),
            ("send_error EMSGSIZE", too_large),
            ("send_error EPIPE", broken_pipe),
            ("send_error EAGAIN, counted", would_block),
        ];
        let listed = self.expected_hooks.event_kind(event_kind::SEND);
        let listed = listed.and(self.expected_hooks.requests());
        self.check("send", family, listed, |sandbox| succeeds(sandbox, family));
        let seen = self.sees_requests();
        for (name, act) in acts {
            self.check(name, family, seen.clone(), |sandbox| act(sandbox, family));
        }
        let policies = [
            (
                "send_error ECOMM",
                ["refuse4", "refuse6"],
                REFUSED_PORT,
                ECOMM,
            ),
            (
                "send_error EPERM",
                ["deny4", "deny6"],
                DENIED_PORT,
                libc::EPERM,
            ),
        ];
        for (name, programs, port, errno) in policies {
            let policy = seen.clone().and_then(|()| {
                self.sandbox
                    .in_cgroup(|faults, dir| faults.attach_refusal(programs[family], dir))
            });
            self.check(name, family, policy, |sandbox| {
                by_policy(sandbox, family, port, errno)
            });
        }
    }

    /// Unix sockets, which have no family of addresses.
    pub(super) fn unix(&mut self) {
        let seen = self.sees_requests();
        for (to, errno) in [
            (None, libc::ENOTCONN),
            (Some(NO_UNIX_SOCKET), libc::ECONNREFUSED),
        ] {
            let name = format!("send_error {} unix", name(errno));
            self.single(name, seen.clone(), |sandbox| unix(sandbox, to, errno));
        }
    }

    /// The last of all: more events in a second than are listed.
    pub fn flood(&mut self, rate: u64) {
        let seen = self.sees_requests();
        self.single("rate limit".to_owned(), seen, |sandbox| {
            flood(sandbox, rate)
        });
    }

    /// Are failing sends seen, with their destination and size?
    pub(super) fn sees_requests(&self) -> Obstacle {
        let seen = self.expected_hooks.event_kind(event_kind::SEND_ERROR);
        seen.and(self.expected_hooks.requests())
    }
}

fn name(errno: i32) -> String {
    tracer_model::errno::display(errno.unsigned_abs()).into_owned()
}

/// Each send is one event.
fn succeeds(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let port = sandbox.port();
    let name = format!("u{port}");
    sandbox.sender.must(&Request::Udp {
        name: name.clone(),
        at: local(family, port),
    })?;
    let mut lines = Vec::new();
    for bytes in [101, 102, 103] {
        sandbox.sender.must(&Request::Send {
            name: name.clone(),
            bytes,
            to: Some(remote(family, port)),
        })?;
        let line = Line::of(&sandbox.sender.who, sandbox.sent)
            .with("/send/sent_bytes", bytes)
            .with("/send/requested_bytes", bytes);
        lines.push(line);
    }
    let flow = sandbox.flow("udp", family, port);
    let expected = Expectation::events("send", &flow, lines);
    Ok(Watch::new("3 datagrams, each once", vec![expected]))
}

/// One failing send on this flow.
pub(super) fn fails(sandbox: &Sandbox, flow: &Flow, errno: i32, bytes: u32) -> Expectation {
    Expectation::events("send_error", flow, vec![line(sandbox, errno, Some(bytes))])
}

fn line(sandbox: &Sandbox, errno: i32, bytes: Option<u32>) -> Line {
    let line = Line::of(&sandbox.sender.who, sandbox.sent)
        .with("/send_error/errno", errno)
        .with("/send_error/name", name(errno))
        .with("/send_error/sent_bytes", 0);
    match bytes {
        Some(bytes) => line.with("/send_error/requested_bytes", bytes),
        None => line,
    }
}

/// The first datagram meets no socket, and the next send returns that error.
fn refused(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let port = sandbox.port();
    let name = format!("u{port}");
    let send = |bytes| Request::Send {
        name: format!("u{port}"),
        bytes,
        to: None,
    };
    sandbox.sender.must(&Request::Udp {
        name: name.clone(),
        at: local(family, port),
    })?;
    sandbox.sender.must(&Request::Connect {
        name: name.clone(),
        to: remote(family, port),
        wait_ms: 0,
    })?;
    sandbox.sender.must(&send(10))?;
    sandbox.sender.must(&Request::AwaitError { name })?;
    sandbox.sender.fails(&send(11), libc::ECONNREFUSED)?;
    let flow = sandbox.flow("udp", family, port);
    let expected = fails(sandbox, &flow, libc::ECONNREFUSED, 11);
    Ok(Watch::new(
        "a connected UDP socket, nobody listens",
        vec![expected],
    ))
}

fn too_large(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    const BYTES: u32 = 70_000;
    let port = sandbox.port();
    let name = format!("u{port}");
    sandbox.sender.must(&Request::Udp {
        name: name.clone(),
        at: local(family, port),
    })?;
    let send = Request::Send {
        name,
        bytes: BYTES,
        to: Some(remote(family, port)),
    };
    sandbox.sender.fails(&send, libc::EMSGSIZE)?;
    let flow = sandbox.flow("udp", family, port);
    let expected = fails(sandbox, &flow, libc::EMSGSIZE, BYTES);
    Ok(Watch::new(
        format!("a datagram of {BYTES} bytes to a named destination"),
        vec![expected],
    ))
}

fn broken_pipe(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let connection = sandbox.warm(family)?;
    let name = connection.client;
    sandbox
        .sender
        .must(&Request::Shutdown { name: name.clone() })?;
    let send = Request::Send {
        name,
        bytes: 777,
        to: None,
    };
    sandbox.sender.fails(&send, libc::EPIPE)?;
    let expected = fails(sandbox, &connection.flow, libc::EPIPE, 777);
    Ok(Watch::new(
        "a TCP socket that was shut down",
        vec![expected],
    ))
}

/// Counted, not listed: to the last one.
fn would_block(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    const TIMES: u32 = 50;
    let connection = sandbox.warm(family)?;
    let name = connection.client;
    sandbox.sender.must(&Request::SendBuffer {
        name: name.clone(),
        bytes: 16_384,
    })?;
    sandbox.sender.number(&Request::Fill {
        name,
        bytes: 8192,
        would_block: TIMES,
    })?;
    let owner = Line::of(&sandbox.sender.who, sandbox.sent);
    let line = owner.clone().with("/code", "EAGAIN");
    let expected = Expectation::counted(
        "send_error",
        "would_block",
        &connection.flow,
        line,
        TIMES.into(),
    );
    let none = Expectation::events("send_error", &connection.flow, Vec::new());
    // Who does not read acknowledges late, and is probed for it.
    let probes =
        Expectation::events("retransmit", &connection.flow, vec![owner]).counting(Counting::Any);
    Ok(Watch::new(
        format!("{TIMES} sends that would have blocked"),
        vec![expected, none, probes],
    ))
}

/// A program on the cgroup refuses.
fn by_policy(sandbox: &mut Sandbox, family: usize, port: u16, errno: i32) -> Result<Watch> {
    let own = sandbox.port();
    let sender = format!("u{own}");
    sandbox.sender.must(&Request::Udp {
        name: sender.clone(),
        at: local(family, own),
    })?;
    let send = Request::Send {
        name: sender,
        bytes: 432,
        to: Some(remote(family, port)),
    };
    sandbox.sender.fails(&send, errno)?;
    let flow = Flow {
        remote: Some(remote(family, port).to_string()),
        ..sandbox.flow("udp", family, own)
    };
    let expected = fails(sandbox, &flow, errno, 432);
    Ok(Watch::new(
        format!("a program on the cgroup answers {}", name(errno)),
        vec![expected],
    ))
}

fn unix(sandbox: &mut Sandbox, to: Option<&str>, errno: i32) -> Result<Watch> {
    let name = format!("x{errno}");
    sandbox.sender.must(&Request::Unix { name: name.clone() })?;
    let send = Request::SendUnix {
        name,
        bytes: 55,
        to: to.map(str::to_owned),
    };
    sandbox.sender.fails(&send, errno)?;
    let flow = Flow {
        proto: "unix_dgram",
        local: None,
        remote: to.map(|to| format!("@{to}")),
        netns: sandbox.netns,
    };
    let expected = fails(sandbox, &flow, errno, 55);
    // Some kernels free the refused datagram as if it had been dropped.
    let nameless = Flow {
        remote: None,
        ..flow
    };
    let sender = Line::of(&sandbox.sender.who, SENT_OR_FOUND);
    let whose = match sandbox.sender.who.found_among_files {
        true => sender,
        false => sender.or_nobody(),
    };
    let refused = whose.with("/drop/direction", "sent");
    let refused = Expectation::events("drop", &nameless, vec![refused]).counting(Counting::Any);
    let detail = to.map_or(
        "a datagram socket without a peer",
        |_| "an abstract address that nobody has",
    );
    Ok(Watch::new(detail, vec![expected, refused]))
}

fn flood(sandbox: &mut Sandbox, rate: u64) -> Result<Watch> {
    let total = 10 * rate;
    let port = sandbox.port();
    let name = format!("u{port}");
    sandbox.sender.must(&Request::Udp {
        name: name.clone(),
        at: local(0, port),
    })?;
    let burst = Request::Burst {
        name,
        bytes: 70_000,
        to: remote(0, port),
        count: u32::try_from(total)?,
    };
    match sandbox.sender.ask(&burst)? {
        Reply::Number(failed) if failed == total => {}
        other => bail!("{total} sends were to fail: {other:?}"),
    }
    let flow = sandbox.flow("udp", 0, port);
    let line = Line {
        // Of aggregated events too.
        fields: vec![("/send_error/name", Value::from("EMSGSIZE"))],
        ..line(sandbox, libc::EMSGSIZE, None)
    };
    let expected =
        Expectation::events("send_error", &flow, vec![line]).counting(Counting::Aggregated(total));
    Ok(Watch::new(
        format!(
            "{total} events at once, {rate} a second listed, the rest counted: none is missing"
        ),
        vec![expected],
    ))
}
