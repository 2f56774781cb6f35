//! What only looks like a fault: a diagnosis must find nothing.

use std::time::Duration;

use super::stage::{client, far_apart, server};
use super::{Scenario, Stage};
use crate::{Connection, Peer, SOON};

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "ok_busy_server",
        needs: &[],
        play: |stage| busy_server(stage, 1000),
    },
    Scenario {
        name: "ok_tail_probes",
        needs: &[],
        play: |stage| busy_server(stage, 3000),
    },
    Scenario {
        name: "ok_bulk_transfer",
        needs: &[],
        play: bulk_transfer,
    },
    Scenario {
        name: "ok_bulk_v6",
        needs: &[],
        play: bulk_v6,
    },
    Scenario {
        name: "ok_ack_loss",
        needs: &[],
        play: ack_loss,
    },
    Scenario {
        name: "ok_close_unread",
        needs: &[],
        play: close_unread,
    },
    Scenario {
        name: "ok_long_path",
        needs: &[],
        play: long_path,
    },
    Scenario {
        name: "ok_reset_on_purpose",
        needs: &[],
        play: reset_on_purpose,
    },
    Scenario {
        name: "ok_event_loop",
        needs: &[],
        play: event_loop,
    },
    Scenario {
        name: "ok_health_checks",
        needs: &[],
        play: health_checks,
    },
    Scenario {
        name: "ok_idle",
        needs: &[],
        play: idle,
    },
    Scenario {
        name: "ok_slow_reader",
        needs: &[],
        play: slow_reader,
    },
    Scenario {
        name: "ok_cpu_load",
        needs: &[],
        play: cpu_load,
    },
];

/// A server of this host answers forty clients at once, over and over. Answers of several segments wait for the
/// client's delayed ACK, longer than a loss probe waits on a short path: probes without any loss.
fn busy_server(stage: &Stage, bytes: usize) {
    let world = far_apart();
    let mut server = world.a.peer("webapp");
    for command in [
        "open l tcp4",
        "bind l 10.99.1.1:8080",
        "listen l",
        "serve l echo",
    ] {
        server.ok(command);
    }
    let recording = stage.record(&world.a);
    let mut visitors = world.b.peer("visitors");
    for number in 0..40 {
        visitors.ok(&format!("open c{number} tcp4"));
        visitors.ok(&format!("connect c{number} 10.99.1.1:8080"));
        visitors.ok(&format!("background visitors ask c{number} 60 {bytes} 100"));
    }
    visitors.tell("join");
    visitors.reply(SOON);
    recording.end();
}

/// A bulk transfer that loses a few packets in ten thousand and repeats them at once.
fn bulk_transfer(stage: &Stage) {
    let world = far_apart();
    world.path("there delay_us=10000 loss=5");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "backup", "server", "10.99.2.2:873");
    pair.server.tell("drain s");
    pair.client.tell("pump c 15000000");
    pair.client.reply(Duration::from_secs(60));
    pair.client.ok("shutdown c");
    pair.server.reply(SOON);
    let repeated = world.a.snmp("Tcp", "RetransSegs");
    assert!((1..60).contains(&repeated), "{repeated} segments repeated");
    recording.end();
}

/// The same over IPv6, to a server that answers with its own bulk.
fn bulk_v6(stage: &Stage) {
    let world = far_apart();
    world.path("there delay_us=10000 loss=5");
    let _server = server(&world, "server", "echo", &["[fd99:2::2]:873"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "backup", &["[fd99:2::2]:873"]);
    client.tell("ask c0 30 100000 50");
    client.reply(Duration::from_secs(60));
    recording.end();
}

/// ACKs get lost, three of a hundred: the next one says the same, and nothing is sent again.
fn ack_loss(stage: &Stage) {
    let world = far_apart();
    world.path("back delay_us=10000 loss=300");
    let recording = stage.record(&world.a);
    let mut pair = Connection::at(&world, "backup", "server", "10.99.2.2:873");
    pair.server.tell("drain s");
    pair.client.tell("pump c 8000000");
    pair.client.reply(Duration::from_secs(60));
    recording.end();
}

/// A reader that has seen enough and closes with the rest unread: its kernel says so with a RST.
fn close_unread(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "source", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("preview");
    for _ in 0..8 {
        client.ok("open c tcp4");
        client.ok("connect c 10.99.2.2:443");
        client.ok("sip c 3 4000 20");
        client.ok("close c");
        recording.pass(300);
    }
    recording.end();
}

/// A path of 300 ms, as to the other side of the Earth or over a satellite: slow from the start, and healthy.
fn long_path(stage: &Stage) {
    let world = far_apart();
    for direction in ["there", "back"] {
        world.path(&format!("{direction} delay_us=150000"));
    }
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = client(&world, "web", &["10.99.2.2:443"]);
    client.tell("ask c0 20 5000 100");
    client.reply(SOON);
    recording.end();
}

/// A client that ends each of its short connections with a RST, to keep no TIME_WAIT.
fn reset_on_purpose(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("prober");
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

/// An event loop writes until there is no room, and goes on when there is: EAGAIN is how it learns that.
fn event_loop(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "drain", &["10.99.2.2:873"]);
    let recording = stage.record_with(&world.a, &["--would-block"]);
    let mut client = client(&world, "proxy", &["10.99.2.2:873"]);
    client.tell("write-when-ready c0 12000000 300000");
    let answer = client.reply(Duration::from_secs(60));
    assert!(answer.number("would_block") > 5, "{answer:?}");
    recording.end();
}

/// A balancer asks once a second whether a standby serves yet; by design it does not.
fn health_checks(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("haproxy");
    client.tell("retry 10.99.2.2:8081 12 1000 500");
    assert_eq!(client.reply(SOON).number("failed"), 12);
    recording.end();
}

/// Nothing happens.
fn idle(stage: &Stage) {
    let world = far_apart();
    let recording = stage.record(&world.a);
    recording.pass(6000);
    recording.end();
}

/// A download whose reader takes what it wants and no more: this host's window closes, and that is as it should be.
fn slow_reader(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "source", &["10.99.2.2:443"]);
    let recording = stage.record(&world.a);
    let mut client = world.a.peer("player");
    client.ok("open c tcp4");
    client.ok("rcvbuf c 65536");
    client.ok("connect c 10.99.2.2:443");
    client.ok("sip c 60 20000 150");
    recording.end();
}

/// Every processor is busy while clients ask; answers take longer, and nothing is lost.
fn cpu_load(stage: &Stage) {
    let world = far_apart();
    let _server = server(&world, "server", "echo", &["10.99.2.2:443"]);
    let mut burners: Vec<Peer> = (0..4).map(|_| world.a.peer("burner")).collect();
    let recording = stage.record(&world.a);
    let mut client = client(&world, "web", &["10.99.2.2:443"]);
    for burner in &mut burners {
        burner.tell("spin 6000");
    }
    client.tell("ask c0 100 2000 40");
    client.reply(SOON);
    for burner in &mut burners {
        burner.reply(SOON);
    }
    recording.end();
}
