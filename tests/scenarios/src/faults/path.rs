//! Faults between the hosts: packets are lost, held up, or swallowed.

use std::time::Duration;

use super::stage::Ip::{V4, V6};
use super::stage::{Ip, client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, SOON, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "path_loss",
        needs: &[],
        play: |stage| path_loss(stage, 300),
    },
    Scenario {
        name: "path_loss_light",
        needs: &[],
        play: |stage| path_loss(stage, 100),
    },
    Scenario {
        name: "path_loss_heavy",
        needs: &[],
        play: |stage| path_loss(stage, 1200),
    },
    Scenario {
        name: "path_loss_begins",
        needs: &[],
        play: path_loss_begins,
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
        play: |stage| path_blackhole(stage, V4),
    },
    Scenario {
        name: "path_blackhole_v6",
        needs: &["nft"],
        play: |stage| path_blackhole(stage, V6),
    },
    Scenario {
        name: "path_blackhole_ends",
        needs: &["nft"],
        play: path_blackhole_ends,
    },
    Scenario {
        name: "syn_blackhole",
        needs: &["nft"],
        play: |stage| syn_blackhole(stage, V4),
    },
    Scenario {
        name: "syn_blackhole_v6",
        needs: &["nft"],
        play: |stage| syn_blackhole(stage, V6),
    },
    Scenario {
        name: "idle_timeout",
        needs: &["nft"],
        play: |stage| idle(stage, V4, "drop"),
    },
    Scenario {
        name: "idle_timeout_v6",
        needs: &["nft"],
        play: |stage| idle(stage, V6, "drop"),
    },
    Scenario {
        name: "idle_reset",
        needs: &["nft"],
        play: |stage| idle(stage, V4, "reject with tcp reset"),
    },
    Scenario {
        name: "idle_reset_v6",
        needs: &["nft"],
        play: |stage| idle(stage, V6, "reject with tcp reset"),
    },
    Scenario {
        name: "pmtu_blackhole",
        needs: &["nft"],
        play: |stage| pmtu_blackhole(stage, V4),
    },
    Scenario {
        name: "pmtu_blackhole_v6",
        needs: &["nft"],
        play: |stage| pmtu_blackhole(stage, V6),
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
fn path_loss(stage: &Stage, of_10000: u32) {
    let world = far_apart();
    world.path(&format!("there delay_us=10000 loss={of_10000}"));
    transfers(stage, &world, 1_000_000);
    assert!(world.a.snmp("Tcp", "RetransSegs") > 10);
}

/// The path is fine for four seconds, loses for four, and is fine again.
fn path_loss_begins(stage: &Stage) {
    let world = far_apart();
    many(&world);
    let _server = server(&world, "server", "drain", &SERVERS);
    let recording = stage.record(&world.a);
    let mut sync = client(&world, "sync", &SERVERS);
    for number in 0..SERVERS.len() {
        sync.ok(&format!("background sync trickle c{number} 240 5000 50"));
    }
    for loss in [0, 500, 0] {
        world.path(&format!("there delay_us=10000 loss={loss}"));
        recording.pass(4000);
    }
    sync.tell("join");
    sync.reply(PATIENCE);
    assert!(world.a.snmp("Tcp", "RetransSegs") > 10);
    recording.end();
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
fn path_blackhole(stage: &Stage, ip: Ip) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "uploader", "server", &ip.b(443));
    pair.warm_up();
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.fails("recv c", libc::ETIMEDOUT);
    recording.end();
}

/// The path swallows everything for five seconds; then the conversation goes on.
fn path_blackhole_ends(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &["10.99.2.2:443"]);
    client.ok("ask c0 20 500 30");
    world.on_the_path(&["drop"]);
    client.tell("ask c0 20 500 30");
    recording.pass(5000);
    world.on_the_path(&[]);
    client.reply(SOON);
    recording.end();
}

/// Nobody answers the SYN, and nobody says no.
fn syn_blackhole(stage: &Stage, ip: Ip) {
    let world = far_apart();
    world.on_the_path(&["iifname toa tcp dport 443 drop"]);
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("connector");
    for _ in 0..2 {
        client.ok(&format!("open c {}", ip.kind("tcp")));
        client.ok("syn-retries c 2");
        client.fails(&format!("connect c {}", ip.b(443)), libc::ETIMEDOUT);
        client.ok("close c");
    }
    recording.end();
}

/// A stateful firewall forgets connections that are idle for three seconds, and what then comes is not allowed. A
/// pool keeps two connections; a third, which is never idle, lives on.
fn idle(stage: &Stage, ip: Ip, verdict: &str) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    world.router().sh(
        "cd /proc/sys/net/netfilter; echo 0 > nf_conntrack_tcp_loose; \
         echo 3 > nf_conntrack_tcp_timeout_established; echo 3 > nf_conntrack_tcp_timeout_unacknowledged",
    );
    world.on_the_path(&[
        "ct state established accept",
        "iifname tob accept",
        "ct state new tcp flags & (syn | ack) == syn accept",
        &format!("meta l4proto tcp {verdict}"),
    ]);
    let to = ip.b(5432);
    let to = [to.as_str(), to.as_str()];
    let _server = server(&world, "server", "echo", &to[..1]);
    let recording = stage.record(&world.a);
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
fn pmtu_blackhole(stage: &Stage, ip: Ip) {
    let world = far_apart();
    world.on_the_path(&["iifname toa meta length > 1400 drop"]);
    let to = ip.b(443);
    let to = [to.as_str(), to.as_str()];
    let _server = server(&world, "server", "echo", &to[..1]);
    let recording = stage.record(&world.a);
    let mut uploader = client(&world, "uploader", &to);
    uploader.ok("ask c0 5 400 50");
    uploader.ok("ask c1 5 400 50");
    uploader.ok("send c0 30000");
    uploader.ok("send c1 6000");
    recording.pass(8000);
    assert!(world.a.snmp("Tcp", "RetransSegs") >= 8);
    recording.end();
}
