//! Retransmits under an impaired path: the kernel's counters against our counts per cause.
//!
//! netem on the router's link loses, delays, reorders or doubles what the sender sends. Where the kernel has
//! no netem, nftables loses at random; the rest is unsupported there. What each counter counts, from
//! `net/ipv4/tcp_{output,input,timer,minisocks}.c` and `inet_connection_sock.c`, is in [`Story::relations`].

mod retransmits;

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use retransmits::{Impaired, Relation, Story};
use scenarios::{
    Connection, Counters, Outcome, SOON, TraceInstance, Tracer, World, check_line, own_machine,
    requires,
};

/// Per run where losses are counted: 200 bundles at least, of which 6 % are 12.
const MANY_BYTES: usize = 1_200_000;
/// Per run where nothing need be sent again.
const SOME_BYTES: usize = 400_000;
/// Under software emulation a transfer is slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is done to a transfer, under which name, with how many bytes, and how many segments must be sent again at
/// least for the run to mean something.
const TRANSFERS: [(&str, Impaired, usize, u64); 6] = [
    ("loss", Impaired::Netem("loss 6%"), MANY_BYTES, 5),
    ("delay", Impaired::Netem("delay 4ms 3ms"), SOME_BYTES, 0),
    (
        "reordering",
        Impaired::Netem("delay 4ms reorder 30% 50%"),
        SOME_BYTES,
        0,
    ),
    (
        "duplication",
        Impaired::Netem("duplicate 5%"),
        SOME_BYTES,
        0,
    ),
    (
        "all of it",
        Impaired::Netem("delay 3ms 2ms loss 6% duplicate 2% reorder 20% 50%"),
        MANY_BYTES,
        5,
    ),
    (
        "loss by nftables",
        Impaired::Rule("numgen random mod 100 < 6 drop"),
        MANY_BYTES,
        5,
    ),
];

/// So often the whole is played where the host withheld events from every program of ours, or the kernel skipped some
/// (a program that is interrupted by itself) and the totals say so.
const AGAIN: usize = 3;

#[test]
#[ignore = "needs root"]
fn root_counts_per_cause_agree_with_the_kernels_counters() {
    if !requires(&["nft", "tc"]) {
        return;
    }
    let mut tries = 0;
    while let Err(why) = play(tries + 1 == AGAIN) {
        tries += 1;
        let (unseen, story) = why;
        assert!(unseen > 0 && tries < AGAIN, "{story}");
        eprintln!(
            "{unseen} firings interrupted a task of process 1, for which this host may run no program, or were missed: \
             once more\n{story}"
        );
    }
}

/// All stories; `Err`: what is wrong, with the firings that a host may withhold or that were missed. Checks are told when
/// they all hold, and the `last` time.
fn play(last: bool) -> Result<(), (u64, String)> {
    let tracer = Tracer::start(&["--event", "retransmit"]);
    // A machine of our own withholds nothing, though its process 1 is often at hand.
    let tracepoints = ["tcp/tcp_retransmit_skb", "tcp/tcp_retransmit_synack"];
    let trace_instance = match own_machine() {
        true => None,
        false => TraceInstance::of(&tracepoints),
    };
    // Most of this waits for timers, so it runs side by side: each world has counters and a path of its own.
    let ended: Vec<Ended> = thread::scope(|threads| {
        let tracer = &tracer;
        let mut all = Vec::new();
        for v6 in [false, true] {
            all.push(threads.spawn(move || transfers(v6)));
            all.push(threads.spawn(move || timers(tracer, v6)));
        }
        let ended = all.into_iter().map(|thread| thread.join());
        let ended = ended.map(|stories| stories.unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect()
    });
    let fired = trace_instance.map(|trace_instance| trace_instance.firings());
    let run = tracer.stop();
    let missed = run.totals["retransmit"]["missed"].as_u64().unwrap_or(0);
    let stories = || ended.iter().filter_map(|one| one.as_ref().ok());
    if missed > 0 && !last && stories().any(|story| story.judge(&run).0 != Outcome::Pass) {
        return Err((missed, format!("totals {}", run.totals)));
    }
    for (check, why) in ended.iter().filter_map(|one| one.as_ref().err()) {
        check_line("retransmit", check, Outcome::Unsupported, why);
    }
    let mut wrong = Vec::new();
    for story in stories() {
        if !story.tell(&run) {
            wrong.push(story.list(&run));
        }
    }
    run.assert_complete();
    if wrong.is_empty() {
        return Ok(());
    }
    let story = format!(
        "totals {}; the trace buffer has (all, of process 1) {fired:?}; events of the checks that failed:\n{}stderr:\n{}",
        run.totals,
        wrong.concat(),
        run.stderr
    );
    Err((fired.map_or(0, |(_, of_init)| of_init), story))
}

/// A story, or a check that this kernel cannot make, and why.
type Ended = Result<Story, (String, String)>;

/// One transfer after the other, each on a path that is impaired in its own way.
fn transfers(v6: bool) -> Vec<Ended> {
    let world = World::routed();
    // Bundles of up to four segments, so that an event may stand for several.
    world.a.ip("link set eth0 gso_max_segs 4");
    let mut stories = Vec::new();
    for (name, impaired, bytes, least) in TRANSFERS {
        let check = format!("{name} tcp{}", if v6 { 6 } else { 4 });
        match impaired.begin(&world) {
            Ok(()) => stories.push(Ok(transfer(&world, check, v6, bytes, least))),
            Err(why) => stories.push(Err((check, why))),
        }
        impaired.end(&world);
    }
    stories
}

/// What is lost is all of its kind, for as long as it takes a timer to see it.
fn timers(tracer: &Tracer, v6: bool) -> Vec<Ended> {
    let world = World::routed();
    vec![
        Ok(tails(&world, tracer, v6)),
        Ok(handshakes(&world, tracer, v6, "SYN")),
        Ok(handshakes(&world, tracer, v6, "SYN-ACK")),
    ]
}

/// A connection opens, sends and closes on an impaired path.
fn transfer(world: &World, check: String, v6: bool, bytes: usize, least: u64) -> Story {
    let watcher = world.a.peer("watcher");
    let before = Counters::of(&watcher);
    let mut pair = connect(world, v6);
    pair.server.tell("drain s");
    pair.client.tell(&format!("pump c {bytes}"));
    pair.client.reply(PATIENCE);
    pair.client.ok("shutdown c");
    let drained = pair.server.reply(PATIENCE);
    assert_eq!(drained, format!("ok {bytes}").as_str().into());
    pair.server.ok("close s");
    pair.client.ok("close c");
    settle(watcher.id.pid);
    Story {
        check,
        ends: vec![(pair.local.clone(), Some(pair.remote.clone()))],
        netns: world.a.netns(),
        counters: Counters::of(&watcher).since(&before),
        // A bulk sender has new data at hand, and a loss probe sends that first.
        probes: Relation::AtMost,
        least,
    }
}

/// Several connections whose last segments are lost, all of them: each probes once, then times out.
fn tails(world: &World, tracer: &Tracer, v6: bool) -> Story {
    let watcher = world.a.peer("watcher");
    let before = Counters::of(&watcher);
    let mut pairs: Vec<_> = (0..4).map(|_| connect(world, v6)).collect();
    for pair in &mut pairs {
        pair.warm_up();
    }
    world.on_the_path(&["meta l4proto tcp drop"]);
    for pair in &mut pairs {
        // Fewer segments than the congestion window: nothing new is left to probe with.
        pair.client.ok("send c 3000");
    }
    let netns = world.a.netns();
    for pair in &pairs {
        tracer.wait_for_count("two time-outs", 2, PATIENCE, |event| {
            let flow = &event["flow"];
            flow["local"] == pair.local.as_str()
                && flow["remote"] == pair.remote.as_str()
                && flow["netns"] == netns
                && event["retransmit"]["cause"] == "rto"
        });
    }
    let ends = pairs.iter();
    let ends = ends.map(|pair| (pair.local.clone(), Some(pair.remote.clone())));
    let ends: Vec<_> = ends.collect();
    world.on_the_path(&[]);
    for pair in &mut pairs {
        pair.client.ok("shutdown c");
        pair.server.tell("drain s");
        assert_eq!(pair.server.reply(PATIENCE), "ok 3000".into());
        pair.server.ok("close s");
        pair.client.ok("close c");
    }
    settle(watcher.id.pid);
    Story {
        check: format!("lost tails tcp{}", if v6 { 6 } else { 4 }),
        ends,
        netns,
        counters: Counters::of(&watcher).since(&before),
        probes: Relation::Exactly,
        least: 12,
    }
}

/// Connects of which one half of the handshake is lost for a while, seen from the end that repeats itself: the
/// client its SYN, or the listener its SYN-ACK, by itself and when the client asks again.
fn handshakes(world: &World, tracer: &Tracer, v6: bool, lost: &'static str) -> Story {
    // The SYN-ACK is repeated twice: by the timer of the listener, and when the SYN comes again.
    let (cause, rule, host, each) = match lost {
        "SYN" => ("syn", "tcp flags & (syn | ack) == syn drop", &world.a, 1),
        _ => (
            "synack",
            "tcp flags & (syn | ack) == syn | ack drop",
            &world.b,
            2,
        ),
    };
    let watcher = host.peer("watcher");
    let before = Counters::of(&watcher);
    world.on_the_path(&[rule]);
    let mut client = world.a.peer("syn-client");
    let mut server = world.b.peer("syn-server");
    let (kind, any_port) = if v6 {
        ("tcp6", format!("[{}]:0", world.b.v6))
    } else {
        ("tcp4", format!("{}:0", world.b.v4))
    };
    server.ok(&format!("open l {kind}"));
    server.ok(&format!("bind l {any_port}"));
    server.ok("listen l");
    let remote = server.ok("address l");
    let sockets = ["c1", "c2", "c3"];
    let mut clients = Vec::new();
    for name in sockets {
        client.ok(&format!("open {name} {kind}"));
        client.ok(&format!("nonblock {name}"));
        client.fails(&format!("connect {name} {remote}"), libc::EINPROGRESS);
        clients.push(client.ok(&format!("address {name}")));
    }
    let netns = host.netns();
    for end in &clients {
        tracer.wait_for_count("a handshake again", each, PATIENCE, |event| {
            let flow = &event["flow"];
            let is = |local: &str, other: &str| flow["local"] == local && flow["remote"] == other;
            (is(end, &remote) || is(&remote, end))
                && flow["netns"] == netns
                && event["retransmit"]["cause"] == cause
        });
    }
    world.on_the_path(&[]);
    // In the order in which they get through, which is not known here.
    for name in sockets {
        server.tell(&format!("accept l {name}"));
        server.reply(PATIENCE);
    }
    for name in sockets {
        server.ok(&format!("close {name}"));
        client.ok(&format!("close {name}"));
    }
    settle(watcher.id.pid);
    Story {
        check: format!("lost {lost}s {kind}"),
        ends: match lost {
            "SYN" => {
                let ends = clients.into_iter();
                ends.map(|client| (client, Some(remote.clone()))).collect()
            }
            _ => vec![(remote, None)],
        },
        netns,
        counters: Counters::of(&watcher).since(&before),
        probes: Relation::Exactly,
        least: (sockets.len() * each) as u64,
    }
}

fn connect(world: &World, v6: bool) -> Connection {
    match v6 {
        false => Connection::new(world, "netem-sender", "netem-receiver"),
        true => Connection::new6(world, "netem-sender", "netem-receiver"),
    }
}

/// Waits until no connection of the namespace can send again: all are gone or in TIME_WAIT.
fn settle(pid: u32) {
    let end = Instant::now() + PATIENCE;
    loop {
        let busy = ["tcp", "tcp6"].iter().any(|file| {
            let path = format!("/proc/{pid}/net/{file}");
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            // Fourth word of a line: 06 is TIME_WAIT, 0A is LISTEN.
            text.lines()
                .skip(1)
                .any(|line| !matches!(line.split_whitespace().nth(3), Some("06" | "0A")))
        });
        if !busy {
            return;
        }
        assert!(Instant::now() < end, "connections do not end");
        thread::sleep(SOON / 1000);
    }
}
