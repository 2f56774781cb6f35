//! Faults of the other end: nobody listens, the process dies, the host goes away, nobody reads.

use super::{Scenario, Stage};
use crate::{Connection, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "peer_crashed",
        needs: &[],
        play: peer_crashed,
    },
    Scenario {
        name: "connection_refused",
        needs: &[],
        play: connection_refused,
    },
];

/// The process at the other end is killed while it has unread data: its kernel answers with RST.
fn peer_crashed(stage: &Stage) {
    let world = World::routed();
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "publisher", "server", 443);
    pair.warm_up();
    pair.client.tell("trickle c 100 2000 20");
    recording.pass(500);
    pair.server.kill();
    let errno = pair.client.reply(crate::SOON).errno();
    assert!(
        matches!(errno, Some(libc::ECONNRESET | libc::EPIPE)),
        "{errno:?}"
    );
    pair.client.fails("send c 100", libc::EPIPE);
    recording.end();
}

/// Nobody listens on the port, and the other host says so.
fn connection_refused(stage: &Stage) {
    let world = World::routed();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("orders");
    for pause in [0, 300, 700, 1500, 3000] {
        recording.pass(pause);
        client.ok("open c tcp4");
        client.fails("connect c 10.99.2.2:5432", libc::ECONNREFUSED);
        client.ok("close c");
    }
    recording.end();
}
