//! Faults of applications on this host that look like faults of the network.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Peer, SOON};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "send_buffer_small",
        needs: &[],
        play: send_buffer_small,
    },
    Scenario {
        name: "reconnect_storm",
        needs: &[],
        play: reconnect_storm,
    },
    Scenario {
        name: "synchronised_retries",
        needs: &["nft"],
        play: synchronised_retries,
    },
    Scenario {
        name: "accept_queue_overflow",
        needs: &[],
        play: |stage| accept_queue_overflow(stage, true),
    },
    Scenario {
        name: "accept_queue_no_cookies",
        needs: &[],
        play: |stage| accept_queue_overflow(stage, false),
    },
    Scenario {
        name: "oversized_datagram",
        needs: &[],
        play: oversized_datagram,
    },
    Scenario {
        name: "slow_application",
        needs: &[],
        play: slow_application,
    },
];

/// Nine kilobytes of send buffer on a path of 100 ms: 90 kB/s at best, whatever the network could carry.
fn send_buffer_small(stage: &Stage) {
    let world = far_apart();
    for direction in ["there", "back"] {
        world.path(&format!("{direction} delay_us=50000"));
    }
    let _server = server(&world, "server", "drain", &["10.99.2.2:873"]);
    let recording = stage.record_with(&world.a, &["--would-block"]);
    let mut client = client(&world, "camera", &["10.99.2.2:873"]);
    client.ok("sndbuf c0 4608");
    // A frame each 20 ms, without waiting: what finds no room is lost to the application.
    let answer = client.ask("offer c0 300 4000 20");
    assert!(answer.number("would_block") > 20, "{answer:?}");
    recording.end();
}

/// A client that connects again at once, three hundred times, while the server is down.
fn reconnect_storm(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("poller");
    client.tell("retry 10.99.2.2:6379 300 2 1000");
    assert_eq!(client.reply(SOON).number("failed"), 300);
    recording.end();
}

/// The server is out of reach for seven seconds; twelve clients give up and come again all at the same instants.
fn synchronised_retries(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:6379"]);
    let recording = stage.record(&world.a);
    let mut clients: Vec<Peer> = (0..12)
        .map(|n| world.a.peer(&format!("worker-{n}")))
        .collect();
    world.on_the_path(&["ip daddr 10.99.2.2 drop"]);
    for client in &mut clients {
        client.tell("retry 10.99.2.2:6379 6 1500 1200");
    }
    recording.pass(7000);
    world.on_the_path(&[]);
    for client in &mut clients {
        assert!(client.reply(SOON).number("failed") >= 4);
    }
    recording.end();
}

/// A server of this host accepts too slowly; its queue of two is full, and clients are not let in.
fn accept_queue_overflow(stage: &Stage, cookies: bool) {
    let world = far_apart();
    let cookies = u8::from(cookies);
    world.a.sh(&format!(
        "echo {cookies} > /proc/sys/net/ipv4/tcp_syncookies"
    ));
    let mut server = world.a.peer("webapp");
    server.ok("open l tcp4");
    server.ok("bind l 10.99.1.1:8080");
    server.ok("listen l 2");
    let recording = stage.record(&world.a);
    let mut clients: Vec<Peer> = (0..12)
        .map(|n| world.b.peer(&format!("visitor-{n}")))
        .collect();
    for client in &mut clients {
        client.tell("retry 10.99.1.1:8080 3 2500 2400");
    }
    for number in 0..4 {
        recording.pass(1200);
        server.ok(&format!("accept l s{number}"));
    }
    for client in &mut clients {
        client.reply(SOON);
    }
    recording.end();
    let counters = crate::Counters::of(&server);
    assert!(counters.get("TcpExtListenOverflows") > 0);
}

/// Datagrams that no UDP packet can carry, among others that go.
fn oversized_datagram(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let (mut sink, mut client) = (world.b.peer("sink"), world.a.peer("statsd"));
    sink.ok("open u udp4");
    sink.ok("bind u 10.99.2.2:8125");
    client.ok("open u udp4");
    for _ in 0..8 {
        client.ok("sendto u 900 10.99.2.2:8125");
        client.fails("sendto u 70000 10.99.2.2:8125", libc::EMSGSIZE);
        recording.pass(250);
    }
    recording.end();
}

/// Three threads send every 50 ms; one of them stops for five seconds. Nothing is wrong with the network.
fn slow_application(stage: &Stage) {
    let world = far_apart();
    let to = ["10.99.2.2:9092"; 3];
    let _server = server(&world, "server", "drain", &to[..1]);
    let recording = stage.record_with(
        &world.a,
        &[
            "--event",
            "retransmit,send_error,drop,device,reset,connection,send",
        ],
    );
    let mut feeder = client(&world, "feeder", &to);
    for socket in ["c0", "c1"] {
        feeder.ok(&format!("background feeder trickle {socket} 200 700 50"));
    }
    feeder.ok("trickle c2 50 700 50");
    recording.pass(5000);
    feeder.ok("trickle c2 50 700 50");
    feeder.tell("join");
    feeder.reply(Duration::from_secs(20));
    recording.end();
}
