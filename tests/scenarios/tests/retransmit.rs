//! Retransmits: why, how often, and on whose behalf, although softirqs send them.

use std::collections::BTreeMap;
use std::time::Duration;

use scenarios::{
    Connection, SOON, Tracer, World, assert_flow, assert_owner, assert_retransmit_tcp, number,
    requires, text,
};

fn of(event_kind: &'static str, pid: u32) -> impl FnMut(&serde_json::Value) -> bool {
    move |event| event["event"] == event_kind && event["owner"]["pid"] == pid
}

#[test]
#[ignore = "needs root"]
fn root_random_loss_retransmits_on_the_senders_account() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    // Segments, not bundles of 64 KiB, get lost.
    world.a.ip("link set eth0 gso_max_segs 1");
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "loss-sender", "loss-receiver");
    pair.warm_up();
    let before = world.a.snmp("Tcp", "RetransSegs");
    world.on_the_path(&["ip saddr 10.99.1.1 numgen random mod 100 < 3 drop"]);
    pair.server.tell("drain s");
    pair.client.tell("pump c 8000000");
    pair.client.reply(Duration::from_secs(120));
    world.on_the_path(&[]);
    pair.client.ok("shutdown c");
    let drained = pair.server.reply(Duration::from_secs(120));
    assert_eq!(drained, "ok 8000000".into());
    let after = world.a.snmp("Tcp", "RetransSegs");
    assert!(
        after > before + 20,
        "{before} {after}: the loss must really happen"
    );

    let run = tracer.stop();
    let ours = run.events("retransmit", |event| {
        event["flow"]["local"] == pair.local.as_str()
    });
    let mut sent = 0;
    let mut kinds = BTreeMap::<_, u64>::new();
    for event in &ours {
        assert_owner(event, &pair.client.id, &["at_send"]);
        assert_flow(event, "tcp", &pair.local, &pair.remote, &world.a);
        let cause = text(event, "retransmit.cause");
        assert!(["fast", "rto", "tlp"].contains(&cause), "{event}");
        *kinds
            .entry((
                cause,
                text(event, "retransmit.outcome"),
                number(event, "retransmit.segments"),
            ))
            .or_default() += 1;
        let trigger = text(event, "retransmit.trigger");
        assert!(["timer", "ack"].contains(&trigger), "{event}");
        assert!(cause != "tlp" || trigger == "timer", "{event}");
        // The last segments leave after the shutdown.
        let state = text(event, "tcp.state");
        assert!(
            ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"].contains(&state),
            "{event}"
        );
        assert_retransmit_tcp(event);
        if text(event, "retransmit.outcome") == "sent" {
            sent += number(event, "retransmit.segments") as u64 * number(event, "count") as u64;
        }
    }
    assert!(
        ours.iter()
            .any(|event| event["retransmit"]["cause"] == "fast"),
        "no fast retransmit among {}",
        ours.len()
    );
    assert_eq!(
        sent,
        after - before,
        "segments in events against TcpRetransSegs: {kinds:?}"
    );
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_black_hole_backs_off_until_the_connection_dies() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "hole-sender", "hole-receiver");
    pair.warm_up();
    pair.client.ok("user-timeout c 2500");
    world.on_the_path(&["drop"]);
    // Less than the congestion window, so that the loss probe has nothing new to send.
    pair.client.ok("send c 3000");
    // Waits inside the kernel until the connection dies.
    pair.client.tell("recv c");
    let who = pair.client.id.clone();
    let died = tracer.wait_for("end of the connection", SOON, of("connection", who.pid));
    assert_eq!(pair.client.reply(SOON).errno(), Some(libc::ETIMEDOUT));

    assert_owner(&died, &who, &["at_send"]);
    assert_flow(&died, "tcp", &pair.local, &pair.remote, &world.a);
    assert_eq!(text(&died, "connection.from"), "ESTABLISHED");
    assert_eq!(text(&died, "connection.to"), "CLOSE");
    assert_eq!(text(&died, "connection.name"), "ETIMEDOUT", "{died}");

    let run = tracer.stop();
    let ours = run.events("retransmit", of("retransmit", who.pid));
    for event in &ours {
        assert_owner(event, &who, &["at_send"]);
        assert_flow(event, "tcp", &pair.local, &pair.remote, &world.a);
        assert_retransmit_tcp(event);
        assert_eq!(text(event, "retransmit.trigger"), "timer");
        assert_eq!(text(event, "retransmit.outcome"), "sent");
    }
    assert_eq!(
        text(ours[0], "retransmit.cause"),
        "tlp",
        "a probe comes first: {}",
        ours[0]
    );
    let timeouts = &ours[1..];
    assert!(timeouts.len() >= 3, "{} timeouts", timeouts.len());
    for (earlier, later) in timeouts.iter().zip(&timeouts[1..]) {
        for event in [earlier, later] {
            assert_eq!(text(event, "retransmit.cause"), "rto", "{event}");
        }
        assert_eq!(
            number(later, "retransmit.attempt"),
            number(earlier, "retransmit.attempt") + 1
        );
        assert_eq!(
            number(later, "tcp.backoff"),
            number(earlier, "tcp.backoff") + 1
        );
        assert_eq!(
            number(later, "tcp.rto_us"),
            2 * number(earlier, "tcp.rto_us")
        );
        assert!(number(later, "tcp.last_ack_us_ago") > number(earlier, "tcp.last_ack_us_ago"));
    }
    assert_eq!(number(timeouts[0], "retransmit.attempt"), 1);
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_ipv6_retransmits_name_both_ends() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new6(&world, "hole6-sender", "hole6-receiver");
    pair.warm_up();
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 3000");
    let who = pair.client.id.clone();
    let event = tracer.wait_for("retransmit over IPv6", SOON, of("retransmit", who.pid));
    assert_owner(&event, &who, &["at_send"]);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    assert_retransmit_tcp(&event);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_syn_to_nowhere_belongs_to_who_connects() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    world.on_the_path(&["drop"]);
    let tracer = Tracer::start(&[]);
    let mut client = world.a.peer("syn-nowhere");
    client.ok("open c tcp4");
    client.ok("syn-retries c 1");
    client.tell("connect c 10.99.2.2:7000");
    let who = client.id.clone();
    let died = tracer.wait_for("end of the attempt", SOON, of("connection", who.pid));
    assert_eq!(client.reply(SOON).errno(), Some(libc::ETIMEDOUT));
    assert_owner(&died, &who, &["at_connect"]);
    assert_eq!(text(&died, "connection.from"), "SYN_SENT");
    assert_eq!(text(&died, "connection.to"), "CLOSE");
    assert_eq!(text(&died, "connection.name"), "ETIMEDOUT");

    let run = tracer.stop();
    let syns = run.events("retransmit", of("retransmit", who.pid));
    // One or two, depending on the kernel: the last one may be followed by its time-out at once.
    assert!(!syns.is_empty());
    assert_eq!(
        syns.len() as u64,
        world.a.snmp("Tcp", "RetransSegs"),
        "{syns:?}"
    );
    for (event, attempt) in syns.iter().zip(1..) {
        assert_owner(event, &who, &["at_connect"]);
        assert_eq!(text(event, "flow.remote"), "10.99.2.2:7000");
        assert!(
            text(event, "flow.local").starts_with("10.99.1.1:"),
            "{event}"
        );
        assert_eq!(text(event, "retransmit.cause"), "syn");
        assert_eq!(text(event, "retransmit.trigger"), "timer");
        assert_eq!(number(event, "retransmit.attempt"), attempt);
        assert_eq!(number(event, "retransmit.segments"), 1);
        assert_eq!(text(event, "tcp.state"), "SYN_SENT");
    }
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_an_unanswered_synack_belongs_to_the_listener() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut server = world.b.peer("synack-server");
    server.ok("open l tcp4");
    server.ok("bind l 10.99.2.2:7000");
    server.ok("listen l");
    // What the client answers never arrives.
    world.on_the_path(&["ip saddr 10.99.1.1 tcp flags & (syn | ack) == ack drop"]);
    let mut client = world.a.peer("synack-client");
    client.ok("open c tcp4");
    client.ok("connect c 10.99.2.2:7000");
    let local = client.ok("address c");
    let events = tracer.wait_for_count("SYN-ACK retransmits", 2, SOON, |event| {
        event["event"] == "retransmit" && event["flow"]["remote"] == local.as_str()
    });
    for (event, attempt) in events.iter().zip(1..) {
        assert_owner(event, &server.id, &["at_listen"]);
        assert_flow(event, "tcp", "10.99.2.2:7000", &local, &world.b);
        assert_eq!(text(event, "retransmit.cause"), "synack");
        assert_eq!(number(event, "retransmit.attempt"), attempt, "{event}");
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_path_that_became_narrow_is_mtu() {
    if !requires(&[]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "mtu-sender", "mtu-receiver");
    pair.warm_up();
    world.router().ip("link set tob mtu 1000");
    pair.client.ok("send c 20000");
    let event = tracer.wait_for("retransmit after the ICMP message", SOON, |event| {
        event["event"] == "retransmit" && event["retransmit"]["cause"] == "mtu"
    });
    assert_owner(&event, &pair.client.id, &["at_send", "at_connect"]);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    assert_eq!(text(&event, "retransmit.trigger"), "ack");
    tracer.stop().assert_complete();
}

/// The kernel retransmits the data of such a SYN by the same way as after an ICMP message.
#[test]
#[ignore = "needs root"]
fn root_data_of_a_syn_that_was_not_taken_is_not_called_mtu() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    // Without a cookie; the server does not know of it.
    world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_fastopen");
    world.b.sh("echo 0 > /proc/sys/net/ipv4/tcp_fastopen");
    let tracer = Tracer::start(&[]);
    let mut server = world.b.peer("tfo-server");
    for command in ["open l tcp4", "bind l 10.99.1.2:7100", "listen l"] {
        server.ok(command);
    }
    let mut client = world.a.peer("tfo-client");
    for command in [
        "open c tcp4",
        "fast-open c",
        "connect c 10.99.1.2:7100",
        "send c 300",
    ] {
        client.ok(command);
    }
    let event = tracer.wait_for("retransmit of the data", SOON, |event| {
        event["event"] == "retransmit" && event["owner"]["pid"] == client.id.pid
    });
    assert_eq!(text(&event, "retransmit.cause"), "unknown", "{event}");
    assert_eq!(number(&event, "retransmit.bytes"), 300);
    tracer.stop().assert_complete();
}
