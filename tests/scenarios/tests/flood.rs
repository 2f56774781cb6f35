//! Exactness at any load: nothing is lost in silence.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use scenarios::{
    Connection, SOON, Tracer, World, assert_flow, assert_owner, number, requires, text,
};

/// One flood at a time: there are few cores.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "needs root"]
fn root_a_tiny_ring_loses_events_and_counts_each() {
    if !requires(&[]) {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::pair();
    let tracer = Tracer::start(&[
        "--netns",
        &world.a.name,
        "--ring",
        "64K",
        "--rate",
        "1000000000",
    ]);
    let mut peer = world.a.peer("flood-ring");
    peer.ok("open u udp4");
    peer.tell("flood u 150000 10 203.0.113.9:9");
    assert_eq!(
        peer.reply(Duration::from_secs(120)).number("failed"),
        150_000
    );
    let run = tracer.stop();
    run.assert_totals();
    assert_eq!(
        run.total("send_error", "emitted"),
        150_000,
        "{}",
        run.totals
    );
    assert!(
        run.total("send_error", "lost") > 0,
        "the ring must overflow: {}",
        run.totals
    );
    assert_eq!(run.total("send_error", "aggregated"), 0);
    assert!(
        run.tally.of("lost").lines > 0,
        "a loss is said while it happens: {:?}",
        run.tally
    );
}

#[test]
#[ignore = "needs root"]
fn root_beyond_the_rate_events_are_counted_per_flow() {
    if !requires(&[]) {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::pair();
    let tracer = Tracer::start(&["--netns", &world.a.name]);
    let mut peer = world.a.peer("flood-rate");
    peer.ok("open u udp4");
    peer.tell("flood u 100000 10 203.0.113.9:9");
    assert_eq!(
        peer.reply(Duration::from_secs(120)).number("failed"),
        100_000
    );
    let aggregate = tracer.wait_for("an aggregate, while the run goes on", SOON, |event| {
        event["count"].as_u64() > Some(1)
    });
    assert_owner(&aggregate, &peer.id, &["at_send"]);
    assert_flow(&aggregate, "udp", "", "203.0.113.9:9", &world.a);
    assert_eq!(text(&aggregate, "send_error.name"), "ENETUNREACH");
    let run = tracer.stop();
    run.assert_totals();
    let get = |key| run.total("send_error", key);
    assert_eq!(
        get("seen") - get("filtered"),
        100_000 + others(&run),
        "{}",
        run.totals
    );
    assert!(
        get("aggregated") > 0 && get("emitted") >= 5_000,
        "{}",
        run.totals
    );
    assert_eq!(
        get("lost"),
        0,
        "the default ring holds the default rate: {}",
        run.totals
    );
}

/// Events of other processes in the namespace: there are none, and the sums above rely on it.
fn others(run: &scenarios::Run) -> u64 {
    run.events
        .iter()
        .filter(|event| event["owner"]["comm"] != "flood-rate")
        .count() as u64
}

#[test]
#[ignore = "needs root"]
fn root_a_flood_of_drops_does_not_push_out_retransmits() {
    if !requires(&["nft"]) {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::routed();
    world.a.filter("output", &["udp dport 5353 drop"]);
    let tracer = Tracer::start(&[
        "--netns",
        &world.a.name,
        "--ring",
        "64K",
        "--rate",
        "100000",
    ]);
    let mut pair = Connection::new(&world, "calm-tcp", "calm-server");
    pair.warm_up();
    let mut flood = world.a.peer("flood-drops");
    flood.ok("open u udp4");
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 1000");
    flood.tell("flood u 150000 10 10.99.2.2:5353");
    let events = tracer.wait_for_count("retransmits in the flood", 3, SOON, |event| {
        event["event"] == "retransmit"
    });
    for event in &events {
        assert_owner(event, &pair.client.id, &["at_send"]);
        assert_flow(event, "tcp", &pair.local, &pair.remote, &world.a);
        assert_eq!(number(event, "count"), 1, "{event}");
    }
    assert_eq!(
        flood.reply(Duration::from_secs(120)).number("failed"),
        150_000
    );
    let run = tracer.stop();
    run.assert_totals();
    assert_eq!(run.total("retransmit", "lost"), 0, "{}", run.totals);
    assert_eq!(run.total("retransmit", "aggregated"), 0, "{}", run.totals);
    let drops = run.total("drop", "emitted") + run.total("drop", "aggregated");
    assert!(drops >= 150_000, "{}", run.totals);
}
