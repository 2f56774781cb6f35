//! Resets and connections that fail: the difference between a stall and a disconnect.

use scenarios::{Connection, SOON, Tracer, World, assert_flow, assert_owner, requires, text};

#[test]
#[ignore = "needs root"]
fn root_a_reset_is_seen_at_both_ends() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "rst-receiver", "rst-sender");
    pair.warm_up();
    pair.server.ok("linger0 s");
    pair.server.ok("close s");
    let [client, server] = [pair.client.id.clone(), pair.server.id.clone()];

    let sent = tracer.wait_for("RST sent", SOON, |event| {
        event["event"] == "reset"
            && event["reset"]["direction"] == "sent"
            && event["owner"]["pid"] == server.pid
    });
    assert_owner(&sent, &server, &["at_send", "last_known"]);
    assert_flow(&sent, "tcp", &pair.remote, &pair.local, &world.b);

    let received = tracer.wait_for("RST received", SOON, |event| {
        event["event"] == "reset"
            && event["reset"]["direction"] == "received"
            && event["owner"]["pid"] == client.pid
    });
    assert_owner(&received, &client, &["at_send"]);
    assert_flow(&received, "tcp", &pair.local, &pair.remote, &world.a);

    let died = tracer.wait_for("the connection's end", SOON, |event| {
        event["event"] == "connection" && event["owner"]["pid"] == client.pid
    });
    assert_eq!(text(&died, "connection.from"), "ESTABLISHED");
    assert_eq!(text(&died, "connection.to"), "CLOSE");
    assert_eq!(text(&died, "connection.name"), "ECONNRESET");

    // The first send sees the reset, the next a closed connection.
    pair.client.fails("send c 100", libc::ECONNRESET);
    pair.client.fails("send c 200", libc::EPIPE);
    for (name, bytes) in [("ECONNRESET", 100), ("EPIPE", 200)] {
        let event = tracer.wait_for(name, SOON, |event| {
            event["event"] == "send_error"
                && event["owner"]["pid"] == client.pid
                && event["send_error"]["name"] == name
        });
        assert_owner(&event, &client, &["at_send"]);
        assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
        assert_eq!(event["send_error"]["requested_bytes"], bytes, "{event}");
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_refused_connect_says_so() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    for (kind, local, remote) in [
        ("tcp4", "10.99.1.1:", "10.99.1.2:7999".to_owned()),
        ("tcp6", "[fd99:1::1]:", "[fd99:1::2]:7999".to_owned()),
    ] {
        let mut client = world.a.peer(&format!("refused-{kind}"));
        client.ok(&format!("open c {kind}"));
        client.fails(&format!("connect c {remote}"), libc::ECONNREFUSED);
        let event = tracer.wait_for("the refusal", SOON, |event| {
            event["event"] == "connection" && event["owner"]["pid"] == client.id.pid
        });
        assert_owner(&event, &client.id, &["at_connect"]);
        assert_flow(&event, "tcp", "", &remote, &world.a);
        assert!(text(&event, "flow.local").starts_with(local), "{event}");
        assert_eq!(text(&event, "connection.from"), "SYN_SENT");
        assert_eq!(text(&event, "connection.to"), "CLOSE");
        assert_eq!(text(&event, "connection.name"), "ECONNREFUSED");
    }
    // The RST to a closed port is nobody's: said with a reason, never a guess.
    let run = tracer.stop();
    let resets = run.events("reset", |event| event["flow"]["netns"] == world.b.netns());
    assert!(!resets.is_empty(), "each connect was answered");
    for event in resets {
        assert!(
            event["owner"]["pid"].is_null(),
            "a RST to a closed port has no owner: {event}"
        );
    }
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_an_orderly_close_is_no_failure() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&["--netns", &world.a.name]);
    let mut pair = Connection::new(&world, "tidy-client", "tidy-server");
    pair.warm_up();
    pair.client.ok("shutdown c");
    pair.server.ok("close s");
    // A failure after it, so that the tidy one had every chance to be listed before.
    pair.client.ok("open d tcp4");
    pair.client
        .fails("connect d 10.99.1.2:7999", libc::ECONNREFUSED);
    tracer.wait_for("the refusal", SOON, |event| {
        event["connection"]["name"] == "ECONNREFUSED"
    });
    let run = tracer.stop();
    let listed = run.events("connection", |event| {
        event["flow"]["remote"] == pair.remote.as_str()
    });
    assert!(listed.is_empty(), "{listed:?}");
    run.assert_complete();
}
