//! Failed sends: every errno, from every kind of socket, with who asked for what.

use std::time::Duration;

use scenarios::{
    Cgroup, Connection, Peer, SOON, Tracer, World, assert_flow, assert_owner, number,
    refuse_udp4_sends, requires, skip, text,
};
use serde_json::Value;

/// The send error of this process with this many bytes: sizes tell the sends of one process apart.
fn error_of(tracer: &Tracer, peer: &Peer, bytes: u64) -> Value {
    tracer.wait_for(&format!("failed send of {bytes} bytes"), SOON, |event| {
        event["signal"] == "send_error"
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

#[test]
fn root_a_refused_datagram_fails_the_next_send() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    for (kind, remote) in [("udp4", "10.99.1.2:7998"), ("udp6", "[fd99:1::2]:7998")] {
        let mut peer = world.a.peer(&format!("refused-{kind}"));
        peer.ok(&format!("open u {kind}"));
        peer.ok(&format!("connect u {remote}"));
        peer.ok("send u 10");
        // The first datagram may still wait for an answer of the neighbour, and so does its error.
        let refused = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            peer.ask("send u 11").errno() == Some(libc::ECONNREFUSED)
        });
        assert!(refused, "{kind}: no send was refused");
        let local = peer.ok("address u");
        let event = error_of(&tracer, &peer, 11);
        assert_owner(&event, &peer.id, &["at_send"]);
        assert_flow(&event, "udp", &local, remote, &world.a);
        assert_error(&event, "ECONNREFUSED", libc::ECONNREFUSED);
    }
    tracer.stop().assert_complete();
}

#[test]
fn root_a_peer_that_closed_breaks_the_pipe() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    for v6 in [false, true] {
        let mut pair = match v6 {
            false => Connection::new(&world, "epipe-client", "epipe-server"),
            true => Connection::new6(&world, "epipe-client6", "epipe-server6"),
        };
        pair.warm_up();
        pair.client.ok("shutdown c");
        pair.client.fails("send c 777", libc::EPIPE);
        let event = error_of(&tracer, &pair.client, 777);
        assert_owner(&event, &pair.client.id, &["at_send"]);
        assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
        assert_error(&event, "EPIPE", libc::EPIPE);
    }
    tracer.stop().assert_complete();
}

#[test]
fn root_unconnected_datagrams_name_their_destination() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut peer = world.a.peer("named-dest");
    peer.ok("open u udp4");
    peer.ok("open v udp6");
    peer.ok("open r raw4");
    let (big, gone) = (
        ("EMSGSIZE", libc::EMSGSIZE),
        ("ENETUNREACH", libc::ENETUNREACH),
    );
    let cases = [
        ("sendto u 70001", "10.99.1.2:9001", "udp", big),
        ("sendmsg u 70002", "10.99.1.2:9002", "udp", big),
        ("sendto v 70003", "[fd99:1::2]:9003", "udp", big),
        ("sendmsg v 70004", "[fd99:1::2]:9004", "udp", big),
        ("sendto u 105", "203.0.113.9:9005", "udp", gone),
        ("sendmsg u 106", "203.0.113.9:9006", "udp", gone),
        ("sendto v 107", "[2001:db8::9]:9007", "udp", gone),
        ("sendmsg v 108", "[2001:db8::9]:9008", "udp", gone),
    ];
    for (command, to, proto, (name, errno)) in cases {
        peer.fails(&format!("{command} {to}"), errno);
        let bytes = command
            .rsplit(' ')
            .next()
            .and_then(|b| b.parse().ok())
            .expect("a size");
        let event = error_of(&tracer, &peer, bytes);
        assert_owner(&event, &peer.id, &["at_send"]);
        assert_flow(&event, proto, "", to, &world.a);
        assert_error(&event, name, errno);
        assert_eq!(number(&event, "count"), 1);
    }
    tracer.stop().assert_complete();
}

#[test]
fn root_ecomm_that_a_cgroup_program_made_names_the_sender() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let Some(cgroup) = Cgroup::new() else {
        skip("needs a cgroup2 mount");
        return;
    };
    refuse_udp4_sends(&cgroup, 70).expect("the kernel takes the program");
    let tracer = Tracer::start(&[]);
    let mut peer = world.a.peer("ecomm-sender");
    cgroup.add(peer.id.pid);
    peer.id.cgroup = Some(cgroup.name.clone());
    peer.ok("open u udp4");
    peer.fails("sendto u 4321 10.99.1.2:7070", 70);
    let event = error_of(&tracer, &peer, 4321);
    assert_owner(&event, &peer.id, &["at_send"]);
    assert_flow(&event, "udp", "", "10.99.1.2:7070", &world.a);
    assert_error(&event, "ECOMM", 70);
    assert_eq!(text(&event, "owner.cgroup"), cgroup.name);
    tracer.stop().assert_complete();
    peer.kill();
}

/// Counts of `counted` lines of this kind and process.
fn counted(lines: &[Value], kind: &str, pid: u32) -> u64 {
    let ours = lines
        .iter()
        .filter(|line| line["kind"] == kind && line["owner"]["pid"] == pid);
    ours.filter_map(|line| line["count"].as_u64()).sum()
}

#[test]
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
fn root_would_block_is_listed_when_asked_for() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--would-block"]);
    let mut pair = Connection::new(&world, "listed-client", "listed-server");
    pair.client.tell("fill c 2000000");
    assert_eq!(pair.client.reply(SOON).number("would_block"), 50);
    let pid = pair.client.id.pid;
    let events = tracer.wait_for_count("would-block sends", 50, SOON, |event| {
        event["signal"] == "send_error" && event["owner"]["pid"] == pid
    });
    for event in &events {
        assert_owner(event, &pair.client.id, &["at_send"]);
        assert_flow(event, "tcp", &pair.local, &pair.remote, &world.a);
        assert_error(event, "EAGAIN", libc::EAGAIN);
        assert_eq!(number(event, "send_error.requested_bytes"), 2_000_000);
    }
    let run = tracer.stop();
    assert_eq!(
        run.events("send_error", |event| event["owner"]["pid"] == pid)
            .len(),
        50
    );
    run.assert_complete();
}

#[test]
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

#[test]
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
    tracer.finish(Duration::from_secs(3)).assert_totals();
}
