//! Failed sends of odd kinds of sockets, what is only counted, and how a run ends. `errno/` has every errno.

use scenarios::{
    Connection, Peer, SOON, Tracer, World, assert_flow, assert_owner, number, requires, text,
};
use serde_json::Value;

/// The send error of this process with this many bytes: sizes tell the sends of one process apart.
fn error_of(tracer: &Tracer, peer: &Peer, bytes: u64) -> Value {
    tracer.wait_for(&format!("failed send of {bytes} bytes"), SOON, |event| {
        event["event"] == "send_error"
            && event["owner"]["pid"] == peer.id.pid
            && event["send_error"]["requested_bytes"] == bytes
    })
}

#[track_caller]
fn assert_error(event: &Value, name: &str, errno: i32) {
    assert_eq!(text(event, "send_error.name"), name, "{event}");
    assert_eq!(
        number(event, "send_error.errno"),
        i64::from(errno),
        "{event}"
    );
}

/// Counts of `counted` lines of this kind and process.
fn counted(lines: &[Value], kind: &str, pid: u32) -> u64 {
    let ours = lines
        .iter()
        .filter(|line| line["kind"] == kind && line["owner"]["pid"] == pid);
    ours.filter_map(|line| line["count"].as_u64()).sum()
}

#[test]
#[ignore = "needs root"]
fn root_would_block_and_partial_sends_are_counted_not_listed() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "eagain-client", "eagain-server");
    pair.client.tell("fill c 3000000");
    let reply = pair.client.reply(SOON);
    assert_eq!(reply.number("would_block"), 50);
    assert!(reply.number("partial") > 0);
    let run = tracer.stop();
    let pid = pair.client.id.pid;
    assert!(
        run.events("send_error", |event| event["owner"]["pid"] == pid)
            .is_empty()
    );
    assert_eq!(
        counted(&run.counted, "would_block", pid),
        50,
        "{:?}",
        run.counted
    );
    assert_eq!(
        counted(&run.counted, "partial_send", pid),
        reply.number("partial"),
        "{:?}",
        run.counted
    );
    let line = run
        .counted
        .iter()
        .find(|line| line["kind"] == "would_block" && line["owner"]["pid"] == pid);
    let line = line.expect("a line");
    assert_owner(line, &pair.client.id, &["at_send"]);
    assert_flow(line, "tcp", &pair.local, &pair.remote, &world.a);
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_unix_sockets_name_their_path() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (stream, closed, missing) = (path("stream"), path("closed"), path("missing"));
    let tracer = Tracer::start(&[]);
    let (mut client, mut server) = (world.a.peer("unix-client"), world.a.peer("unix-server"));
    server.ok("open l unix-stream");
    server.ok(&format!("bind l {stream}"));
    server.ok("listen l");
    server.ok("open d unix-dgram");
    server.ok(&format!("bind d {closed}"));
    server.ok("close d");

    client.ok("open c unix-stream");
    client.ok(&format!("connect c {stream}"));
    server.ok("accept l s");
    server.ok("close s");
    client.ok("open d unix-dgram");
    let cases = [
        ("send c 201".to_owned(), 201, stream, "EPIPE", libc::EPIPE),
        (
            format!("sendto d 202 {closed}"),
            202,
            closed,
            "ECONNREFUSED",
            libc::ECONNREFUSED,
        ),
        (
            format!("sendto d 203 {missing}"),
            203,
            missing,
            "ENOENT",
            libc::ENOENT,
        ),
    ];
    for (command, bytes, remote, name, errno) in cases {
        client.fails(&command, errno);
        let event = error_of(&tracer, &client, bytes);
        assert_owner(&event, &client.id, &["at_send"]);
        assert_error(&event, name, errno);
        assert!(text(&event, "flow.proto").starts_with("unix"), "{event}");
        assert_eq!(text(&event, "flow.remote"), remote, "{event}");
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_raw_packet_and_netlink_sockets_are_seen() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut peer = world.a.peer("odd-sockets");
    for (open, send, bytes, proto, name, errno) in [
        (
            "open r raw4",
            "sendto r 301 203.0.113.9:0",
            301,
            "",
            "ENETUNREACH",
            libc::ENETUNREACH,
        ),
        (
            "open q raw6",
            "sendto q 302 [2001:db8::9]:0",
            302,
            "",
            "ENETUNREACH",
            libc::ENETUNREACH,
        ),
        (
            "open p packet",
            "send p 303",
            303,
            "packet",
            "ENXIO",
            libc::ENXIO,
        ),
        (
            "open n netlink",
            "sendto n 304 netlink:4242",
            304,
            "netlink",
            "ECONNREFUSED",
            libc::ECONNREFUSED,
        ),
    ] {
        peer.ok(open);
        peer.fails(send, errno);
        let event = error_of(&tracer, &peer, bytes);
        assert_owner(&event, &peer.id, &["at_send"]);
        assert_error(&event, name, errno);
        assert!(text(&event, "flow.proto").starts_with(proto), "{event}");
        assert_eq!(number(&event, "flow.netns"), world.a.netns() as i64);
    }
    tracer.stop().assert_complete();
}

/// The bytes of all `send` events of a process, in order, and the errnos of its `send_error` events.
fn returns(run: &scenarios::Run, pid: u32) -> (Vec<u64>, Vec<i64>) {
    let ours = |event: &Value| event["owner"]["pid"] == pid;
    let sent = run.events("send", ours);
    let failed = run.events("send_error", ours);
    (
        sent.iter()
            .map(|event| number(event, "send.sent_bytes") as u64)
            .collect(),
        failed
            .iter()
            .map(|event| number(event, "send_error.errno"))
            .collect(),
    )
}

#[test]
#[ignore = "needs root"]
fn root_every_send_is_one_event_when_asked_for() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "send,send_error", "--would-block"]);
    let mut pair = Connection::new(&world, "every-send", "every-server");
    let pid = pair.client.id.pid;
    for bytes in [401, 402, 403] {
        pair.client.ok(&format!("send c {bytes}"));
    }
    pair.client.ok("open u udp4");
    pair.client.ok("sendto u 411 10.99.1.2:9001");
    pair.client.ok("sendmsg u 412 10.99.1.2:9002");
    pair.client.ok("open v udp6");
    pair.client.ok("sendto v 413 [fd99:1::2]:9003");
    pair.client
        .fails("sendto u 414 203.0.113.9:9004", libc::ENETUNREACH);
    let last = tracer.wait_for("the failed send", SOON, |event| {
        event["event"] == "send_error" && event["owner"]["pid"] == pid
    });
    assert_error(&last, "ENETUNREACH", libc::ENETUNREACH);
    let run = tracer.stop();
    assert_eq!(
        returns(&run, pid),
        (
            vec![401, 402, 403, 411, 412, 413],
            vec![i64::from(libc::ENETUNREACH)]
        )
    );
    let sends = run.events("send", |event| event["owner"]["pid"] == pid);
    for event in &sends {
        assert_owner(event, &pair.client.id, &["at_send"]);
        assert_eq!(
            event["send"]["requested_bytes"],
            event["send"]["sent_bytes"]
        );
    }
    for event in &sends[..3] {
        assert_flow(event, "tcp", &pair.local, &pair.remote, &world.a);
    }
    for (event, to) in
        sends[3..]
            .iter()
            .zip(["10.99.1.2:9001", "10.99.1.2:9002", "[fd99:1::2]:9003"])
    {
        assert_flow(event, "udp", "", to, &world.a);
    }
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_sends_that_succeed_are_no_events_unless_asked_for() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut peer = world.a.peer("silent-sender");
    peer.ok("open u udp4");
    peer.ok("sendto u 10 10.99.1.2:9001");
    peer.fails("sendto u 11 203.0.113.9:9", libc::ENETUNREACH);
    error_of(&tracer, &peer, 11);
    let run = tracer.stop();
    assert!(run.events("send", |_| true).is_empty());
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_sends_beyond_the_rate_are_counted_with_their_bytes() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "send", "--rate", "10"]);
    let mut peer = world.a.peer("many-sends");
    let pid = peer.id.pid;
    peer.ok("open u udp4");
    peer.ok("flood u 500 100 10.99.1.2:9001");
    let run = tracer.stop();
    let sends = run.events("send", |event| event["owner"]["pid"] == pid);
    let sum = |path: &str| -> i64 { sends.iter().map(|event| number(event, path)).sum() };
    assert_eq!(sum("count"), 500);
    assert_eq!(sum("send.sent_bytes"), 50_000);
    assert!(sends.iter().any(|event| number(event, "count") > 1));
    run.assert_totals();
}

#[test]
#[ignore = "needs root"]
fn root_count_and_duration_end_a_run() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--netns", &world.a.name, "--count", "3"]);
    let mut peer = world.a.peer("counted-run");
    peer.ok("open u udp4");
    peer.ok("flood u 3 10 203.0.113.9:9");
    let run = tracer.finish(SOON);
    assert_eq!(run.events.len(), 3);
    assert!(run.exit.success());

    let tracer = Tracer::start(&["--duration", "300ms"]);
    tracer.finish(SOON).assert_totals();
}

#[test]
#[ignore = "needs root"]
fn root_a_connected_datagram_socket_has_its_remote_when_io_uring_sends() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--event", "send_error"]);
    let mut client = world.a.peer("uring-datagrams");
    let remote = format!("{}:9", world.b.v4);
    client.ok("open u udp4");
    client.ok(&format!("connect u {remote}"));
    if client.ask("uring-send u 100").errno() == Some(nix::errno::Errno::EPERM as i32) {
        scenarios::skip("io_uring is off");
        return;
    }
    // The answer of ICMP is told by the next send.
    client.ok("await-error u");
    client.fails("uring-send u 200", nix::errno::Errno::ECONNREFUSED as i32);
    let pid = client.id.pid;
    let refused = tracer.wait_for("the refusal", SOON, |event| event["owner"]["pid"] == pid);
    assert_error(&refused, "ECONNREFUSED", 111);
    assert_owner(&refused, &client.id, &["at_send"]);
    let local = client.ok("address u");
    assert_flow(&refused, "udp", &local, &remote, &world.a);
    tracer.stop().assert_complete();
}
