//! Connections that are refused, reset, or were only accepted.

use anyhow::Result;
use tracer_common::event_kind;

use super::FaultRunner;
use crate::selftest::check::Watch;
use crate::selftest::expect::{Expectation, Flow, Line};
use crate::selftest::protocol::Request;
use crate::selftest::sandbox::{Sandbox, remote};

/// Who resets a connection has closed it. By then it is known by the best that was known before.
const SENT_OR_GONE: &[&str] = &["at_send", "at_accept", "last_known"];
const CONNECTED: &[&str] = &["at_connect"];
const CONNECTED_OR_GONE: &[&str] = &["at_connect", "last_known"];
/// Where accept is hooked, the first event already finds the owner; else it is looked up.
const ACCEPTED: &[&str] = &["at_accept"];
const LOOKED_UP: &[&str] = &["seeded"];

impl FaultRunner<'_> {
    pub(super) fn connections(&mut self, family: usize) {
        let connection = self.expected_hooks.event_kind(event_kind::CONNECTION);
        let sent = self.expected_hooks.hook("tcp_send_reset");
        let received = self.expected_hooks.hook("tcp_receive_reset");
        let for_nobody = self.expected_hooks.best("tcp_send_reset");
        let looked_up = self.expected_hooks.hook("task_file");
        let (accepted, known) = match self.expected_hooks.hook("inet_csk_accept") {
            Ok(()) => (ACCEPTED, Ok(())),
            Err(_) => (LOOKED_UP, looked_up),
        };
        let owners = received
            .clone()
            .and(connection.clone())
            .and(sent.clone())
            .and(known);
        self.check("owner of an accepted socket", family, owners, |sandbox| {
            only_accepted(sandbox, family, accepted)
        });
        self.checks(
            family,
            [
                ("reset sent", sent),
                ("reset received", received.clone()),
                ("connection reset", connection.clone()),
            ],
            |sandbox| reset(sandbox, family),
        );
        let unreachable = self.expected_hooks.connects(family);
        self.check("connect ENETUNREACH", family, unreachable, |sandbox| {
            unreachable_network(sandbox, family)
        });
        self.checks(
            family,
            [
                ("connection refused", connection),
                ("reset received on connect", received),
                ("reset sent by nobody", for_nobody),
            ],
            |sandbox| refused(sandbox, family),
        );
    }
}

fn resets(flow: &Flow, direction: &str, line: Line) -> Expectation {
    let line = line.with("/reset/direction", direction);
    Expectation::events("reset", flow, vec![line]).with("/reset/direction", direction)
}

fn ends(flow: &Flow, from: &str, errno: &str, line: Line) -> Expectation {
    let line = line
        .with("/connection/from", from)
        .with("/connection/to", "CLOSE")
        .with("/connection/name", errno);
    Expectation::events("connection", flow, vec![line])
}

/// Who accepts and never sends is found all the same.
fn only_accepted(
    sandbox: &mut Sandbox,
    family: usize,
    accepted: &'static [&'static str],
) -> Result<Watch> {
    let connection = sandbox.connect(family)?;
    sandbox.sender.must(&Request::Abort {
        name: connection.client,
    })?;
    let (flow, turned) = (&connection.flow, connection.flow.turned());
    let receiver = Line::of(&sandbox.receiver.who, accepted);
    let sender = Line::of(&sandbox.sender.who, CONNECTED_OR_GONE);
    let expected = vec![
        resets(&turned, "received", receiver.clone()),
        ends(&turned, "ESTABLISHED", "ECONNRESET", receiver),
        resets(flow, "sent", sender),
    ];
    let detail = format!("known as {}", accepted.join(" or "));
    Ok(Watch::new(detail, expected))
}

fn reset(sandbox: &mut Sandbox, family: usize) -> Result<[Watch; 3]> {
    let connection = sandbox.warm(family)?;
    sandbox.receiver.must(&Request::Abort {
        name: connection.server,
    })?;
    let (flow, turned) = (&connection.flow, connection.flow.turned());
    let sender = Line::of(&sandbox.sender.who, sandbox.sent);
    let receiver = Line::of(&sandbox.receiver.who, SENT_OR_GONE);
    Ok([
        Watch::new("by who closed", vec![resets(&turned, "sent", receiver)]),
        Watch::new(
            "by who was connected",
            vec![resets(flow, "received", sender.clone())],
        ),
        Watch::new(
            "ECONNRESET for who was connected",
            vec![ends(flow, "ESTABLISHED", "ECONNRESET", sender)],
        ),
    ])
}

/// There is no route, so no SYN is sent.
fn unreachable_network(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    const NOWHERE: [&str; 2] = ["192.0.2.1:80", "[2001:db8:ffff::1]:80"];
    let port = sandbox.port();
    let connect = Request::Connect {
        name: sandbox.client(family, port)?,
        to: NOWHERE[family].parse()?,
        wait_ms: 0,
    };
    sandbox.sender.fails(&connect, libc::ENETUNREACH)?;
    let flow = Flow {
        remote: Some(NOWHERE[family].to_owned()),
        ..sandbox.flow("tcp", family, port)
    };
    let sender = Line::of(&sandbox.sender.who, CONNECTED);
    let expected = ends(&flow, "CLOSE", "ENETUNREACH", sender);
    Ok(Watch::new("no route, for who connects", vec![expected]))
}

fn refused(sandbox: &mut Sandbox, family: usize) -> Result<[Watch; 3]> {
    let port = sandbox.port();
    let client = sandbox.client(family, port)?;
    let connect = Request::Connect {
        name: client,
        to: remote(family, port),
        wait_ms: 10_000,
    };
    sandbox.sender.fails(&connect, libc::ECONNREFUSED)?;
    let flow = sandbox.flow("tcp", family, port);
    let sender = Line::of(&sandbox.sender.who, CONNECTED);
    Ok([
        Watch::new(
            "ECONNREFUSED for who connects",
            vec![ends(&flow, "SYN_SENT", "ECONNREFUSED", sender.clone())],
        ),
        Watch::new("by who connects", vec![resets(&flow, "received", sender)]),
        Watch::new(
            "from a port without a socket, and so without an owner",
            vec![resets(&flow.turned(), "sent", Line::of_nobody())],
        ),
    ])
}
