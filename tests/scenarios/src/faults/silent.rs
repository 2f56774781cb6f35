//! What only looks like a fault: a diagnosis must find nothing.

use super::{Scenario, Stage};
use crate::{Connection, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "ok_bulk_transfer",
        needs: &["nft"],
        play: bulk_transfer,
    },
    Scenario {
        name: "ok_reset_on_purpose",
        needs: &[],
        play: reset_on_purpose,
    },
];

/// A bulk transfer that loses a few packets in a hundred thousand and repeats them at once.
fn bulk_transfer(stage: &Stage) {
    let world = World::routed();
    world.a.ip("link set eth0 gso_max_segs 4");
    world.on_the_path(&["ip saddr 10.99.1.1 tcp dport 443 numgen random mod 1000 < 1 drop"]);
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "backup", "server", 443);
    pair.warm_up();
    pair.server.tell("drain s");
    pair.client.ok("pump c 40000000");
    pair.client.ok("shutdown c");
    pair.server.reply(crate::SOON);
    recording.end();
}

/// A client that ends each of its short connections with a RST, to keep no TIME_WAIT.
fn reset_on_purpose(stage: &Stage) {
    let world = World::routed();
    let (mut server, mut client) = (world.b.peer("server"), world.a.peer("prober"));
    server.ok("open l tcp4");
    server.ok("bind l 10.99.2.2:443");
    server.ok("listen l");
    server.ok("serve l echo");
    let recording = stage.record(&world.a);
    for _ in 0..20 {
        client.ok("open c tcp4");
        client.ok("connect c 10.99.2.2:443");
        client.ok("ask c 1 200 10");
        client.ok("linger0 c");
        client.ok("close c");
        recording.pass(150);
    }
    recording.end();
}
