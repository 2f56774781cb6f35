//! Faults between the hosts: packets are lost, delayed, or swallowed.

use super::{Scenario, Stage};
use crate::{Connection, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "path_blackhole",
        needs: &["nft"],
        play: path_blackhole,
    },
    Scenario {
        name: "syn_blackhole",
        needs: &["nft"],
        play: syn_blackhole,
    },
];

/// The path swallows everything after the connection was established, until the sender gives up.
fn path_blackhole(stage: &Stage) {
    let world = World::routed();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "uploader", "server", 443);
    pair.warm_up();
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.fails("recv c", libc::ETIMEDOUT);
    recording.end();
}

/// Nobody answers the SYN, and nobody says no.
fn syn_blackhole(stage: &Stage) {
    let world = World::routed();
    world.on_the_path(&["ip daddr 10.99.2.2 tcp dport 443 drop"]);
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("connector");
    for _ in 0..2 {
        client.ok("open c tcp4");
        client.ok("syn-retries c 2");
        client.fails("connect c 10.99.2.2:443", libc::ETIMEDOUT);
        client.ok("close c");
    }
    recording.end();
}
