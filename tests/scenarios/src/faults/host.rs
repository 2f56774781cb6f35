//! Faults of this host: its routes, its firewall, its queues, its devices, its limits.

use std::time::Duration;

use super::stage::Ip::{V4, V6};
use super::stage::{Ip, client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Cgroup, SOON, World, refuse_datagrams};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "no_route",
        needs: &[],
        play: |stage| no_route(stage, V4),
    },
    Scenario {
        name: "no_route_v6",
        needs: &[],
        play: |stage| no_route(stage, V6),
    },
    Scenario {
        name: "local_firewall",
        needs: &["nft"],
        play: |stage| firewall(stage, V4, "udp dport 514 drop"),
    },
    Scenario {
        name: "local_firewall_v6",
        needs: &["nft"],
        play: |stage| firewall(stage, V6, "udp dport 514 drop"),
    },
    Scenario {
        name: "local_firewall_reject",
        needs: &["nft"],
        play: |stage| firewall(stage, V4, "udp dport 514 reject"),
    },
    Scenario {
        name: "local_firewall_tcp",
        needs: &["nft"],
        play: |stage| firewall_tcp(stage, V4),
    },
    Scenario {
        name: "local_firewall_tcp_v6",
        needs: &["nft"],
        play: |stage| firewall_tcp(stage, V6),
    },
    Scenario {
        name: "qdisc_overflow",
        needs: &["tc"],
        play: qdisc_overflow,
    },
    Scenario {
        name: "local_firewall_input",
        needs: &["nft"],
        play: firewall_input,
    },
    Scenario {
        name: "qdisc_overflow_udp",
        needs: &["tc"],
        play: qdisc_overflow_udp,
    },
    Scenario {
        name: "link_down",
        needs: &[],
        play: link_down,
    },
    Scenario {
        name: "link_flapping",
        needs: &[],
        play: link_flapping,
    },
    Scenario {
        name: "device_errors",
        needs: &[],
        play: device_errors,
    },
    Scenario {
        name: "udp_device_queue_full",
        needs: &["tc"],
        play: udp_device_queue_full,
    },
    Scenario {
        name: "udp_send_buffer_full",
        needs: &["tc"],
        play: udp_send_buffer_full,
    },
    Scenario {
        name: "ports_exhausted",
        needs: &[],
        play: |stage| ports_exhausted(stage, V4),
    },
    Scenario {
        name: "ports_exhausted_v6",
        needs: &[],
        play: |stage| ports_exhausted(stage, V6),
    },
    Scenario {
        name: "ecomm",
        needs: &[],
        play: ecomm,
    },
];

/// Somebody deletes the default route: a conversation stops, and datagrams are refused.
fn no_route(stage: &Stage, ip: Ip) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &[&ip.b(443)]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "collector", &[&ip.b(443)]);
    client.ok(&format!("open u {}", ip.kind("udp")));
    client.ok("ask c0 10 500 30");
    client.ok(&format!("sendto u 200 {}", ip.b(8125)));
    world.a.ip(if ip == V4 {
        "route del default"
    } else {
        "-6 route del default"
    });
    for _ in 0..8 {
        client.fails(&format!("sendto u 200 {}", ip.b(8125)), libc::ENETUNREACH);
        recording.pass(300);
    }
    client.ok(&format!("open d {}", ip.kind("tcp")));
    client.fails(&format!("connect d {}", ip.b(443)), libc::ENETUNREACH);
    recording.end();
}

/// A rule of this host stands between a sender and its destination, and the sender is told EPERM.
fn firewall(stage: &Stage, ip: Ip, rule: &str) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("syslogd");
    client.ok(&format!("open u {}", ip.kind("udp")));
    client.ok(&format!("sendto u 300 {}", ip.b(514)));
    world.a.filter("output", &[rule]);
    for _ in 0..8 {
        client.fails(&format!("sendto u 300 {}", ip.b(514)), libc::EPERM);
        recording.pass(250);
    }
    recording.end();
}

/// The same for TCP: the sender is told nothing, and repeats itself.
fn firewall_tcp(stage: &Stage, ip: Ip) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &[&ip.b(443)]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "shipper", &[&ip.b(443)]);
    client.ok("ask c0 10 500 30");
    world.a.filter("output", &["tcp dport 443 drop"]);
    client.ok("send c0 5000");
    client.ok(&format!("open d {}", ip.kind("tcp")));
    client.ok("syn-retries d 2");
    client.fails(&format!("connect d {}", ip.b(443)), libc::ETIMEDOUT);
    recording.end();
}

/// The answers are stopped by this host's own firewall: the sender hears nothing and repeats itself.
fn firewall_input(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "shipper", &["10.99.2.2:443"]);
    client.ok("ask c0 10 500 30");
    world.a.filter("input", &["tcp sport 443 drop"]);
    client.tell("ask c0 1 500 30");
    recording.pass(6000);
    world.a.filter("input", &[]);
    client.reply(SOON);
    recording.end();
}

/// Datagrams beyond what the own queue takes; who sends them has not asked to be told, and is not.
fn qdisc_overflow_udp(stage: &Stage) {
    let world = far_apart();
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 6k");
    let mut sink = world.b.peer("sink");
    sink.ok("open u udp4");
    sink.ok("bind u 10.99.2.2:5004");
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("streamer");
    client.ok("open u udp4");
    for _ in 0..8 {
        client.ok("flood u 40 1000 10.99.2.2:5004");
        recording.pass(400);
    }
    recording.end();
}

/// The own queue is too short for its rate: what does not fit is dropped here, before any network.
fn qdisc_overflow(stage: &Stage) {
    let world = far_apart();
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 4mbit burst 4k limit 9k");
    let _server = server(&world, "server", "drain", &["10.99.2.2:873"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "backup", &["10.99.2.2:873"; 6]);
    for number in 0..6 {
        client.ok(&format!("background backup pump c{number} 350000"));
    }
    client.tell("join");
    client.reply(Duration::from_secs(60));
    assert!(world.a.sh("tc -s qdisc show dev eth0").contains("dropped"));
    recording.end();
}

/// The cable is pulled for six seconds.
fn link_down(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &["10.99.2.2:443"]);
    client.ok("ask c0 10 500 30");
    world.router().ip("link set toa down");
    client.tell("ask c0 5 500 30");
    recording.pass(6000);
    world.router().ip("link set toa up");
    client.reply(SOON);
    recording.end();
}

/// The link goes and comes, five times.
fn link_flapping(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "orders", &["10.99.2.2:443"]);
    client.ok("ask c0 10 500 30");
    client.tell("ask c0 120 500 40");
    for _ in 0..5 {
        recording.pass(700);
        world.router().ip("link set toa down");
        recording.pass(700);
        world.router().ip("link set toa up");
    }
    client.reply(SOON);
    recording.end();
}

/// The driver refuses the larger of its frames, as after a change of the MTU at the other end of a virtual cable.
fn device_errors(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("streamer");
    client.ok("open u udp4");
    client.ok("sendto u 1300 10.99.2.2:5004");
    world.router().ip("link set toa mtu 1280");
    for _ in 0..20 {
        client.ok("sendto u 300 10.99.2.2:5004");
        client.ok("sendto u 1300 10.99.2.2:5004");
        recording.pass(150);
    }
    recording.end();
}

/// Datagrams faster than the device's queue takes them; the sender has asked to be told (IP_RECVERR).
fn udp_device_queue_full(stage: &Stage) {
    let world = far_apart();
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 6k");
    let mut sink = world.b.peer("sink");
    sink.ok("open u udp4");
    sink.ok("bind u 10.99.2.2:5004");
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("streamer");
    client.ok("open u udp4");
    client.ok("recverr4 u");
    for _ in 0..8 {
        assert!(
            client
                .ask("flood u 40 1000 10.99.2.2:5004")
                .number("failed")
                > 0
        );
        recording.pass(400);
    }
    recording.end();
}

/// Datagrams faster than the sender's own buffer lets them: the queue would have had room.
fn udp_send_buffer_full(stage: &Stage) {
    let world = far_apart();
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 1m");
    let recording = stage.record_with(&world.a, &["--would-block"]);
    let mut client = world.a.peer("streamer");
    client.ok("open u udp4");
    client.ok("sndbuf u 4608");
    for _ in 0..8 {
        assert!(
            client
                .ask("flood u 40 1000 10.99.2.2:5004")
                .number("failed")
                > 0
        );
        recording.pass(400);
    }
    recording.end();
}

/// Ten local ports, and more connections than that to one destination.
fn ports_exhausted(stage: &Stage, ip: Ip) {
    let world = far_apart();
    world
        .a
        .sh("echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range");
    let _server = server(&world, "server", "echo", &[&ip.b(443)]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "crawler", &[ip.b(443).as_str(); 10]);
    for _ in 0..10 {
        client.ok(&format!("open d {}", ip.kind("tcp")));
        client.fails(&format!("connect d {}", ip.b(443)), libc::EADDRNOTAVAIL);
        client.ok("close d");
        recording.pass(250);
    }
    recording.end();
}

/// A program on the cgroup answers sends with ECOMM, which no code of the IP stack does.
fn ecomm(stage: &Stage) {
    let world: World = far_apart();
    let cgroup = Cgroup::new().expect("a cgroup2 mount");
    let mut client = world.a.peer("alerts");
    cgroup.add(client.id.pid);
    let recording = stage.record(&world.a);
    client.ok("open u udp4");
    client.ok("sendto u 200 10.99.2.2:8125");
    refuse_datagrams(&cgroup, false, libc::ECOMM).expect("the kernel takes the program");
    for _ in 0..10 {
        client.fails("sendto u 200 10.99.2.2:8125", libc::ECOMM);
        recording.pass(250);
    }
    recording.end();
    client.kill();
}
