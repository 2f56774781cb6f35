//! Segments that get lost: why each is sent again, and on whose account.

use anyhow::Result;
use serde_json::Value;
use tracer_common::event_kind;
use tracer_common::selftest::segment;

use super::{FaultRunner, Obstacle};
use crate::selftest::check::Watch;
use crate::selftest::expect::{Counting, Expectation, Line};
use crate::selftest::protocol::Request;
use crate::selftest::sandbox::{Sandbox, remote};

const CONNECTED: &[&str] = &["at_connect"];
const LISTENED: &[&str] = &["at_listen"];

impl FaultRunner<'_> {
    pub(super) fn segments(&mut self, family: usize) {
        let lossy = self.sandbox.lossy.clone();
        let retransmit: Obstacle = lossy
            .clone()
            .and(self.expected_hooks.event_kind(event_kind::RETRANSMIT))
            .and(self.expected_hooks.hook("tcp_retransmit_skb"));
        let synack = lossy
            .clone()
            .and(self.expected_hooks.hook("tcp_retransmit_synack"));
        self.check(
            "retransmit tlp and rto",
            family,
            retransmit.clone(),
            |sandbox| timeouts(sandbox, family),
        );
        self.check("retransmit fast", family, retransmit.clone(), |sandbox| {
            fast(sandbox, family)
        });
        self.check("retransmit syn", family, retransmit.clone(), |sandbox| {
            syn(sandbox, family)
        });
        self.check("retransmit synack", family, synack, |sandbox| {
            synack_again(sandbox, family)
        });
        let died = lossy.and(self.expected_hooks.event_kind(event_kind::CONNECTION));
        self.checks(
            family,
            [
                ("connection timed out", died),
                ("retransmit syn until it timed out", retransmit),
            ],
            |sandbox| timed_out(sandbox, family),
        );
    }
}

fn cause(line: Line, cause: &str, attempt: impl Into<Value>) -> Line {
    line.with("/retransmit/cause", cause)
        .with("/retransmit/outcome", "sent")
        .with("/retransmit/attempt", attempt)
        .with("/retransmit/segments", 1)
}

/// The segment and what follows it are lost: a probe, then time-outs with growing distances, until one arrives.
fn timeouts(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    const LOST: u32 = 3;
    const BYTES: u32 = 700;
    let connection = sandbox.warm(family)?;
    sandbox.faults.lose(connection.port, segment::DATA, LOST)?;
    sandbox.sender.must(&Request::Send {
        name: connection.client,
        bytes: BYTES,
        to: None,
    })?;
    let line = Line::of(&sandbox.sender.who, sandbox.sent).with("/retransmit/bytes", BYTES);
    let lines = vec![
        cause(line.clone(), "tlp", Value::Null),
        cause(line.clone(), "rto", 1),
        cause(line, "rto", 2),
    ];
    let expected = Expectation::events("retransmit", &connection.flow, lines);
    let detail = format!("{LOST} segments lost: a probe and two time-outs of the sender");
    Ok(Watch::new(detail, vec![expected]).losing(connection.port, LOST))
}

/// The first of several is lost, and the peer says so by what it acknowledges.
fn fast(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let connection = sandbox.warm(family)?;
    sandbox.faults.lose(connection.port, segment::DATA, 1)?;
    sandbox.sender.must(&Request::Send {
        name: connection.client,
        bytes: 8000,
        to: None,
    })?;
    let line = cause(
        Line::of(&sandbox.sender.who, sandbox.sent),
        "fast",
        Value::Null,
    );
    let expected = Expectation::events("retransmit", &connection.flow, vec![line]);
    Ok(Watch::new("1 segment of 6 lost", vec![expected]).losing(connection.port, 1))
}

fn syn(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let (_, port) = sandbox.listener(family)?;
    sandbox.faults.lose(port, segment::SYN, 1)?;
    let client = sandbox.client(family, port)?;
    sandbox.sender.must(&Request::Connect {
        name: client,
        to: remote(family, port),
        wait_ms: 0,
    })?;
    let line = cause(Line::of(&sandbox.sender.who, CONNECTED), "syn", 1);
    let flow = sandbox.flow("tcp", family, port);
    let expected = Expectation::events("retransmit", &flow, vec![line]);
    Ok(Watch::new("1 SYN lost, sent again for who connects", vec![expected]).losing(port, 1))
}

/// The last step of the handshake is lost: the listener repeats its own.
fn synack_again(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    let (_, port) = sandbox.listener(family)?;
    sandbox.faults.lose(port, segment::ACK, 1)?;
    let client = sandbox.client(family, port)?;
    sandbox.sender.must(&Request::Connect {
        name: client,
        to: remote(family, port),
        wait_ms: 10_000,
    })?;
    let line = cause(Line::of(&sandbox.receiver.who, LISTENED), "synack", 1);
    let flow = sandbox.flow("tcp", family, port);
    let expected = Expectation::events("retransmit", &flow.turned(), vec![line]);
    // It already has the first one.
    let surplus = Line::of(&sandbox.sender.who, CONNECTED).with("/drop/direction", "received");
    let surplus = Expectation::events("drop", &flow, vec![surplus]).counting(Counting::Any);
    Ok(Watch::new(
        "1 ACK lost, SYN-ACK sent again for who listens",
        vec![expected, surplus],
    )
    .losing(port, 1))
}

/// No SYN arrives at all.
fn timed_out(sandbox: &mut Sandbox, family: usize) -> Result<[Watch; 2]> {
    let port = sandbox.port();
    sandbox.faults.lose(port, segment::SYN, u32::MAX)?;
    let client = sandbox.client(family, port)?;
    sandbox.sender.must(&Request::UserTimeout {
        name: client.clone(),
        ms: 1200,
    })?;
    sandbox.sender.must(&Request::Connect {
        name: client,
        to: remote(family, port),
        wait_ms: 0,
    })?;
    let flow = sandbox.flow("tcp", family, port);
    let who = Line::of(&sandbox.sender.who, CONNECTED);
    let died = who
        .clone()
        .with("/connection/from", "SYN_SENT")
        .with("/connection/to", "CLOSE")
        .with("/connection/name", "ETIMEDOUT");
    let died = Expectation::events("connection", &flow, vec![died]);
    let again = who
        .with("/retransmit/cause", "syn")
        .with("/retransmit/segments", 1);
    let again = Expectation::events("retransmit", &flow, vec![again]).counting(Counting::Some);
    Ok([
        Watch::new("ETIMEDOUT for who connects", vec![died]),
        Watch::new("every one for who connects", vec![again]),
    ])
}
