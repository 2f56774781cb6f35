//! Faults that make a socket wait although nothing fails, each beside a healthy twin that is never said to wait.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use scenarios::recording::{Recorder, events, replay};
use scenarios::{
    Connection, Identity, Peer, Run, Tracer, World, assert_flow, assert_owner, number,
    requires_walks, text,
};
use serde_json::Value;

/// A wait is told two seconds after it began, at the walk after that; some of these go on for several seconds.
const WAIT: Duration = Duration::from_secs(40);
const ONLY_WAITS: [&str; 2] = ["--event", "waiting"];

fn is_wait(event: &Value, owner: &Identity) -> bool {
    event["event"] == "waiting" && event["owner"]["pid"] == owner.pid
}

fn goes_on(event: &Value, owner: &Identity) -> bool {
    is_wait(event, owner) && event["waiting"]["ended"] == false
}

fn has_ended(event: &Value, owner: &Identity) -> bool {
    is_wait(event, owner) && event["waiting"]["ended"] == true
}

/// Ends the run; none of these has ever waited.
#[track_caller]
fn stop(tracer: Tracer, healthy: &[&Identity]) -> Run {
    let run = tracer.stop();
    for healthy in healthy {
        let told = run.events("waiting", |event| is_wait(event, healthy));
        assert!(told.is_empty(), "{told:?}");
    }
    run.assert_complete();
    run
}

/// A connection whose client writes a little all the time, and whose server reads it.
fn healthy(world: &World) -> Connection {
    let mut pair = Connection::new(world, "well-writer", "well-reader");
    pair.server.tell("drain s");
    pair.client.tell("trickle c 1000000 2000 5");
    pair
}

#[test]
#[ignore = "needs root"]
fn root_a_wait_that_goes_on_when_the_run_ends_is_told_once_more_as_unfinished() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let only = ["--event", "waiting", "--comm", "wait-on,well-on"];
    let (trace, printed) = (path("trace"), path("printed"));
    let record = ["-w", &trace, "--print", "--format", "json"];
    let recorder = Recorder::start(Path::new(&printed), &[&record[..], &only].concat());
    let stopped = Tracer::start(&only);
    let timed = Tracer::start(&[&only[..], &["--duration", "10s"]].concat());
    let mut well = Connection::new(&world, "well-on", "wait-reader");
    let mut pair = Connection::new(&world, "wait-on", "wait-reader");
    well.server.tell("drain s");
    well.client.tell("trickle c 1000000 2000 5");
    pair.client.tell("pump c 16000000");
    let client = pair.client.id.clone();
    stopped.wait_for("a longer wait", WAIT, |event| {
        goes_on(event, &client) && number(event, "waiting.for_us") >= 4_000_000
    });
    stopped.signal(Signal::SIGTERM);
    recorder.signal(Signal::SIGTERM);
    let stopped = stopped.finish(WAIT);
    let timed = timed.finish(WAIT);
    let recorded = recorder.finish();
    let played = replay(&[trace.as_str(), "--format", "json"]);
    let recorded = events(&recorded.stdout);
    assert_eq!(recorded, events(&played.stdout));
    for events in [&stopped.events, &timed.events, &recorded] {
        assert!(
            events.iter().all(|event| is_wait(event, &client)),
            "{events:?}"
        );
        let (last, before) = events.split_last().expect("a wait");
        assert_eq!(last["waiting"]["unfinished"], true, "{last}");
        assert_eq!(last["waiting"]["ended"], false, "{last}");
        assert_flow(last, "tcp", &pair.local, &pair.remote, &world.a);
        for event in before {
            assert_eq!(event["waiting"]["unfinished"], false, "{event}");
            assert!(
                number(event, "waiting.for_us") < number(last, "waiting.for_us"),
                "{event} {last}"
            );
        }
    }
    stopped.assert_complete();
    timed.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_socket_waits_on_after_its_writer_has_had_enough() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let well = healthy(&world);
    let mut pair = Connection::new(&world, "wait-sndtimeo", "wait-reader");
    let client = pair.client.id.clone();
    pair.client.ok("send-timeout c 5000");
    pair.client.tell("pump c 64000000");
    let waits = tracer.wait_for("a wait", WAIT, |event| goes_on(event, &client));
    assert_eq!(text(&waits, "waiting.why"), "peer_window", "{waits}");
    assert_eq!(number(&waits, "waiting.blocked_writers"), 1, "{waits}");
    assert_eq!(
        pair.client.reply(WAIT).errno(),
        Some(nix::errno::Errno::EAGAIN as i32)
    );
    let run = stop(tracer, &[&well.client.id, &well.server.id]);
    let last = run.events("waiting", |event| is_wait(event, &client));
    let last = last.last().expect("the wait that was told");
    assert_eq!(last["waiting"]["unfinished"], true, "{last}");
    assert_eq!(number(last, "waiting.blocked_writers"), 0, "{last}");
    assert!(number(last, "waiting.for_us") >= 4_000_000, "{last}");
}

#[test]
#[ignore = "needs root"]
fn root_a_writer_that_polls_waits_without_being_blocked() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let mut well = Connection::new(&world, "well-poller", "well-reader");
    well.server.tell("drain s");
    well.client.tell("write-when-ready c 2000000000 65536");
    let mut pair = Connection::new(&world, "wait-poller", "wait-reader");
    let client = pair.client.id.clone();
    pair.client.tell("write-when-ready c 16000000 65536");
    let waits = tracer.wait_for("a wait", WAIT, |event| goes_on(event, &client));
    assert_eq!(text(&waits, "waiting.why"), "peer_window", "{waits}");
    assert_eq!(number(&waits, "waiting.blocked_writers"), 0, "{waits}");
    assert!(number(&waits, "waiting.queued_bytes") > 0, "{waits}");
    pair.server.tell("drain s");
    let over = tracer.wait_for("its end", WAIT, |event| has_ended(event, &client));
    assert!(number(&over, "waiting.for_us") >= 2_000_000, "{over}");
    stop(tracer, &[&well.client.id, &well.server.id]);
}

#[test]
#[ignore = "needs root"]
fn root_each_pause_of_a_slow_reader_is_a_wait_of_its_own() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let well = healthy(&world);
    let mut pair = Connection::new(&world, "wait-slow", "slow-reader");
    let client = pair.client.id.clone();
    pair.client.tell("pump c 64000000");
    pair.server.tell("sip s 100 1000000 4000");
    let mut ends = 0;
    let second = tracer.wait_for("the second pause", WAIT, |event| {
        ends += u32::from(has_ended(event, &client));
        ends == 2
    });
    // The pauses are four seconds long.
    assert!(
        (2_000_000..6_500_000).contains(&number(&second, "waiting.for_us")),
        "{second}"
    );
    stop(tracer, &[&well.client.id, &well.server.id]);
}

#[test]
#[ignore = "needs root"]
fn root_a_connection_that_its_peer_has_closed_waits_for_who_does_not_read() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let mut well = Connection::new(&world, "well-closed", "well-closer");
    well.server.ok("send s 5000");
    well.server.ok("shutdown-write s");
    well.client.ok("drain c");
    let mut unread = Connection::new(&world, "wait-unread", "wait-closer");
    unread.server.ok("send s 5000");
    unread.server.ok("shutdown-write s");
    let mut unsent = Connection::new(&world, "wait-unsent", "wait-closer");
    unsent.server.ok("shutdown-write s");
    unsent.client.tell("pump c 16000000");
    let waits = tracer.wait_for("unread", WAIT, |event| goes_on(event, &unread.client.id));
    assert_eq!(text(&waits, "waiting.why"), "unread", "{waits}");
    assert_eq!(number(&waits, "waiting.queued_bytes"), 5000, "{waits}");
    assert_eq!(text(&waits, "tcp.state"), "CLOSE_WAIT", "{waits}");
    assert_flow(&waits, "tcp", &unread.local, &unread.remote, &world.a);
    let waits = tracer.wait_for("unsent", WAIT, |event| goes_on(event, &unsent.client.id));
    assert_eq!(text(&waits, "waiting.why"), "peer_window", "{waits}");
    assert_eq!(text(&waits, "tcp.state"), "CLOSE_WAIT", "{waits}");
    unread.client.ok("drain c");
    tracer.wait_for("its end", WAIT, |event| has_ended(event, &unread.client.id));
    stop(tracer, &[&well.client.id, &well.server.id]);
}

#[test]
#[ignore = "needs root"]
fn root_datagram_sockets_whose_buffers_are_full_wait() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let mut client = world.a.peer("dgram-client");
    client.ok("open d udp4");
    let mut servers = ["wait-dgram", "well-dgram"].map(|name| {
        let mut server = world.b.peer(name);
        server.ok("open u udp4");
        server.ok(&format!("bind u {}:0", world.b.v4));
        server.ok("rcvbuf u 16384");
        let at = server.ok("address u");
        client.ok(&format!("flood d 100 1000 {at}"));
        server
    });
    servers[1].ok("empty u");
    let [full, well] = &servers;
    let waits = tracer.wait_for("a full buffer", WAIT, |event| goes_on(event, &full.id));
    assert_eq!(text(&waits, "waiting.why"), "buffer_full", "{waits}");
    assert_eq!(text(&waits, "flow.proto"), "udp", "{waits}");
    assert!(number(&waits, "waiting.queued_bytes") > 8192, "{waits}");
    assert_eq!(
        number(&waits, "flow.netns"),
        world.b.netns() as i64,
        "{waits}"
    );

    // Who writes to a unix socket that nobody reads: what it has sent fills its own buffer.
    let mut log = world.a.peer("quiet-log");
    let mut logger = world.a.peer("wait-logger");
    let path = format!("/tmp/waits-and-twins-{}", log.id.pid);
    log.ok("open d unix-dgram");
    log.ok(&format!("bind d {path}"));
    logger.ok("open d unix-dgram");
    logger.ok("sndbuf d 4608");
    logger.ok(&format!("connect d {path}"));
    logger.ok("fill d 2000");
    let waits = tracer.wait_for("a full logger", WAIT, |event| goes_on(event, &logger.id));
    assert_eq!(text(&waits, "waiting.why"), "buffer_full", "{waits}");
    assert_eq!(text(&waits, "flow.proto"), "unix_dgram", "{waits}");
    assert!(number(&waits, "waiting.queued_bytes") >= 4000, "{waits}");
    drop(std::fs::remove_file(&path));
    stop(tracer, &[&well.id, &client.id, &log.id]);
}

#[test]
#[ignore = "needs root"]
fn root_a_keepalive_that_runs_out_is_a_wait_until_the_connection_is_given_up() {
    if !requires_walks(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&["--event", "waiting,connection"]);
    let mut pairs = ["wait-keepalive", "well-keepalive"].map(|name| {
        let mut pair = Connection::new(&world, name, "idle-server");
        // SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT.
        for option in ["1 9 1", "6 4 1", "6 5 2", "6 6 4"] {
            pair.client.ok(&format!("option c {option}"));
        }
        pair
    });
    let port = pairs[0].remote.rsplit(':').next().expect("a port");
    world.on_the_path(&[&format!("tcp dport {port} drop")]);
    let [silent, well] = &mut pairs;
    let client = silent.client.id.clone();
    let waits = tracer.wait_for("a wait", WAIT, |event| goes_on(event, &client));
    assert_eq!(text(&waits, "waiting.why"), "keepalive", "{waits}");
    assert_eq!(text(&waits, "waiting.timer"), "keepalive", "{waits}");
    assert_eq!(number(&waits, "waiting.queued_bytes"), 0, "{waits}");
    assert_flow(&waits, "tcp", &silent.local, &silent.remote, &world.a);
    let end = tracer.wait_for("its end", WAIT, |event| {
        event["event"] == "connection" && event["owner"]["pid"] == client.pid
    });
    assert_eq!(text(&end, "connection.name"), "ETIMEDOUT", "{end}");
    tracer.wait_for("the wait's end", WAIT, |event| has_ended(event, &client));
    stop(
        tracer,
        &[&well.client.id, &well.server.id, &silent.server.id],
    );
}

#[test]
#[ignore = "needs root"]
fn root_a_wait_in_a_container_has_its_process_as_this_host_knows_it() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let well = healthy(&world);
    let mut server = world.b.peer("wait-reader");
    server.ok("open l tcp4");
    server.ok(&format!("bind l {}:0", world.b.v4));
    server.ok("listen l");
    let remote = server.ok("address l");
    let mut contained = Peer::contained(&world.a.path(), "wait-contained");
    contained.ok("open c tcp4");
    contained.ok(&format!("connect c {remote}"));
    server.ok("accept l s");
    let local = contained.ok("address c");
    contained.tell("pump c 16000000");
    let id = contained.id.clone();
    let waits = tracer.wait_for("a wait", WAIT, |event| goes_on(event, &id));
    assert_owner(&waits, &id, &["at_connect", "at_send"]);
    assert_flow(&waits, "tcp", &local, &remote, &world.a);
    assert_eq!(text(&waits, "waiting.why"), "peer_window", "{waits}");
    contained.kill();
    let over = tracer.wait_for("its end", WAIT, |event| has_ended(event, &id));
    assert!(number(&over, "waiting.for_us") >= 2_000_000, "{over}");
    stop(tracer, &[&well.client.id, &well.server.id]);
}

#[test]
#[ignore = "needs root"]
fn root_a_full_accept_queue_is_an_unanswered_syn_to_its_clients() {
    if !requires_walks(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&ONLY_WAITS);
    let mut well = world.b.peer("well-queue");
    well.ok("open l tcp4");
    well.ok(&format!("bind l {}:0", world.b.v4));
    well.ok("listen l 64");
    let mut full = world.b.peer("wait-queue");
    full.ok("open l tcp4");
    full.ok(&format!("bind l {}:0", world.b.v4));
    full.ok("listen l 0");
    let mut client = world.a.peer("well-client");
    let at = well.ok("address l");
    client.ok("open a tcp4");
    client.ok(&format!("connect a {at}"));
    let at = full.ok("address l");
    client.ok("open b tcp4");
    client.ok(&format!("connect b {at}"));
    let mut caller = world.a.peer("wait-caller");
    caller.ok("open c tcp4");
    caller.tell(&format!("connect c {at}"));
    let queue = tracer.wait_for("a full queue", WAIT, |event| goes_on(event, &full.id));
    assert_eq!(text(&queue, "waiting.why"), "accept_queue", "{queue}");
    let syn = tracer.wait_for("a SYN", WAIT, |event| goes_on(event, &caller.id));
    assert_eq!(text(&syn, "waiting.why"), "syn_sent", "{syn}");
    assert_eq!(text(&syn, "flow.remote"), at, "{syn}");
    full.ok("accept l s");
    assert!(caller.reply(WAIT).is_ok());
    full.ok("accept l t");
    tracer.wait_for("the queue's end", WAIT, |event| has_ended(event, &full.id));
    tracer.wait_for("the SYN's end", WAIT, |event| has_ended(event, &caller.id));
    stop(tracer, &[&well.id, &client.id]);
}
