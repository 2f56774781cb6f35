//! Faults of many kinds, that end with one that can be waited for.

use std::time::Duration;

use scenarios::{Connection, SOON, World};
use serde_json::Value;

/// How many bytes the last failing send has: no other send has so many.
const LAST: u64 = 70_777;

/// Makes a send fail on host `a`, with this number of bytes: more than a datagram can have.
pub fn fail(world: &World, comm: &str, bytes: u64) {
    let mut peer = world.a.peer(comm);
    peer.ok("open u udp4");
    peer.fails(&format!("sendto u {bytes} 127.0.0.1:9"), libc::EMSGSIZE);
}

/// Is this the failing send with this number of bytes?
pub fn is_send(event: &Value, bytes: u64) -> bool {
    event["event"] == "send_error" && event["send_error"]["requested_bytes"] == bytes
}

/// Faults on host `a` of [`World::routed`]; when the event for which [`is_last`] is true has come, all have.
pub fn faults(world: &World) {
    refused(world);
    let mut pair = Connection::new(world, "pipe-client", "pipe-server");
    pair.client.ok("shutdown c");
    pair.client.fails("send c 1001", libc::EPIPE);
    drop(pair);

    world.a.filter("output", &["udp dport 5353 drop"]);
    let mut stopped = world.a.peer("firewalled");
    stopped.ok("open u udp4");
    for bytes in [300, 301, 302] {
        stopped.fails(&format!("sendto u {bytes} 10.99.2.2:5353"), libc::EPERM);
    }
    drop(stopped);
    world.a.filter("output", &[]);

    lossy(world);
    full(world);
    black_hole(world);
    fail(world, "the-last", LAST);
}

/// Is this the last event of [`faults`]?
pub fn is_last(event: &Value) -> bool {
    is_send(event, LAST)
}

fn refused(world: &World) {
    let mut client = world.a.peer("refused");
    client.ok("open t tcp4");
    client.fails("connect t 10.99.2.2:7001", libc::ECONNREFUSED);
    client.ok("open v tcp6");
    client.fails("connect v [fd99:2::2]:7001", libc::ECONNREFUSED);
    client.ok("open u udp4");
    client.ok("connect u 10.99.2.2:7002");
    client.ok("send u 10");
    client.ok("await-error u");
    client.fails("send u 11", libc::ECONNREFUSED);
    client.ok("open d unix-dgram");
    client.fails("sendto d 12 /nobody/listens/here", libc::ENOENT);
}

/// A tenth of the segments is lost.
fn lossy(world: &World) {
    let mut pair = Connection::new(world, "loss-client", "loss-server");
    pair.warm_up();
    world.on_the_path(&["ip saddr 10.99.1.1 numgen random mod 100 < 10 drop"]);
    pair.server.tell("drain s");
    pair.client.tell("pump c 300000");
    pair.client.reply(Duration::from_secs(60));
    world.on_the_path(&[]);
    pair.client.ok("shutdown c");
    assert_eq!(pair.server.reply(SOON), "ok 300000".into());
}

/// Sends that would block are counted, not listed.
fn full(world: &World) {
    let mut pair = Connection::new(world, "full-client", "full-server");
    pair.client.tell("fill c 3000000");
    assert!(pair.client.reply(SOON).number("would_block") > 0);
    // The end that has read nothing resets the connection.
    pair.server.exit();
    pair.client.exit();
}

/// A connection that nobody answers any more.
fn black_hole(world: &World) {
    let mut pair = Connection::new6(world, "hole-client", "hole-server");
    pair.warm_up();
    pair.client.ok("user-timeout c 1500");
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.fails("recv c", libc::ETIMEDOUT);
    drop(pair);
    world.on_the_path(&[]);
}
