//! Sockets that wait although nothing fails: found by the walk, with owner, reason, time and end.

use std::time::Duration;

use scenarios::{
    Connection, Identity, Tracer, World, assert_flow, assert_owner, number, requires_walks, text,
};
use serde_json::Value;

/// A wait is told two seconds after it began, at the walk after that.
const WAIT: Duration = Duration::from_secs(20);

fn is_wait(event: &Value, owner: &Identity, ended: bool) -> bool {
    event["event"] == "waiting"
        && event["owner"]["pid"] == owner.pid
        && event["waiting"]["ended"] == ended
}

#[test]
#[ignore = "needs root"]
fn root_a_writer_whose_peer_does_not_read_waits_until_it_reads() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "waiting"]);
    let mut pair = Connection::new(&world, "wait-writer", "wait-reader");
    let client = pair.client.id.clone();
    pair.client.tell("pump c 16000000");
    let waits = tracer.wait_for("a wait", WAIT, |event| is_wait(event, &client, false));
    assert_owner(&waits, &client, &["at_connect", "at_send"]);
    assert_flow(&waits, "tcp", &pair.local, &pair.remote, &world.a);
    assert_eq!(text(&waits, "waiting.why"), "peer_window", "{waits}");
    assert_eq!(text(&waits, "waiting.timer"), "persist", "{waits}");
    assert_eq!(number(&waits, "waiting.blocked_writers"), 1, "{waits}");
    assert!(number(&waits, "waiting.queued_bytes") > 0, "{waits}");
    assert!(
        (2_000_000..8_000_000).contains(&number(&waits, "waiting.for_us")),
        "{waits}"
    );
    assert!(
        number(&waits, "waiting.rwnd_limited_us") >= 1_500_000,
        "{waits}"
    );
    let longer = tracer.wait_for("a longer wait", WAIT, |event| {
        is_wait(event, &client, false) && number(event, "waiting.for_us") >= 4_000_000
    });
    pair.server.tell("drain s");
    pair.client.reply(WAIT);
    let over = tracer.wait_for("its end", WAIT, |event| is_wait(event, &client, true));
    assert!(
        number(&over, "waiting.for_us") >= number(&longer, "waiting.for_us"),
        "{over}"
    );
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_sender_whose_data_moves_does_not_wait() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "waiting", "--duration", "8s"]);
    let mut pair = Connection::new(&world, "busy-writer", "busy-reader");
    let client = pair.client.id.clone();
    pair.server.tell("drain s");
    pair.client.tell("pump c 2000000000");
    let run = tracer.finish(Duration::from_secs(60));
    let told = run.events("waiting", |event| event["owner"]["pid"] == client.pid);
    assert!(told.is_empty(), "{told:?}");
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_data_and_syns_that_nobody_answers_wait_since_they_were_sent() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::routed();
    let mut pair = Connection::new(&world, "wait-silent", "wait-server");
    let mut caller = world.a.peer("wait-caller");
    caller.ok("open c tcp4");
    world.on_the_path(&["ip saddr 10.99.1.1 drop"]);
    let client = pair.client.id.clone();
    let called = caller.id.clone();
    pair.client.ok("send c 1000");
    caller.tell(&format!("connect c {}:9", world.b.v4));
    let tracer = Tracer::start(&["--event", "waiting"]);
    let silent = tracer.wait_for("silence", WAIT, |event| is_wait(event, &client, false));
    assert_eq!(text(&silent, "waiting.why"), "unacknowledged", "{silent}");
    assert_eq!(number(&silent, "waiting.queued_bytes"), 1000, "{silent}");
    assert_eq!(text(&silent, "waiting.timer"), "retransmit", "{silent}");
    assert_flow(&silent, "tcp", &pair.local, &pair.remote, &world.a);
    let syn = tracer.wait_for("a SYN", WAIT, |event| is_wait(event, &called, false));
    assert_eq!(text(&syn, "waiting.why"), "syn_sent", "{syn}");
    assert_eq!(text(&syn, "tcp.state"), "SYN_SENT", "{syn}");
    world.on_the_path(&[]);
    tracer.wait_for("its end", WAIT, |event| is_wait(event, &client, true));
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_queues_that_nobody_empties_wait() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "waiting"]);
    let mut server = world.b.peer("wait-queue");
    let mut client = world.a.peer("wait-clients");
    server.ok("open l tcp4");
    server.ok(&format!("bind l {}:0", world.b.v4));
    server.ok("listen l 1");
    let at = server.ok("address l");
    for name in ["c", "d"] {
        client.ok(&format!("open {name} tcp4"));
        client.ok(&format!("connect {name} {at}"));
    }
    let full = tracer.wait_for("a full queue", WAIT, |event| {
        is_wait(event, &server.id, false)
    });
    assert_eq!(text(&full, "waiting.why"), "accept_queue", "{full}");
    assert_eq!(number(&full, "waiting.queued_bytes"), 2, "{full}");
    assert_owner(&full, &server.id, &["at_listen"]);
    server.ok("accept l s");
    tracer.wait_for("its end", WAIT, |event| is_wait(event, &server.id, true));

    let mut log = world.a.peer("wait-log");
    let mut logger = world.a.peer("wait-logger");
    log.ok("open d unix-dgram");
    let path = format!("/tmp/wait-{}", log.id.pid);
    log.ok(&format!("bind d {path}"));
    logger.ok("open d unix-dgram");
    logger.ok(&format!("connect d {path}"));
    logger.ok("fill d 100");
    let full = tracer.wait_for("a full log", WAIT, |event| is_wait(event, &log.id, false));
    assert_eq!(text(&full, "waiting.why"), "buffer_full", "{full}");
    assert_eq!(text(&full, "flow.proto"), "unix_dgram", "{full}");
    drop(std::fs::remove_file(&path));
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_only_waits_that_the_filter_wants_are_told_and_the_others_are_counted() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "waiting", "--comm", "wait-wanted"]);
    let mut pairs = ["wait-wanted", "wait-other"].map(|name| {
        let mut pair = Connection::new(&world, name, "wait-server");
        pair.client.tell("pump c 16000000");
        pair
    });
    let wanted = pairs[0].client.id.clone();
    let event = tracer.wait_for("the wanted", WAIT, |event| event["event"] == "waiting");
    assert_eq!(event["owner"]["pid"], wanted.pid, "{event}");
    pairs
        .iter_mut()
        .for_each(|pair| pair.server.tell("drain s"));
    tracer.wait_for("its end", WAIT, |event| is_wait(event, &wanted, true));
    let run = tracer.stop();
    assert!(run.total("waiting", "filtered") >= 1, "{}", run.totals);
    run.assert_complete();
}
