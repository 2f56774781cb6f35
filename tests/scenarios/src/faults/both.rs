//! Two faults at once, about different processes and destinations: each must be told, and of the right one.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::SOON;

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "two_loss_and_refused",
        needs: &[],
        play: loss_and_refused,
    },
    Scenario {
        name: "two_blackhole_and_firewall",
        needs: &["nft"],
        play: blackhole_and_firewall,
    },
    Scenario {
        name: "two_crash_and_oversized",
        needs: &[],
        play: crash_and_oversized,
    },
];

/// One destination loses packets; another program knocks where nobody listens.
fn loss_and_refused(stage: &Stage) {
    let world = far_apart();
    world.b.ip("addr add 10.99.2.13/24 dev eth0");
    world.on_the_path(&["ip daddr 10.99.2.13 numgen random mod 100 < 6 drop"]);
    let to = ["10.99.2.2:873", "10.99.2.13:873"];
    let _server = server(&world, "server", "drain", &to);
    let recording = stage.record(&world.a);
    let mut sync = client(&world, "sync", &to);
    for socket in ["c0", "c1"] {
        sync.ok(&format!("background sync pump {socket} 1200000"));
    }
    let mut orders = world.a.peer("orders");
    for pause in [200, 900, 1700, 2500] {
        recording.pass(pause);
        orders.ok("open c tcp4");
        orders.fails("connect c 10.99.2.2:5432", libc::ECONNREFUSED);
        orders.ok("close c");
    }
    sync.tell("join");
    sync.reply(Duration::from_secs(60));
    assert!(world.a.snmp("Tcp", "RetransSegs") > 10);
    recording.end();
}

/// The path to one destination goes dark, and a rule of this host refuses another program's datagrams.
fn blackhole_and_firewall(stage: &Stage) {
    let world = far_apart();
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_retries2");
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut uploader = client(&world, "uploader", &["10.99.2.2:443"]);
    uploader.ok("ask c0 10 500 30");
    let mut syslog = world.a.peer("syslogd");
    syslog.ok("open u udp4");
    world.a.filter("output", &["udp dport 514 drop"]);
    world.on_the_path(&["ip daddr 10.99.2.2 drop"]);
    uploader.tell("ask c0 1 5000 30");
    for _ in 0..8 {
        syslog.fails("sendto u 300 10.99.1.254:514", libc::EPERM);
        recording.pass(400);
    }
    let errno = uploader.reply(SOON).errno();
    assert_eq!(errno, Some(libc::ETIMEDOUT));
    recording.end();
}

/// A server dies under one program while another sends datagrams that are too large.
fn crash_and_oversized(stage: &Stage) {
    let world = far_apart();
    let mut server = server(&world, "server", "drain", &["10.99.2.2:9092"]);
    let recording = stage.record(&world.a);
    let mut publisher = client(&world, "publisher", &["10.99.2.2:9092"]);
    let mut statsd = world.a.peer("statsd");
    statsd.ok("open u udp4");
    publisher.tell("trickle c0 200 2000 20");
    for round in 0..8 {
        statsd.fails("sendto u 70000 10.99.2.2:8125", libc::EMSGSIZE);
        recording.pass(250);
        if round == 3 {
            server.kill();
        }
    }
    let errno = publisher.reply(SOON).errno();
    assert!(
        matches!(errno, Some(libc::ECONNRESET | libc::EPIPE)),
        "{errno:?}"
    );
    recording.end();
}
