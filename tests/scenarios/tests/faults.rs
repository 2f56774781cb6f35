//! The faults themselves, without `sendtrace`: they must really occur, or the other tests prove nothing.

use std::time::Duration;

use scenarios::{
    Cgroup, Connection, Identity, Peer, SOON, World, kernel_ids, refuse_datagrams, requires, skip,
};

#[test]
#[ignore = "needs root"]
fn root_loss_on_the_path_makes_tcp_retransmit() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    world.a.ip("link set eth0 gso_max_segs 1");
    let mut pair = Connection::new(&world, "client", "server");
    pair.warm_up();
    let before = world.a.snmp("Tcp", "RetransSegs");
    world.on_the_path(&["ip saddr 10.99.1.1 numgen random mod 100 < 3 drop"]);
    pair.server.tell("drain s");
    pair.client.tell("pump c 8000000");
    pair.client.reply(Duration::from_secs(120));
    world.on_the_path(&[]);
    pair.client.ok("shutdown c");
    assert_eq!(pair.server.reply(SOON), "ok 8000000".into());
    assert!(world.a.snmp("Tcp", "RetransSegs") > before + 20);
}

#[test]
#[ignore = "needs root"]
fn root_a_black_hole_ends_a_connection() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let mut pair = Connection::new6(&world, "client", "server");
    pair.warm_up();
    pair.client.ok("user-timeout c 1500");
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.fails("recv c", libc::ETIMEDOUT);
    assert!(world.a.snmp("Tcp", "RetransSegs") >= 1);
}

#[test]
#[ignore = "needs root"]
fn root_handshakes_that_nobody_answers_are_repeated() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let (mut server, mut client, mut lost) = (
        world.b.peer("server"),
        world.a.peer("client"),
        world.a.peer("lost"),
    );
    server.ok("open l tcp4");
    server.ok("bind l 10.99.2.2:7000");
    server.ok("listen l");
    world.on_the_path(&[
        "ip saddr 10.99.1.1 tcp flags & (syn | ack) == ack drop",
        "ip saddr 10.99.1.1 tcp dport 7001 drop",
    ]);
    client.ok("open c tcp4");
    client.ok("connect c 10.99.2.2:7000");
    lost.ok("open c tcp4");
    lost.ok("syn-retries c 1");
    lost.fails("connect c 10.99.2.2:7001", libc::ETIMEDOUT);
    assert!(world.b.snmp("Tcp", "RetransSegs") >= 1, "SYN-ACK");
    assert!(world.a.snmp("Tcp", "RetransSegs") >= 1, "SYN");
}

#[test]
#[ignore = "needs root"]
fn root_a_full_queue_drops() {
    if !requires(&["tc"]) {
        return;
    }
    let world = World::pair();
    world.a.ip("link set eth0 gso_max_segs 1");
    let mut pair = Connection::new(&world, "client", "server");
    pair.warm_up();
    let dropped = || {
        let said = world.a.sh("tc -s qdisc show dev eth0");
        let count = said
            .split("dropped ")
            .nth(1)
            .and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("{said}"))
    };
    world
        .a
        .sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 6k");
    pair.client.ok("send c 60000");
    assert!(dropped() > 0);
    let before = dropped();
    let mut udp = world.a.peer("udp");
    udp.ok("open u udp4");
    udp.ok("flood u 50 1000 10.99.1.2:9");
    assert!(dropped() > before);
}

#[test]
#[ignore = "needs root"]
fn root_a_reset_and_the_firewall_fail_sends() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::pair();
    let mut pair = Connection::new(&world, "client", "server");
    pair.warm_up();
    pair.server.ok("linger0 s");
    pair.server.ok("close s");
    pair.client.fails("send c 100", libc::ECONNRESET);
    pair.client.fails("send c 100", libc::EPIPE);
    assert_eq!(world.b.snmp("Tcp", "OutRsts"), 1);
    pair.client.ok("open d tcp4");
    pair.client
        .fails("connect d 10.99.1.2:7999", libc::ECONNREFUSED);
    pair.client.ok("open u udp4");
    for rule in ["udp dport 5353 drop", "udp dport 5353 reject"] {
        world.a.filter("output", &[rule]);
        pair.client
            .fails("sendto u 300 10.99.1.2:5353", libc::EPERM);
    }
    pair.client.ok("connect u 10.99.1.2:7998");
    pair.client.ok("send u 10");
    pair.client.fails("send u 11", libc::ECONNREFUSED);
}

#[test]
#[ignore = "needs root"]
fn root_each_kind_of_socket_can_fail() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let mut peer = world.a.peer("odd-sockets");
    for (open, send, errno) in [
        (
            "open u udp4",
            "sendto u 70001 10.99.1.2:9001",
            libc::EMSGSIZE,
        ),
        (
            "open u udp4",
            "sendmsg u 106 203.0.113.9:9006",
            libc::ENETUNREACH,
        ),
        (
            "open v udp6",
            "sendmsg v 70004 [fd99:1::2]:9004",
            libc::EMSGSIZE,
        ),
        (
            "open v udp6",
            "sendto v 107 [2001:db8::9]:9007",
            libc::ENETUNREACH,
        ),
        (
            "open r raw4",
            "sendto r 301 203.0.113.9:0",
            libc::ENETUNREACH,
        ),
        (
            "open q raw6",
            "sendto q 302 [2001:db8::9]:0",
            libc::ENETUNREACH,
        ),
        ("open p packet", "send p 303", libc::ENXIO),
        (
            "open n netlink",
            "sendto n 304 netlink:4242",
            libc::ECONNREFUSED,
        ),
        (
            "open d unix-dgram",
            "sendto d 305 /nobody/listens/here",
            libc::ENOENT,
        ),
    ] {
        peer.ok(open);
        peer.fails(send, errno);
    }
    let mut pair = Connection::new(&world, "client", "server");
    pair.client.tell("fill c 3000000");
    let reply = pair.client.reply(SOON);
    assert!(
        reply.number("would_block") == 50 && reply.number("partial") > 0,
        "{reply:?}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_a_cgroup_program_can_put_any_errno_on_a_send() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let Some(cgroup) = Cgroup::new() else {
        skip("needs a cgroup2 mount");
        return;
    };
    refuse_datagrams(&cgroup, false, 70).expect("the kernel takes the program");
    let (mut inside, mut outside) = (world.a.peer("inside"), world.a.peer("outside"));
    cgroup.add(inside.id.pid);
    assert_eq!(
        Identity::read(inside.id.pid).cgroup.as_ref(),
        Some(&cgroup.name)
    );
    inside.ok("open u udp4");
    inside.fails("sendto u 10 10.99.1.2:7070", 70);
    outside.ok("open u udp4");
    outside.ok("sendto u 10 10.99.1.2:7070");
    assert!(kernel_ids().iter().any(|(kind, _)| *kind == "prog"));
    inside.kill();
}

#[test]
#[ignore = "needs root"]
fn root_sockets_survive_fork_and_travel() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a directory");
    let channel = dir.path().join("channel").display().to_string();
    let mut pair = Connection::new(&world, "parent", "server");
    let mut child = pair.client.fork();
    child.rename("child");
    assert_ne!(child.id.pid, pair.client.id.pid);
    assert_eq!(Identity::read(child.id.pid).comm, "child");
    assert_eq!(Identity::read(pair.client.id.pid).comm, "parent");
    let mut grandchild = child.fork();
    pair.client.ok("close c");
    for sender in [&mut child, &mut grandchild] {
        sender.ok("send c 10");
        pair.server.ok("recv s");
    }
    let mut taker = world.a.peer("taker");
    taker.ok("open l unix-stream");
    taker.ok(&format!("bind l {channel}"));
    taker.ok("listen l");
    child.ok("open g unix-stream");
    child.ok(&format!("connect g {channel}"));
    taker.ok("accept l t");
    child.ok("give g c");
    taker.ok("take t c");
    child.exit();
    taker.ok("send c 10");
    pair.server.ok("recv s");
    let shot = Peer::one_shot(
        &world.a.path(),
        &["comm shot", "open u udp4", "sendto u 10 203.0.113.9:9"],
    );
    let said = String::from_utf8(shot.wait_with_output().expect("it ends").stdout).expect("text");
    assert!(
        said.contains(&format!("err {}", libc::ENETUNREACH)),
        "{said}"
    );
}
