//! For how long sends are blocked, against the program's own clock. Needs programs at functions of the kernel.

use std::thread::sleep;
use std::time::{Duration, Instant};

use scenarios::{
    Connection, Peer, Reply, SOON, Tracer, World, assert_flow, assert_owner, number, requires,
    run_sendtrace, skip,
};
use serde_json::Value;

/// For how long the writers of these tests are kept waiting.
const HELD: Duration = Duration::from_millis(1500);

/// Are waits seen on this host?
fn waits_are_seen() -> bool {
    let output = run_sendtrace(&["doctor", "--format", "json"]);
    let doctor = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = doctor
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let allowed = |hook: &Value| hook["program"] == "memory_waited" && hook["status"] == "allowed";
    let seen = lines.into_iter().any(|line| {
        allowed(&line)
            || line["hooks"]
                .as_array()
                .is_some_and(|hooks| hooks.iter().any(allowed))
    });
    seen || skip("this kernel allows no programs at functions")
}

/// Does the host see sends at the tracepoint of all sends (6.3 and later)?
fn sends_are_seen_at_the_tracepoint() -> bool {
    let output = run_sendtrace(&["doctor", "--facts"]);
    let facts: Value = serde_json::from_slice(&output.stdout).expect("facts");
    !facts["btf"]["tracepoints"]["sock_send_length"].is_null()
        || skip("docs/limits.md: on 5.10 the wait of a unix datagram is not seen")
}

/// Waits until the process sleeps in a system call that sends.
fn wait_until_blocked(peer: &Peer) {
    let deadline = Instant::now() + SOON;
    let path = format!("/proc/{}/stat", peer.id.pid);
    let mut asleep = 0;
    // Twice in a row: between two pieces of data it may only wait for its turn.
    while asleep < 5 {
        assert!(Instant::now() < deadline, "{} does not block", peer.id.comm);
        sleep(Duration::from_millis(20));
        let stat = std::fs::read_to_string(&path).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        asleep = if state.starts_with('S') {
            asleep + 1
        } else {
            0
        };
    }
}

/// Buffers of which little time is needed to fill them, for that is no time of waiting.
fn keep_small(pair: &mut Connection) {
    pair.client.ok("sndbuf c 40000");
    pair.server.ok("rcvbuf s 40000");
}

/// Within 1 ms or 5 % of what the program measured around its send.
#[track_caller]
fn assert_time(event: &Value, field: &str, reply: &Reply) {
    let own = i64::try_from(reply.number("us")).expect("a time");
    let told = number(event, field);
    let off = (own - told).abs();
    assert!(
        told <= own + 1000 && (off <= 1000 || off * 20 <= own),
        "{told} µs told, {own} µs measured: {event}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_a_writer_that_was_blocked_is_told_with_its_time_and_one_that_was_not_is_not() {
    if !requires(&[]) || !waits_are_seen() {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "blocked,send_error", "--netns", &world.a.name]);
    let mut healthy = Connection::new(&world, "prompt-client", "prompt-server");
    let mut pair = Connection::new(&world, "slow-client", "slow-server");
    keep_small(&mut pair);
    pair.client.tell("timed-send c 500000");
    wait_until_blocked(&pair.client);
    healthy.client.ok("send c 1000");
    sleep(HELD);
    pair.server.tell("drain-bytes s 500000");
    let reply = pair.client.reply(SOON);
    assert_eq!(reply.number("sent"), 500_000);
    pair.server.reply(SOON);
    let event = tracer.wait_for("the blocked send", SOON, |event| {
        event["event"] == "blocked"
    });
    assert_time(&event, "blocked.blocked_us", &reply);
    assert_eq!(number(&event, "blocked.sent_bytes"), 500_000);
    assert_eq!(number(&event, "blocked.requested_bytes"), 500_000);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    assert_owner(&event, &pair.client.id, &["at_send"]);
    healthy.client.ok("send c 1000");
    let run = tracer.stop();
    assert_eq!(run.events("blocked", |_| true).len(), 1);
    assert_eq!(run.events("send_error", |_| true).len(), 0);
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_send_whose_time_ran_out_says_for_how_long_it_was_blocked() {
    if !requires(&[]) || !waits_are_seen() {
        return;
    }
    let world = World::pair();
    let netns = &world.a.name;
    let tracer = Tracer::start(&[
        "--event",
        "blocked,send_error",
        "--blocked",
        "200ms",
        "--netns",
        netns,
    ]);
    let mut pair = Connection::new(&world, "timed-client", "timed-server");
    keep_small(&mut pair);
    pair.client.ok("send-timeout c 700");
    // A part is taken before the time runs out: no error, but long.
    let first = pair.client.ask("timed-send c 1000000");
    assert!(first.number("sent") > 0);
    // What was on its way makes room for a few more.
    let mut second = pair.client.ask("timed-send c 7000");
    for _ in 0..100 {
        if second.has("errno") {
            break;
        }
        second = pair.client.ask("timed-send c 7000");
    }
    assert_eq!(second.number("errno"), libc::EAGAIN as u64);
    // An event loop that is told at once: counted.
    pair.client.ok("nonblock c");
    pair.client.fails("send c 7001", libc::EAGAIN);
    // Nobody answers the SYN, and the send waits for that.
    world.b.filter("input", &["tcp dport 9302 drop"]);
    pair.client.ok("open n tcp4");
    pair.client.ok("nonblock n");
    pair.client
        .fails("connect n 10.99.1.2:9302", libc::EINPROGRESS);
    pair.client.ok("block n");
    pair.client.ok("send-timeout n 600");
    let third = pair.client.ask("timed-send n 7002");
    assert_eq!(third.number("errno"), libc::EAGAIN as u64);
    let timed_out = |bytes: u64| {
        tracer.wait_for("a send whose time ran out", SOON, |event| {
            event["event"] == "send_error" && event["send_error"]["requested_bytes"] == bytes
        })
    };
    for (bytes, reply) in [(7000, &second), (7002, &third)] {
        assert_time(&timed_out(bytes), "send_error.blocked_us", reply);
    }
    let long = tracer.wait_for("the send of a part", SOON, |event| {
        event["blocked"]["requested_bytes"] == 1_000_000
    });
    assert_time(&long, "blocked.blocked_us", &first);
    assert_eq!(
        number(&long, "blocked.sent_bytes") as u64,
        first.number("sent")
    );
    let run = tracer.stop();
    assert_eq!(run.events("send_error", |_| true).len(), 2);
    let parts = |event: &Value| event["blocked"]["requested_bytes"] == 1_000_000;
    assert_eq!(run.events("blocked", parts).len(), 1);
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_failed_send_that_did_not_wait_was_blocked_for_no_time() {
    if !requires(&[]) || !waits_are_seen() {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "blocked,send_error", "--netns", &world.a.name]);
    let mut pair = Connection::new(&world, "hasty-client", "hasty-server");
    pair.client.ok("shutdown-write c");
    pair.client.fails("send c 7003", libc::EPIPE);
    let event = tracer.wait_for("the failed send", SOON, |event| {
        event["event"] == "send_error"
    });
    // To be told so is no wait, but takes its time on an emulated processor.
    assert!(number(&event, "send_error.blocked_us") < 1000, "{event}");
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_unix_datagram_that_waits_for_its_peer_says_how_long() {
    if !requires(&[]) || !waits_are_seen() || !sends_are_seen_at_the_tracepoint() {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("queue").display().to_string();
    let (mut client, mut server) = (world.a.peer("unix-writer"), world.a.peer("unix-reader"));
    server.ok("open d unix-dgram");
    server.ok(&format!("bind d {path}"));
    client.ok("open d unix-dgram");
    client.ok(&format!("connect d {path}"));
    let tracer = Tracer::start(&["--event", "blocked,send_error", "--comm", "unix-writer"]);
    // One more than the queue of a unix datagram socket holds (net.unix.max_dgram_qlen).
    let most = world.a.sh("cat /proc/sys/net/unix/max_dgram_qlen");
    let most: u32 = most.trim().parse().expect("a number");
    for _ in 0..=most {
        client.ok("send d 100");
    }
    client.tell("timed-send d 101");
    wait_until_blocked(&client);
    sleep(HELD);
    server.ok("recv d");
    let reply = client.reply(SOON);
    assert_eq!(reply.number("sent"), 101);
    let event = tracer.wait_for("the blocked datagram", SOON, |event| {
        event["event"] == "blocked"
    });
    assert_time(&event, "blocked.blocked_us", &reply);
    assert_eq!(number(&event, "blocked.sent_bytes"), 101);
    assert_eq!(event["flow"]["remote"], path);
    assert_owner(&event, &client.id, &["at_send", "seeded"]);
    let run = tracer.stop();
    assert_eq!(run.events("blocked", |_| true).len(), 1);
    run.assert_complete();
}
