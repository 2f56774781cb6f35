//! Packets that are dropped on either side, and those that a driver refuses.

use anyhow::Result;
use tracer_common::selftest::{EGRESS_PORT, OVERSIZED_BYTES, OVERSIZED_PAYLOAD, counter};

use super::sends::fails;
use super::{FaultRunner, Impossible};
use crate::selftest::check::Watch;
use crate::selftest::expect::{Expectation, Flow, Line};
use crate::selftest::netlink::{FAR, NEAR, WIRE};
use crate::selftest::protocol::Request;
use crate::selftest::sandbox::{Sandbox, local, remote};

/// Discard: nobody listens.
const DISCARD: u16 = 9;

impl FaultRunner<'_> {
    pub(super) fn packets(&mut self, family: usize) {
        let seen = self.expected_hooks.hook("kfree_skb");
        let egress = self.sandbox.drop_sent();
        let sends = self.sees_requests();
        self.checks(
            family,
            [
                ("drop sent", egress.clone().and(seen.clone())),
                ("send_error of a dropped packet", egress.and(sends)),
            ],
            |sandbox| dropped_sent(sandbox, family),
        );
        let receiver = self.expected_hooks.best("kfree_skb");
        self.check("drop receive buffer", family, receiver, |sandbox| {
            receive_buffer(sandbox, family)
        });
        let wire = match family {
            0 => self.sandbox.network.wire.clone(),
            _ => self.sandbox.network.wire_v6.clone(),
        };
        let device = self
            .expected_hooks
            .hook("net_dev_xmit")
            .and(wire)
            .and_then(|()| self.sandbox.watch_drivers());
        self.check("device NET_XMIT_DROP", family, device, |sandbox| {
            refused_by_driver(sandbox, family, seen.is_ok())
        });
    }
}

/// Dropped inside this host, after the send: both the packet and the send tell of it.
fn dropped_sent(sandbox: &mut Sandbox, family: usize) -> Result<[Watch; 2]> {
    const BYTES: u32 = 211;
    let port = sandbox.port();
    let name = Sandbox::known(&mut sandbox.sender, local(family, port))?;
    let send = Request::Send {
        name,
        bytes: BYTES,
        to: Some(remote(family, EGRESS_PORT)),
    };
    sandbox.sender.fails(&send, libc::EPERM)?;
    let flow = Flow {
        remote: Some(remote(family, EGRESS_PORT).to_string()),
        ..sandbox.flow("udp", family, port)
    };
    let headers = [28, 48][family];
    let line = Line::of(&sandbox.sender.who, sandbox.sent)
        .with("/drop/direction", "sent")
        .with("/drop/bytes", BYTES + headers);
    Ok([
        Watch::new(
            "1 packet dropped on its way out, on the sender's account",
            vec![Expectation::events("drop", &flow, vec![line])],
        ),
        Watch::new(
            "the send that it belonged to",
            vec![fails(sandbox, &flow, libc::EPERM, BYTES)],
        ),
    ])
}

/// A receiver that does not read.
fn receive_buffer(sandbox: &mut Sandbox, family: usize) -> Result<Watch> {
    const SENDS: u64 = 40;
    let port = sandbox.port();
    let at = remote(family, port);
    let name = Sandbox::known(&mut sandbox.receiver, at)?;
    sandbox.receiver.must(&Request::ReceiveBuffer {
        name: name.clone(),
        bytes: 4096,
    })?;
    let sender = Sandbox::known(&mut sandbox.sender, local(family, port))?;
    sandbox.sender.must(&Request::Burst {
        name: sender,
        bytes: 500,
        to: at,
        count: SENDS as u32,
    })?;
    sandbox
        .receiver
        .must(&Request::AwaitInput { name: name.clone() })?;
    let arrived = sandbox.receiver.number(&Request::Drain { name })?;
    let dropped = SENDS.saturating_sub(arrived);
    let line = Line::of(&sandbox.receiver.who, sandbox.sent)
        .with("/drop/direction", "received")
        .with("/drop/reason", "SOCKET_RCVBUFF");
    let lines = vec![line; usize::try_from(dropped)?];
    let flow = sandbox.flow("udp", family, port).turned();
    if dropped == 0 {
        anyhow::bail!("all datagrams arrived");
    }
    Ok(Watch::new(
        format!("{dropped} of {SENDS} datagrams did not fit, on the receiver's account"),
        vec![Expectation::events("drop", &flow, lines)],
    ))
}

/// The other end of the wire takes no packet of this size.
fn refused_by_driver(sandbox: &mut Sandbox, family: usize, drops: bool) -> Result<Watch> {
    const PACKETS: u64 = 3;
    let port = sandbox.port();
    let (near, far) = ((NEAR[family], port).into(), (FAR[family], DISCARD).into());
    let name = Sandbox::known(&mut sandbox.sender, near)?;
    let before = sandbox.faults.counter(counter::XMIT_REFUSED)?;
    let taken_before = sandbox.faults.counter(counter::XMIT_TAKEN)?;
    for _ in 0..PACKETS {
        sandbox.sender.must(&Request::Send {
            name: name.clone(),
            bytes: OVERSIZED_PAYLOAD,
            to: Some(far),
        })?;
    }
    let refused = sandbox.faults.counter(counter::XMIT_REFUSED)? - before;
    let taken = sandbox.faults.counter(counter::XMIT_TAKEN)? - taken_before;
    let flow = Flow {
        proto: "udp",
        local: Some(near.to_string()),
        remote: Some(far.to_string()),
        netns: sandbox.netns,
    };
    let owner = Line::of(&sandbox.sender.who, sandbox.sent);
    let mut expected = Vec::new();
    if drops {
        let line = owner.clone().with("/drop/direction", "sent");
        expected.push(Expectation::events(
            "drop",
            &flow,
            vec![line; PACKETS as usize],
        ));
    }
    if refused == 0 && taken == PACKETS {
        let why = "the driver of virtual wires (veth) of this kernel reports success for packets that it drops";
        let watch = Watch::new("", expected);
        return Err(Impossible {
            why: why.to_owned(),
            watch: Some(watch),
        }
        .into());
    }
    // Its drop names the owner of the packet.
    let line = if drops { owner } else { Line::of_nobody() };
    let line = line
        .with("/device/code", 1)
        .with("/device/name", "NET_XMIT_DROP")
        .with("/device/interface", WIRE)
        .with("/device/bytes", OVERSIZED_BYTES[family])
        .with("/device/requeued", false);
    let lines = vec![line; usize::try_from(refused)?];
    let key = match drops {
        true => flow.key(),
        // Without the drop there is no flow.
        false => vec![
            ("/device/interface", WIRE.into()),
            ("/device/bytes", OVERSIZED_BYTES[family].into()),
        ],
    };
    expected.push(Expectation::of("device", key, lines));
    let whose = match drops {
        true => "on the sender's account",
        false => "of nobody that could be told",
    };
    Ok(Watch::new(
        format!("{refused} packets refused by the driver, {whose}"),
        expected,
    ))
}
