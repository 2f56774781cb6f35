//! Dropped packets of local sockets: the reason, the interface, and whose they were.

use scenarios::{
    Connection, SOON, Tracer, World, assert_flow, assert_owner, number, requires, text,
};

#[test]
#[ignore = "needs root"]
fn root_a_full_queue_drops_packets_of_named_senders() {
    if !requires(&["tc"]) {
        return;
    }
    let world = World::pair();
    world.a.ip("link set eth0 gso_max_segs 1");
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "tbf-tcp", "tbf-server");
    pair.warm_up();
    let mut udp = world.a.peer("tbf-udp");
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 8kbit burst 3k limit 6k");

    udp.ok("open u udp4");
    udp.ok("bind u 10.99.1.1:6000");
    udp.ok("flood u 50 1000 10.99.1.2:9");
    let event = tracer.wait_for("a dropped datagram", SOON, |event| {
        event["event"] == "drop" && event["owner"]["pid"] == udp.id.pid
    });
    assert_owner(&event, &udp.id, &["at_send"]);
    assert_flow(&event, "udp", "10.99.1.1:6000", "10.99.1.2:9", &world.a);
    assert!(text(&event, "drop.reason").contains("QDISC"), "{event}");
    assert_eq!(text(&event, "drop.direction"), "sent");
    assert_eq!(text(&event, "drop.interface"), "eth0");
    assert!(text(&event, "drop.location").len() > 3, "{event}");
    assert!(
        (1000..1100).contains(&number(&event, "drop.bytes")),
        "{event}"
    );

    pair.client.ok("no-delay c");
    // Waits for room that does not come in time; what it sends first is enough.
    pair.client.tell("send c 60000");
    let event = tracer.wait_for("a dropped segment", SOON, |event| {
        event["event"] == "drop" && event["owner"]["pid"] == pair.client.id.pid
    });
    assert_owner(&event, &pair.client.id, &["at_send"]);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    assert!(text(&event, "drop.reason").contains("QDISC"), "{event}");
    assert_eq!(text(&event, "drop.direction"), "sent");
    assert_eq!(text(&event, "drop.interface"), "eth0");

    let dropped = world.a.sh("tc -s qdisc show dev eth0");
    let dropped = dropped
        .split("dropped ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .expect("a count");
    assert!(dropped.parse::<u64>().expect("a number") > 0);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_the_local_firewall_is_named() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    for (rule, bytes) in [("udp dport 5353 drop", 300), ("udp dport 5353 reject", 301)] {
        world.a.filter("output", &[rule]);
        let mut sender = world.a.peer("fw-sender");
        sender.ok("open u udp4");
        sender.fails(&format!("sendto u {bytes} 10.99.1.2:5353"), libc::EPERM);
        let pid = sender.id.pid;
        let error = tracer.wait_for("EPERM", SOON, |e| {
            e["event"] == "send_error" && e["owner"]["pid"] == pid
        });
        assert_owner(&error, &sender.id, &["at_send"]);
        assert_flow(&error, "udp", "", "10.99.1.2:5353", &world.a);
        assert_eq!(text(&error, "send_error.name"), "EPERM");
        assert_eq!(number(&error, "send_error.errno"), i64::from(libc::EPERM));
        assert_eq!(number(&error, "send_error.requested_bytes"), bytes);
        let drop = tracer.wait_for("the drop", SOON, |e| {
            e["event"] == "drop" && e["owner"]["pid"] == pid
        });
        // The first send of a socket is dropped before the send is over: its owner is then looked up.
        assert_owner(&drop, &sender.id, &["at_send", "seeded"]);
        assert_eq!(text(&drop, "drop.reason"), "NETFILTER_DROP");
        assert_eq!(text(&drop, "drop.direction"), "sent");
        assert_eq!(text(&drop, "flow.remote"), "10.99.1.2:5353");
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_full_receive_buffer_names_the_receiver() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let mut receiver = world.b.peer("rcvbuf-full");
    receiver.ok("open u udp4");
    receiver.ok("rcvbuf u 4096");
    receiver.ok("bind u 10.99.1.2:6001");
    let tracer = Tracer::start(&[]);
    let mut sender = world.a.peer("rcvbuf-sender");
    sender.ok("open u udp4");
    sender.ok("bind u 10.99.1.1:6002");
    sender.ok("flood u 40 500 10.99.1.2:6001");
    let errors = world.b.snmp("Udp", "RcvbufErrors");
    assert!(errors > 0);
    let drops = tracer.wait_for_count("dropped datagrams", errors as usize, SOON, |event| {
        event["event"] == "drop" && event["flow"]["netns"] == world.b.netns()
    });
    for event in &drops {
        assert_owner(event, &receiver.id, &["seeded"]);
        assert_flow(event, "udp", "10.99.1.2:6001", "10.99.1.1:6002", &world.b);
        assert!(text(event, "drop.reason").contains("RCVBUFF"), "{event}");
        assert_eq!(text(event, "drop.direction"), "received");
    }
    let run = tracer.stop();
    let ours = run.events("drop", |event| event["flow"]["netns"] == world.b.netns());
    assert_eq!(ours.len() as u64, errors, "RcvbufErrors");
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_packets_of_nobody_are_counted_by_reason() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut sender = world.a.peer("no-socket");
    sender.ok("open u udp4");
    // Nobody listens there: dropped at the receiver, where no socket is.
    sender.ok("flood u 20 10 10.99.1.2:6003");
    assert_eq!(world.b.snmp("Udp", "NoPorts"), 20);
    let run = tracer.stop();
    let counted: u64 = run
        .counted
        .iter()
        .filter(|line| line["event"] == "drop" && line["kind"] == "no_local_socket")
        .filter_map(|line| line["count"].as_u64())
        .sum();
    assert!(counted >= 20, "{:?}", run.counted);
    run.assert_complete();
}

/// Fragments after the first have payload where the ports would be: 0x7878, which is 30840.
#[test]
#[ignore = "needs root"]
fn root_fragments_are_not_given_ports_out_of_their_payload() {
    if !requires(&["tc"]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut sender = world.a.peer("frag-sender");
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 1600");
    sender.ok("open u udp4");
    sender.ok("bind u 0.0.0.0:6001");
    sender.ok("flood u 20 5000 10.99.1.2:9");
    let drops = tracer.wait_for_count("dropped fragments", 20, SOON, |event| {
        event["event"] == "drop" && event["owner"]["pid"] == sender.id.pid
    });
    for event in &drops {
        assert!(text(event, "flow.local").ends_with(":6001"), "{event}");
        let remote = &event["flow"]["remote"];
        assert!(remote.is_null() || remote == "10.99.1.2:9", "{event}");
    }
    tracer.stop().assert_complete();
}
