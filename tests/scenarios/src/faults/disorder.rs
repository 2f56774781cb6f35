//! Paths that lose nothing, but deliver late, out of order, or twice.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, SOON};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "spurious_reordering",
        needs: &[],
        play: reordering,
    },
    Scenario {
        name: "spurious_delay_spike",
        needs: &[],
        play: delay_spike,
    },
    Scenario {
        name: "duplicate_delivery",
        needs: &[],
        play: duplication,
    },
];

/// Three packets of a hundred are overtaken by what left in the 40 ms after them; none is lost.
fn reordering(stage: &Stage) {
    let world = far_apart();
    world.path("there delay_us=10000 late=300 late_us=40000");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "replica", "server", "10.99.2.2:443");
    pair.server.tell("drain s");
    pair.client.ok("pump c 2000000");
    pair.client.ok("shutdown c");
    pair.server.reply(SOON);
    assert!(world.a.snmp("Tcp", "RetransSegs") > 5);
    recording.end();
}

/// The path takes 900 ms longer for a moment, again and again: what was repeated had not been lost.
fn delay_spike(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "ticker", &["10.99.2.2:443"]);
    client.ok("ask c0 20 300 20");
    for _ in 0..4 {
        world.path("there delay_us=900000");
        client.tell("ask c0 1 300 0");
        recording.pass(600);
        world.path("there delay_us=10000");
        client.reply(SOON);
        client.ok("ask c0 20 300 20");
    }
    assert!(world.a.snmp("Tcp", "RetransSegs") >= 4);
    recording.end();
}

/// The path delivers one packet of ten twice, in both directions. No hook sees it, only the host's counters: they name
/// nobody.
fn duplication(stage: &Stage) {
    let world = far_apart();
    for direction in ["there", "back"] {
        world.path(&format!("{direction} delay_us=10000 duplicate=1000"));
    }
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "ticker", &["10.99.2.2:443"]);
    client.tell("ask c0 50 20000 50");
    client.reply(Duration::from_secs(60));
    recording.end();
}
