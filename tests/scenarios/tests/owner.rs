//! Whose socket it was: the hard cases. Wrong is worse than unknown.

use std::collections::BTreeMap;

use scenarios::{
    Connection, Identity, Peer, SOON, Tracer, World, assert_flow, assert_owner, number, requires,
    text,
};
use serde_json::Value;

/// The first retransmit from this end.
fn retransmit_of(tracer: &Tracer, local: &str) -> Value {
    tracer.wait_for(&format!("retransmit from {local}"), SOON, |event| {
        event["event"] == "retransmit" && event["flow"]["local"] == local
    })
}

/// The reset that this end received.
fn reset_at(tracer: &Tracer, local: &str) -> Value {
    tracer.wait_for(&format!("RST at {local}"), SOON, |event| {
        event["event"] == "reset"
            && event["reset"]["direction"] == "received"
            && event["flow"]["local"] == local
    })
}

#[test]
#[ignore = "needs root"]
fn root_sockets_older_than_the_tracer_are_seeded_until_they_send() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let mut idle = Connection::new(&world, "seed-idle", "seed-idle-srv");
    idle.warm_up();
    let mut busy = Connection::new(&world, "seed-busy", "seed-busy-srv");
    busy.warm_up();
    let tracer = Tracer::start(&[]);

    idle.server.ok("linger0 s");
    idle.server.ok("close s");
    let event = reset_at(&tracer, &idle.local);
    assert_owner(&event, &idle.client.id, &["seeded"]);
    assert_flow(&event, "tcp", &idle.local, &idle.remote, &world.a);

    world.on_the_path(&["drop"]);
    busy.client.ok("send c 1000");
    let event = retransmit_of(&tracer, &busy.local);
    assert_owner(&event, &busy.client.id, &["at_send"]);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_the_vanished_client_of_an_accepted_socket_is_not_blamed() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "gone-client", "gone-server");
    pair.warm_up();
    world.on_the_path(&["drop"]);
    pair.client.kill();
    pair.server.ok("send s 5000");
    let event = retransmit_of(&tracer, &pair.remote);
    assert_owner(&event, &pair.server.id, &["at_send"]);
    assert_flow(&event, "tcp", &pair.remote, &pair.local, &world.b);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_process_that_exits_with_data_in_flight_stays_the_owner() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "early-exit", "early-exit-srv");
    pair.warm_up();
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 20000");
    pair.client.exit();
    let event = tracer.wait_for("retransmit of a closed socket", SOON, |event| {
        event["event"] == "retransmit"
            && event["flow"]["local"] == pair.local.as_str()
            && event["tcp"]["state"] == "FIN_WAIT1"
    });
    assert_owner(&event, &pair.client.id, &["last_known"]);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_two_processes_that_share_a_socket_are_both_listed() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "share-parent", "share-server");
    pair.warm_up();
    let mut child = pair.client.fork();
    child.rename("share-child");
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 2000");
    child.ok("send c 2000");
    let fd: u64 = pair.client.ok("fd c").parse().expect("a descriptor");
    let event = retransmit_of(&tracer, &pair.local);
    assert_eq!(text(&event, "owner.grade"), "shared", "{event}");
    let holders = event["owner"]["holders"].as_array().expect("holders");
    assert_eq!(holders.len(), 2, "{event}");
    for who in [&pair.client.id, &child.id] {
        let holder = holders.iter().find(|holder| holder["pid"] == who.pid);
        let holder = holder.unwrap_or_else(|| panic!("no {who:?} in {event}"));
        assert_eq!(text(holder, "comm"), who.comm);
        assert!(who.started_at(text(holder, "started")), "{event}");
        assert_eq!(number(holder, "fd") as u64, fd);
    }
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_socket_passed_to_another_process_belongs_to_who_sends() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let dir = tempfile::tempdir().expect("a directory");
    let channel = dir.path().join("channel").display().to_string();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "rights-giver", "rights-server");
    pair.warm_up();
    let mut taker = world.a.peer("rights-taker");
    taker.ok("open l unix-stream");
    taker.ok(&format!("bind l {channel}"));
    taker.ok("listen l");
    pair.client.ok("open g unix-stream");
    pair.client.ok(&format!("connect g {channel}"));
    taker.ok("accept l t");
    pair.client.ok("give g c");
    taker.ok("take t c");
    pair.client.ok("close c");
    world.on_the_path(&["drop"]);
    taker.ok("send c 3000");
    let event = retransmit_of(&tracer, &pair.local);
    assert_owner(&event, &taker.id, &["at_send"]);
    assert_flow(&event, "tcp", &pair.local, &pair.remote, &world.a);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_socket_left_to_a_child_belongs_to_the_child() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "fork-parent", "fork-server");
    pair.warm_up();
    let mut child = pair.client.fork();
    child.rename("fork-child");
    pair.client.ok("close c");
    world.on_the_path(&["drop"]);
    child.ok("send c 3000");
    let event = retransmit_of(&tracer, &pair.local);
    assert_owner(&event, &child.id, &["at_send"]);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_an_accepted_socket_that_only_receives_belongs_to_who_accepted() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "talker", "listener-only");
    pair.client.ok("send c 100");
    pair.server.ok("recv s");
    pair.client.ok("linger0 c");
    pair.client.ok("close c");
    let event = reset_at(&tracer, &pair.remote);
    // Where no hook sees accept(2), the owner is found among the open files.
    assert_owner(&event, &pair.server.id, &["at_accept", "seeded"]);
    assert_flow(&event, "tcp", &pair.remote, &pair.local, &world.b);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_two_hundred_short_lives_are_never_mixed_up() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut owners = BTreeMap::new();
    let children: Vec<_> = (0..200)
        .map(|n| {
            let port = 20_000 + n;
            let comm = format!("comm short-{n}");
            let send = format!("sendto u 10 203.0.113.9:{port}");
            let child = Peer::one_shot(&world.a.path(), &[&comm, "open u udp4", &send]);
            // A zombie until it is waited for, so /proc still knows when it started.
            owners.insert(
                format!("203.0.113.9:{port}"),
                (Identity::read(child.id()), format!("short-{n}")),
            );
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains(&format!("err {}", libc::ENETUNREACH)),
            "{said}"
        );
    }
    let remote = |event: &Value| {
        event["flow"]["remote"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    // The processes have ended: what is not in the rings by now never comes.
    let run = tracer.stop();
    for event in run.events("send_error", |event| {
        event["flow"]["netns"] == world.a.netns()
    }) {
        let (who, comm) = owners.remove(&remote(event)).expect("one event for each");
        let who = Identity { comm, ..who };
        assert_owner(event, &who, &["at_send"]);
    }
    // A kernel that preempts programs skips those that meet the same program on their CPU, and says how many.
    let missed = run.totals["send_error"]["missed"].as_u64().unwrap_or(0);
    assert!(owners.len() as u64 <= missed, "{missed} missed: {owners:?}");
    run.assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_sender_that_takes_another_name_is_shown_under_it() {
    if !requires(&["nft"]) {
        return;
    }
    let world = World::routed();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "name-before", "name-server");
    pair.warm_up();
    pair.client.rename("name-after");
    world.on_the_path(&["drop"]);
    pair.client.ok("send c 3000");
    let event = retransmit_of(&tracer, &pair.local);
    assert_owner(&event, &pair.client.id, &["at_send"]);
    tracer.stop().assert_complete();
}

#[test]
#[ignore = "needs root"]
fn root_a_child_that_inherited_and_ended_is_not_confused_with_who_connected() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, "left-parent", "left-server");
    let mut child = pair.client.fork();
    pair.client.ok("close c");
    // The tracer sleeps while the child learns of the reset and ends.
    tracer.signal(nix::sys::signal::Signal::SIGSTOP);
    pair.server.ok("linger0 s");
    pair.server.ok("close s");
    child.fails("recv c", libc::ECONNRESET);
    child.exit();
    tracer.signal(nix::sys::signal::Signal::SIGCONT);
    let event = reset_at(&tracer, &pair.local);
    assert_eq!(text(&event, "owner.grade"), "last_known", "{event}");
    tracer.stop().assert_complete();
}

/// The reset comes while the tracer sleeps; what `after` does comes before it looks who holds the socket.
fn reset_then(after: impl FnOnce(&mut Connection, &World), comm: &str) -> (Value, Identity) {
    let world = World::pair();
    let tracer = Tracer::start(&[]);
    let mut pair = Connection::new(&world, comm, "rst-server");
    tracer.signal(nix::sys::signal::Signal::SIGSTOP);
    pair.server.ok("linger0 s");
    pair.server.ok("close s");
    let id = pair.client.id.clone();
    after(&mut pair, &world);
    tracer.signal(nix::sys::signal::Signal::SIGCONT);
    let event = reset_at(&tracer, &pair.local);
    tracer.stop().assert_complete();
    (event, id)
}

#[test]
#[ignore = "needs root"]
fn root_a_child_that_was_forked_after_a_reset_is_not_its_owner() {
    if !requires(&[]) {
        return;
    }
    let mut child = None;
    let (event, parent) = reset_then(
        |pair, _| {
            child = Some(pair.client.fork());
            pair.client.exit();
        },
        "late-parent",
    );
    assert_owner(&event, &parent, &["last_known"]);
    assert!(
        text(&event, "owner.why").contains("started after this"),
        "{event}"
    );
}

#[test]
#[ignore = "needs root"]
fn root_a_process_that_was_given_the_socket_after_a_reset_is_not_its_owner() {
    if !requires(&[]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let channel = dir.path().join("channel").display().to_string();
    let mut taker = None;
    let (event, giver) = reset_then(
        |pair, world| {
            let mut to = world.a.peer("late-taker");
            to.ok("open l unix-stream");
            to.ok(&format!("bind l {channel}"));
            to.ok("listen l");
            pair.client.ok("open g unix-stream");
            pair.client.ok(&format!("connect g {channel}"));
            to.ok("accept l t");
            pair.client.ok("give g c");
            to.ok("take t c");
            pair.client.ok("close c");
            taker = Some(to);
        },
        "late-giver",
    );
    assert_owner(&event, &giver, &["last_known"]);
}
