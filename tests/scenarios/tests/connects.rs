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
    let allowed = |hook: &Value| hook["program"] == "connect_tcp4" && hook["status"] == "allowed";
    hooks.into_iter().any(|line| {
        allowed(&line)
            || line["hooks"]
                .as_array()
                .is_some_and(|hooks| hooks.iter().any(allowed))
    }) || skip("this kernel allows no fexit programs")
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
    let tracer = Tracer::start(&["--event", "connection", "--netns", &world.a.name]);
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
