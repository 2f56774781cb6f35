//! Packets that are dropped on either side, and those that a driver refuses.

use anyhow::Result;
use tracer_common::selftest::{EGRESS_PORT, WITNESS_BYTES, WITNESS_PAYLOAD, counter};

use super::sends::fails;
use super::{Impossible, Play};
use crate::selftest::check::Watch;
use crate::selftest::expect::{Expectation, Flow, Line};
use crate::selftest::netlink::{FAR, NEAR, WIRE};
use crate::selftest::order::Order;
use crate::selftest::stage::{Stage, local, remote};

/// Discard: nobody listens.
const DISCARD: u16 = 9;

impl Play<'_> {
    pub(super) fn packets(&mut self, family: usize) {
        let seen = self.promises.hook("kfree_skb");
        let egress = self.stage.drop_sent();
        let sends = self.sees_requests();
        self.checks(
            family,
            [
                ("drop sent", egress.clone().and(seen.clone())),
                ("send_error of a dropped packet", egress.and(sends)),
            ],
            |stage| dropped_sent(stage, family),
        );
        let receiver = self.promises.best("kfree_skb");
        self.check("drop receive buffer", family, receiver, |stage| {
            receive_buffer(stage, family)
        });
        let wire = match family {
            0 => self.stage.network.wire.clone(),
            _ => self.stage.network.wire_v6.clone(),
        };
        let device = self
            .promises
            .hook("net_dev_xmit")
            .and(wire)
            .and_then(|()| self.stage.watch_drivers());
        self.check("device NET_XMIT_DROP", family, device, |stage| {
            refused_by_driver(stage, family, seen.is_ok())
        });
    }
}

/// Dropped inside this host, after the send: both the packet and the send tell of it.
fn dropped_sent(stage: &mut Stage, family: usize) -> Result<[Watch; 2]> {
    const BYTES: u32 = 211;
    let port = stage.port();
    let name = Stage::known(&mut stage.sender, local(family, port))?;
    let send = Order::Send {
        name,
        bytes: BYTES,
        to: Some(remote(family, EGRESS_PORT)),
    };
    stage.sender.fails(&send, libc::EPERM)?;
    let flow = Flow {
        remote: Some(remote(family, EGRESS_PORT).to_string()),
        ..stage.flow("udp", family, port)
    };
    let headers = [28, 48][family];
    let line = Line::of(&stage.sender.who, stage.sent)
        .with("/drop/direction", "sent")
        .with("/drop/bytes", BYTES + headers);
    Ok([
        Watch::new(
            "1 packet dropped on its way out, on the sender's account",
            vec![Expectation::events("drop", &flow, vec![line])],
        ),
        Watch::new(
            "the send that it belonged to",
            vec![fails(stage, &flow, libc::EPERM, BYTES)],
        ),
    ])
}

/// A receiver that does not read.
fn receive_buffer(stage: &mut Stage, family: usize) -> Result<Watch> {
    const SENDS: u64 = 40;
    let port = stage.port();
    let at = remote(family, port);
    let name = Stage::known(&mut stage.receiver, at)?;
    stage.receiver.must(&Order::ReceiveBuffer {
        name: name.clone(),
        bytes: 4096,
    })?;
    let sender = Stage::known(&mut stage.sender, local(family, port))?;
    stage.sender.must(&Order::Burst {
        name: sender,
        bytes: 500,
        to: at,
        count: SENDS as u32,
    })?;
    stage
        .receiver
        .must(&Order::AwaitInput { name: name.clone() })?;
    let arrived = stage.receiver.number(&Order::Drain { name })?;
    let dropped = SENDS.saturating_sub(arrived);
    let line = Line::of(&stage.receiver.who, stage.sent)
        .with("/drop/direction", "received")
        .with("/drop/reason", "SOCKET_RCVBUFF");
    let lines = vec![line; usize::try_from(dropped)?];
    let flow = stage.flow("udp", family, port).turned();
    if dropped == 0 {
        anyhow::bail!("all datagrams arrived");
    }
    Ok(Watch::new(
        format!("{dropped} of {SENDS} datagrams did not fit, on the receiver's account"),
        vec![Expectation::events("drop", &flow, lines)],
    ))
}

/// The other end of the wire takes no packet of this size.
fn refused_by_driver(stage: &mut Stage, family: usize, drops: bool) -> Result<Watch> {
    const PACKETS: u64 = 3;
    let port = stage.port();
    let (near, far) = ((NEAR[family], port).into(), (FAR[family], DISCARD).into());
    let name = Stage::known(&mut stage.sender, near)?;
    let before = stage.faults.counter(counter::XMIT_REFUSED)?;
    let taken_before = stage.faults.counter(counter::XMIT_TAKEN)?;
    for _ in 0..PACKETS {
        stage.sender.must(&Order::Send {
            name: name.clone(),
            bytes: WITNESS_PAYLOAD,
            to: Some(far),
        })?;
    }
    let refused = stage.faults.counter(counter::XMIT_REFUSED)? - before;
    let taken = stage.faults.counter(counter::XMIT_TAKEN)? - taken_before;
    let flow = Flow {
        proto: "udp",
        local: Some(near.to_string()),
        remote: Some(far.to_string()),
        netns: stage.netns,
    };
    let owner = Line::of(&stage.sender.who, stage.sent);
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
    // Whose packet it was is told by its drop.
    let line = if drops { owner } else { Line::of_nobody() };
    let line = line
        .with("/device/code", 1)
        .with("/device/name", "NET_XMIT_DROP")
        .with("/device/interface", WIRE)
        .with("/device/bytes", WITNESS_BYTES[family])
        .with("/device/requeued", false);
    let lines = vec![line; usize::try_from(refused)?];
    let key = match drops {
        true => flow.key(),
        // Without the drop there is no flow.
        false => vec![
            ("/device/interface", WIRE.into()),
            ("/device/bytes", WITNESS_BYTES[family].into()),
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
