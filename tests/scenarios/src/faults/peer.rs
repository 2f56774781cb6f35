//! Faults of the other end: nobody listens, the process dies, the host goes away, nobody reads.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, SOON};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "peer_window_closed",
        needs: &[],
        play: |stage| peer_window_closed(stage, &[]),
    },
    Scenario {
        name: "peer_window_listed",
        needs: &[],
        play: |stage| peer_window_closed(stage, &["--would-block"]),
    },
    Scenario {
        name: "peer_crashed",
        needs: &[],
        play: peer_crashed,
    },
    Scenario {
        name: "peer_host_gone",
        needs: &[],
        play: peer_host_gone,
    },
    Scenario {
        name: "connection_refused",
        needs: &[],
        play: connection_refused,
    },
    Scenario {
        name: "neighbour_failed",
        needs: &[],
        play: neighbour_failed,
    },
];

/// The server accepts and never reads; the client waits for room, as long as its SO_SNDTIMEO allows.
fn peer_window_closed(stage: &Stage, arguments: &[&str]) {
    let world = far_apart();
    let _server = server(&world, "server", "hold", &["10.99.2.2:9092"]);
    let recording = stage.record_with(&world.a, arguments);
    let mut client = client(&world, "exporter", &["10.99.2.2:9092"]);
    client.ok("send-timeout c0 900");
    client.ok("pump-or-eagain c0 8000000");
    for _ in 0..7 {
        client.fails("send c0 65536", libc::EAGAIN);
    }
    recording.end();
}

/// The process at the other end is killed while data arrives: its kernel answers with RST.
fn peer_crashed(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "publisher", "server", 443);
    pair.warm_up();
    pair.client.tell("trickle c 100 2000 20");
    recording.pass(500);
    pair.server.kill();
    let errno = pair.client.reply(SOON).errno();
    assert!(
        matches!(errno, Some(libc::ECONNRESET | libc::EPIPE)),
        "{errno:?}"
    );
    pair.client.fails("send c 100", libc::EPIPE);
    // Whoever starts again is told that nobody is there.
    pair.client.ok("open d tcp4");
    pair.client
        .fails("connect d 10.99.2.2:443", libc::ECONNREFUSED);
    recording.end();
}

/// The other host loses its link in the middle of a conversation: the last router finds nobody, and says so.
fn peer_host_gone(stage: &Stage) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &["10.99.2.2:443"]);
    client.ok("ask c0 20 500 50");
    world.b.ip("link set eth0 down");
    world.router().ip("neigh flush dev tob");
    client.tell("ask c0 1 500 50");
    let errno = client.reply(Duration::from_secs(60)).errno();
    assert!(
        matches!(errno, Some(libc::EHOSTUNREACH | libc::ETIMEDOUT)),
        "{errno:?}"
    );
    recording.end();
}

/// Nobody listens on the port, and the other host says so.
fn connection_refused(stage: &Stage) {
    let world = far_apart();
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

/// A host of the own network does not answer ARP: connects fail, and datagrams are thrown away.
fn neighbour_failed(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("monitor");
    client.ok("open u udp4");
    for _ in 0..2 {
        client.ok("sendto u 100 10.99.1.77:161");
        client.ok("open c tcp4");
        client.fails("connect c 10.99.1.77:443", libc::EHOSTUNREACH);
        client.ok("close c");
    }
    recording.end();
}
