//! Faults of the other end: nobody listens, the process dies, the host goes away, nobody reads.

use std::time::Duration;

use super::stage::Ip::{V4, V6};
use super::stage::{Ip, client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, SOON, World};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "peer_window_closed",
        needs: &[],
        play: |stage| peer_window_closed(stage, V4, &[]),
    },
    Scenario {
        name: "peer_window_listed",
        needs: &[],
        play: |stage| peer_window_closed(stage, V4, &["--would-block"]),
    },
    Scenario {
        name: "peer_window_v6",
        needs: &[],
        play: |stage| peer_window_closed(stage, V6, &["--would-block"]),
    },
    Scenario {
        name: "peer_crashed",
        needs: &[],
        play: |stage| peer_crashed(stage, V4),
    },
    Scenario {
        name: "peer_crashed_v6",
        needs: &[],
        play: |stage| peer_crashed(stage, V6),
    },
    Scenario {
        name: "peer_host_gone",
        needs: &[],
        play: |stage| peer_host_gone(stage, V4),
    },
    Scenario {
        name: "peer_host_gone_v6",
        needs: &[],
        play: |stage| peer_host_gone(stage, V6),
    },
    Scenario {
        name: "connection_refused",
        needs: &[],
        play: |stage| connection_refused(stage, V4),
    },
    Scenario {
        name: "connection_refused_v6",
        needs: &[],
        play: |stage| connection_refused(stage, V6),
    },
    Scenario {
        name: "neighbour_failed",
        needs: &[],
        play: |stage| neighbour_failed(stage, V4, "10.99.1.77"),
    },
    Scenario {
        name: "neighbour_failed_v6",
        needs: &[],
        play: |stage| neighbour_failed(stage, V6, "[fd99:1::77]"),
    },
    Scenario {
        name: "connection_refused_udp",
        needs: &[],
        play: refused_datagrams,
    },
    Scenario {
        name: "peer_host_gone_link",
        needs: &[],
        play: peer_gone_from_the_link,
    },
];

/// The server accepts and never reads; the client waits for room, as long as its SO_SNDTIMEO allows.
fn peer_window_closed(stage: &Stage, ip: Ip, arguments: &[&str]) {
    let world = far_apart();
    let _server = server(&world, "server", "hold", &[&ip.b(9092)]);
    let recording = stage.record_with(&world.a, arguments);
    let mut client = client(&world, "exporter", &[&ip.b(9092)]);
    client.ok("send-timeout c0 900");
    client.ok("pump-or-eagain c0 8000000");
    for _ in 0..7 {
        client.fails("send c0 65536", libc::EAGAIN);
    }
    recording.end();
}

/// The process at the other end is killed while data arrives: its kernel answers with RST.
fn peer_crashed(stage: &Stage, ip: Ip) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "publisher", "server", &ip.b(443));
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
    pair.client.ok(&format!("open d {}", ip.kind("tcp")));
    pair.client
        .fails(&format!("connect d {}", ip.b(443)), libc::ECONNREFUSED);
    recording.end();
}

/// The other host loses its link in the middle of a conversation: the last router finds nobody, and says so.
fn peer_host_gone(stage: &Stage, ip: Ip) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    let _server = server(&world, "server", "echo", &[&ip.b(443)]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &[&ip.b(443)]);
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
fn connection_refused(stage: &Stage, ip: Ip) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("orders");
    for pause in [0, 300, 700, 1500, 3000] {
        recording.pass(pause);
        client.ok(&format!("open c {}", ip.kind("tcp")));
        client.fails(&format!("connect c {}", ip.b(5432)), libc::ECONNREFUSED);
        client.ok("close c");
    }
    recording.end();
}

/// A host of the own network does not answer ARP: connects fail, and datagrams are thrown away.
fn neighbour_failed(stage: &Stage, ip: Ip, nobody: &str) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("monitor");
    client.ok(&format!("open u {}", ip.kind("udp")));
    for _ in 0..2 {
        client.ok(&format!("sendto u 100 {nobody}:161"));
        client.ok(&format!("open c {}", ip.kind("tcp")));
        client.fails(&format!("connect c {nobody}:443"), libc::EHOSTUNREACH);
        client.ok("close c");
    }
    recording.end();
}

/// Datagrams to a port where nobody is: the other host says so, and the next send is told.
fn refused_datagrams(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("statsd");
    client.ok("open u udp4");
    client.ok("connect u 10.99.2.2:8125");
    for _ in 0..8 {
        client.ok("send u 300");
        recording.pass(300);
        client.fails("send u 301", libc::ECONNREFUSED);
    }
    recording.end();
}

/// The other host is on the same wire and goes: this host itself finds that nobody answers ARP any more.
fn peer_gone_from_the_link(stage: &Stage) {
    let world = World::pair();
    world.a.sh("echo 6 > /proc/sys/net/ipv4/tcp_retries2");
    let to = ["10.99.1.2:443"];
    let _server = server(&world, "server", "echo", &to);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &to);
    client.ok("ask c0 20 500 50");
    // Its cable is in, its address is not there any more.
    world.b.ip("addr flush dev eth0");
    world
        .b
        .sh("echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore");
    world.a.ip("neigh flush dev eth0");
    client.tell("ask c0 1 500 50");
    let errno = client.reply(Duration::from_secs(60)).errno();
    assert!(
        matches!(errno, Some(libc::EHOSTUNREACH | libc::ETIMEDOUT)),
        "{errno:?}"
    );
    recording.end();
}
