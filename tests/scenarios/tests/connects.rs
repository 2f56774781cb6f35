//! connect(2) that fails before anything is sent: each is told once, with its errno and its destination.

use scenarios::{SOON, Tracer, World, assert_flow, assert_owner, requires, run_sendtrace, skip};
use serde_json::Value;

/// Are the returns of connects seen on this host?
fn connects_are_seen() -> bool {
    let output = run_sendtrace(&["doctor", "--format", "json"]);
    let doctor = String::from_utf8_lossy(&output.stdout).into_owned();
    let hooks = doctor
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let sees =
        |hook: &Value| hook["program"] == "connect_tcp4" || hook["program"] == "connect_call";
    let allowed = |hook: &Value| sees(hook) && hook["status"] == "allowed";
    hooks.into_iter().any(|line| {
        allowed(&line)
            || line["hooks"]
                .as_array()
                .is_some_and(|hooks| hooks.iter().any(allowed))
    }) || skip("this kernel allows neither fexit programs nor those at the end of a system call")
}

/// Sees all connects that fail, on hosts without fexit programs too.
fn tracer(world: &World) -> Tracer {
    let netns = &world.a.name;
    Tracer::start(&[
        "--event",
        "connection",
        "--connect-errors",
        "--netns",
        netns,
    ])
}

#[test]
#[ignore = "needs root"]
fn root_each_connect_that_fails_before_a_syn_is_told_once() {
    if !requires(&[]) || !connects_are_seen() {
        return;
    }
    let world = World::pair();
    let v4 = "10.99.1.2:9300";
    let v6 = "[fd99:1::2]:9300";
    world.a.ip("route add unreachable 203.0.113.0/24");
    world.a.ip("-6 route add unreachable 2001:db8::/32");
    world.a.ip("route add prohibit 198.51.100.0/24");
    let tracer = tracer(&world);
    let mut peer = world.a.peer("no-connect");
    let mut asked = Vec::new();
    for (kind, proto, to, errno) in [
        ("tcp4", "tcp", "192.0.2.9:80", libc::ENETUNREACH),
        ("tcp6", "tcp", "[2001:dbb::9]:80", libc::ENETUNREACH),
        ("udp4", "udp", "192.0.2.9:81", libc::ENETUNREACH),
        ("udp6", "udp", "[2001:dbb::9]:81", libc::ENETUNREACH),
        ("tcp4", "tcp", "203.0.113.9:82", libc::EHOSTUNREACH),
        ("tcp6", "tcp", "[2001:db8::9]:82", libc::EHOSTUNREACH),
        ("udp4", "udp", "203.0.113.9:83", libc::EHOSTUNREACH),
        ("tcp4", "tcp", "198.51.100.9:84", libc::EACCES),
        ("udp4", "udp", "10.99.1.255:85", libc::EACCES),
    ] {
        peer.ok(&format!("open s {kind}"));
        peer.fails(&format!("connect s {to}"), errno);
        peer.ok("close s");
        asked.push((proto, to, errno));
    }
    // The only port is taken: found out after the state was set.
    world
        .a
        .sh("echo 45000 45000 > /proc/sys/net/ipv4/ip_local_port_range");
    for (kind, to) in [("tcp4", v4), ("tcp6", v6)] {
        peer.ok(&format!("open l {kind}"));
        let any = if kind == "tcp4" {
            "0.0.0.0:45000"
        } else {
            "[::]:45000"
        };
        peer.ok(&format!("bind l {any}"));
        peer.ok("listen l");
        peer.ok(&format!("open s {kind}"));
        peer.fails(&format!("connect s {to}"), libc::EADDRNOTAVAIL);
        peer.ok("close s");
        peer.ok("close l");
        asked.push(("tcp", to, libc::EADDRNOTAVAIL));
    }
    let (_, last, _) = asked[asked.len() - 1];
    tracer.wait_for("the last connect", SOON, |event| {
        event["flow"]["remote"] == last
    });
    let run = tracer.stop();
    for (proto, to, errno) in &asked {
        let found = run.events("connection", |event| event["flow"]["remote"] == *to);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert_flow(found[0], proto, "", to, &world.a);
        assert_owner(found[0], &peer.id, &["at_connect"]);
        assert_eq!(found[0]["connection"]["errno"], *errno, "{}", found[0]);
    }
    assert_eq!(run.events("connection", |_| true).len(), asked.len());
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_connect_that_fails_after_its_syn_is_told_once_and_the_next_one_on_that_socket_too() {
    if !requires(&[]) || !connects_are_seen() {
        return;
    }
    let world = World::pair();
    let tracer = tracer(&world);
    let mut peer = world.a.peer("reconnects");
    let closed = "10.99.1.2:9301";
    let nowhere = "192.0.2.9:86";
    let is_refused = |event: &Value| event["connection"]["errno"] == libc::ECONNREFUSED;
    peer.ok("open s tcp4");
    peer.fails(&format!("connect s {closed}"), libc::ECONNREFUSED);
    peer.fails(&format!("connect s {nowhere}"), libc::ENETUNREACH);
    peer.ok("open n tcp4");
    peer.ok("nonblock n");
    peer.fails(&format!("connect n {closed}"), libc::EINPROGRESS);
    let socket = tracer.wait_for("the refused connects", SOON, |event| {
        event["flow"]["local"] != Value::Null && is_refused(event)
    });
    assert_flow(&socket, "tcp", "", closed, &world.a);
    peer.ok("await-error n");
    // What is asked for a second time was told the first time.
    peer.fails(&format!("connect n {closed}"), libc::ECONNREFUSED);
    peer.fails(&format!("connect n {nowhere}"), libc::ENETUNREACH);
    peer.ok("open d udp4");
    peer.fails(&format!("connect d {nowhere}"), libc::ENETUNREACH);
    tracer.wait_for("the last connect", SOON, |event| {
        event["flow"]["remote"] == nowhere && event["flow"]["proto"] == "udp"
    });
    let run = tracer.stop();
    let count = |proto: &str, to: &str, errno: i32| {
        let told = run.events("connection", |event| {
            event["flow"]["proto"] == proto
                && event["flow"]["remote"] == to
                && event["connection"]["errno"] == errno
        });
        told.len()
    };
    assert_eq!(count("tcp", closed, libc::ECONNREFUSED), 2);
    assert_eq!(count("tcp", nowhere, libc::ENETUNREACH), 2);
    assert_eq!(count("udp", nowhere, libc::ENETUNREACH), 1);
    assert_eq!(run.events("connection", |_| true).len(), 5);
    run.assert_complete();
}
