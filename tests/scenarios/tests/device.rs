//! Drivers that refuse a packet: which device, what it said, and whose packet it was.

use scenarios::{SOON, Tracer, World, assert_flow, assert_owner, number, requires, text};

/// A veth whose other end takes no packet of this size: `veth_xmit` frees it and returns NET_XMIT_DROP.
#[test]
#[ignore = "needs root"]
fn root_a_driver_that_refuses_a_packet_is_named_with_the_sender() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    world.b.ip("link set eth0 mtu 1000");
    let tracer = Tracer::start(&[]);
    let mut sender = world.a.peer("dev-sender");
    sender.ok("open u udp4");
    sender.ok("bind u 10.99.1.1:6100");
    // A send that fits makes the sender known, so the next packets find their owner.
    sender.ok("sendto u 10 10.99.1.2:9");
    for _ in 0..3 {
        sender.ok("sendto u 1400 10.99.1.2:9");
    }
    let refused = tracer.wait_for_count("refused packets", 3, SOON, |event| {
        event["event"] == "device" && event["flow"]["netns"] == world.a.netns()
    });
    for event in &refused {
        assert_owner(event, &sender.id, &["at_send"]);
        assert_flow(event, "udp", "10.99.1.1:6100", "10.99.1.2:9", &world.a);
        assert_eq!(text(event, "device.name"), "NET_XMIT_DROP");
        assert_eq!(number(event, "device.code"), 1);
        assert_eq!(text(event, "device.interface"), "eth0");
        assert_eq!(event["device"]["requeued"], false);
        assert_eq!(
            number(event, "device.bytes"),
            1400 + 8 + 20 + 14,
            "UDP, IP and Ethernet headers are part of the frame"
        );
    }
    let run = tracer.stop();
    let drops = run.events("drop", |event| event["owner"]["pid"] == sender.id.pid);
    assert_eq!(drops.len(), 3, "the same packets as drops: {drops:?}");
    run.assert_complete();
}

/// The memory of a dropped packet is given to the next one at once: what is known of the first must not be
/// said of the second, which was only passing through.
#[test]
#[ignore = "needs root"]
fn root_a_forwarded_packet_is_not_laid_at_a_local_senders_door() {
    if !requires(&["nft"]) {
        return;
    }
    // All on one processor, so that memory is reused.
    let mut one = nix::sched::CpuSet::new();
    one.set(0).expect("a processor");
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).expect("affinity");
    let world = World::routed();
    world.b.ip("link set eth0 mtu 1000");
    world.router().filter("output", &["udp dport 777 drop"]);
    let tracer = Tracer::start(&["--event", "device"]);
    let mut innocent = world.router().peer("dev-innocent");
    innocent.ok("open u udp4");
    let mut passer = world.a.peer("dev-passer");
    passer.ok("open u udp4");
    for _ in 0..30 {
        // Refused by the firewall, which is an error for the sender, or silent.
        innocent.ask("sendto u 100 10.99.2.2:777");
        passer.ok("flood u 3 1200 10.99.2.2:888");
    }
    let router = world.router().netns();
    let refused = tracer.wait_for_count("refused packets", 90, SOON, |event| {
        event["event"] == "device" && event["flow"]["netns"] == router
            || event["device"]["interface"] == "tob"
    });
    for event in &refused {
        assert_eq!(text(event, "owner.grade"), "unknown", "{event}");
        assert!(event["owner"]["pid"].is_null(), "{event}");
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_device_error_without_a_flow_is_of_no_protocol() {
    if !requires(&[]) {
        return;
    }
    let world = World::routed();
    world.b.ip("link set eth0 mtu 1000");
    let all = Tracer::start(&["--event", "device"]);
    let raw = Tracer::start(&["--event", "device", "--proto", "raw"]);
    let mut passer = world.a.peer("dev-passer");
    passer.ok("open u udp4");
    passer.ok("flood u 3 1200 10.99.2.2:888");
    all.wait_for_count("refused packets", 3, SOON, |event| {
        event["device"]["interface"] == "tob"
    });
    all.stop().assert_complete();
    let run = raw.stop();
    assert!(
        run.events("device", |event| event["device"]["interface"] == "tob")
            .is_empty(),
        "{:?}",
        run.events
    );
    run.assert_complete();
}
