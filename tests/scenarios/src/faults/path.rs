//! Faults between the hosts: packets are lost, delayed, repeated, or swallowed.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, SOON, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "path_loss",
        needs: &[],
        play: path_loss,
    },
    Scenario {
        name: "destination_loss",
        needs: &["nft"],
        play: destination_loss,
    },
    Scenario {
        name: "bufferbloat",
        needs: &[],
        play: bufferbloat,
    },
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
    Scenario {
        name: "idle_timeout",
        needs: &["nft"],
        play: |stage| idle(stage, "drop"),
    },
    Scenario {
        name: "idle_reset",
        needs: &["nft"],
        play: |stage| idle(stage, "reject with tcp reset"),
    },
    Scenario {
        name: "pmtu_blackhole",
        needs: &["nft"],
        play: pmtu_blackhole,
    },
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

/// Transfers take seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Several destinations behind the same path.
const SERVERS: [&str; 4] = [
    "10.99.2.11:873",
    "10.99.2.12:873",
    "10.99.2.13:873",
    "10.99.2.14:873",
];

/// Host `b` is several destinations.
fn many(world: &World) {
    for server in SERVERS {
        let (address, _) = server.split_once(':').expect("a port");
        world.b.ip(&format!("addr add {address}/24 dev eth0"));
    }
}

/// Four transfers at once, each to a destination of its own.
fn transfers(stage: &Stage, world: &World, bytes: u64) {
    many(world);
    let _server = server(world, "server", "drain", &SERVERS);
    let recording = stage.record(&world.a);
    let mut sync = client(world, "sync", &SERVERS);
    for number in 0..SERVERS.len() {
        sync.ok(&format!("background sync pump c{number} {bytes}"));
    }
    sync.tell("join");
    sync.reply(PATIENCE);
    recording.end();
}

/// Each packet has the same chance to be lost, wherever it goes.
fn path_loss(stage: &Stage) {
    let world = far_apart();
    world.path("there delay_us=10000 loss=300");
    transfers(stage, &world, 1_000_000);
    assert!(world.a.snmp("Tcp", "RetransSegs") > 20);
}

/// One destination of four loses packets.
fn destination_loss(stage: &Stage) {
    let world = far_apart();
    world.on_the_path(&["ip daddr 10.99.2.13 numgen random mod 100 < 6 drop"]);
    transfers(stage, &world, 1_000_000);
    assert!(world.a.snmp("Tcp", "RetransSegs") > 10);
}

/// A slow link with a queue of two seconds, which an upload keeps full; whoever else is on it waits.
fn bufferbloat(stage: &Stage) {
    let world = far_apart();
    world
        .a
        .sh("echo reno > /proc/sys/net/ipv4/tcp_congestion_control");
    world.path("there delay_us=10000 rate_bytes=250000 queue_bytes=500000");
    let _server = (
        server(&world, "server", "drain", &["10.99.2.2:873"]),
        server(&world, "echo", "echo", &["10.99.2.2:443"]),
    );
    let recording = stage.record(&world.a);
    let (mut backup, mut web) = (
        client(&world, "backup", &["10.99.2.2:873"]),
        client(&world, "web", &["10.99.2.2:443"]),
    );
    web.ok("ask c0 10 200 50");
    backup.tell("pump c0 2500000");
    web.tell("ask c0 6 200 50");
    let slowest = web.reply(PATIENCE).number("slowest_ms");
    assert!(slowest > 800, "the queue fills: {slowest} ms");
    backup.reply(PATIENCE);
    recording.end();
}

/// The path swallows everything after the connection was established, until the sender gives up.
fn path_blackhole(stage: &Stage) {
    let world = far_apart();
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
    let world = far_apart();
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

/// A stateful firewall forgets connections that are idle for three seconds, and what then comes is not allowed. A
/// pool keeps two connections; a third, which is never idle, lives on.
fn idle(stage: &Stage, verdict: &str) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    world.router().sh(
        "cd /proc/sys/net/netfilter; echo 0 > nf_conntrack_tcp_loose; \
         echo 3 > nf_conntrack_tcp_timeout_established; echo 3 > nf_conntrack_tcp_timeout_unacknowledged",
    );
    world.on_the_path(&[
        "ct state established accept",
        "ip saddr 10.99.2.2 accept",
        "ct state new tcp flags & (syn | ack) == syn accept",
        &format!("meta l4proto tcp {verdict}"),
    ]);
    let _server = server(&world, "server", "echo", &["10.99.2.2:5432"]);
    let recording = stage.record(&world.a);
    let to = ["10.99.2.2:5432"; 2];
    let (mut pool, mut busy) = (
        client(&world, "dbpool", &to),
        client(&world, "busy", &to[..1]),
    );
    busy.tell("ask c0 90 100 150");
    for round in 0..3 {
        for socket in ["c0", "c1"] {
            pool.ok(&format!("ask {socket} 3 300 50"));
        }
        // Shorter than the firewall's patience, and then longer.
        recording.pass(if round < 2 { 1000 } else { 6000 });
    }
    for socket in ["c0", "c1"] {
        pool.ok(&format!("background dbpool ask {socket} 1 300 10"));
    }
    pool.tell("join");
    let answer = pool.reply(PATIENCE);
    assert_ne!(answer.number_of("err"), 0, "{answer:?}");
    busy.reply(PATIENCE);
    recording.end();
}

/// Packets above 1400 bytes vanish, and no ICMP message says so: questions go, uploads hang.
fn pmtu_blackhole(stage: &Stage) {
    let world = far_apart();
    world.on_the_path(&["ip saddr 10.99.1.1 ip length > 1400 drop"]);
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut uploader = client(&world, "uploader", &["10.99.2.2:443"; 2]);
    uploader.ok("ask c0 5 400 50");
    uploader.ok("ask c1 5 400 50");
    uploader.ok("send c0 30000");
    uploader.ok("send c1 6000");
    recording.pass(8000);
    assert!(world.a.snmp("Tcp", "RetransSegs") >= 8);
    recording.end();
}

/// Three packets of a hundred are overtaken by what left in the 40 ms after them; none is lost.
fn reordering(stage: &Stage) {
    let world = far_apart();
    world.path("there delay_us=10000 late=300 late_us=40000");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "replica", "server", 443);
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

/// The path delivers one packet of ten twice, in both directions.
fn duplication(stage: &Stage) {
    let world = far_apart();
    for direction in ["there", "back"] {
        world.path(&format!("{direction} delay_us=10000 duplicate=1000"));
    }
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "ticker", &["10.99.2.2:443"]);
    client.tell("ask c0 50 20000 50");
    client.reply(PATIENCE);
    recording.end();
}
