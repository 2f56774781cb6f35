//! Filters run in the kernel: what does not match is counted as filtered and costs no line.

use std::collections::BTreeSet;

use scenarios::{Cgroup, Host, Peer, Tracer, World, requires, skip};

/// One process with four failing sends; the sizes tell them apart.
struct Sender {
    peer: Peer,
    first: u64,
    remote: &'static str,
}

impl Sender {
    fn new(host: &Host, comm: &str, first: u64, remote: &'static str) -> Self {
        let mut peer = host.peer(comm);
        for open in ["open u udp4", "open v udp6", "open d unix-dgram"] {
            peer.ok(open);
        }
        Self {
            peer,
            first,
            remote,
        }
    }

    fn fail_four_times(&mut self) {
        let (first, remote) = (self.first, self.remote);
        self.peer.fails(
            &format!("sendto u {} {remote}:{}", first + 1, 4001),
            libc::ENETUNREACH,
        );
        self.peer.fails(
            &format!("sendto v {} [2001:db8::9]:{}", first + 2, 4002),
            libc::ENETUNREACH,
        );
        self.peer.fails(
            &format!("sendto u {} 127.0.0.1:{}", first + 70_003, 4003),
            libc::EMSGSIZE,
        );
        self.peer.fails(
            &format!("sendto d {} /nobody/listens/here", first + 4),
            libc::ENOENT,
        );
    }
}

#[test]
#[ignore = "needs root"]
fn root_each_filter_lets_through_what_matches_and_nothing_else() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let Some(cgroup) = Cgroup::new() else {
        skip("needs a cgroup2 mount");
        return;
    };
    let mut wanted = Sender::new(&world.a, "flt-wanted", 400, "203.0.113.9");
    let mut other = Sender::new(&world.b, "flt-other", 500, "198.51.100.9");
    cgroup.add(wanted.peer.id.pid);
    let pid = wanted.peer.id.pid.to_string();
    let by_pid = format!("pid:{pid}");
    let path = world.a.path().display().to_string();
    let all_wanted: &[u64] = &[401, 402, 70_403, 404];
    let cases: Vec<(Vec<&str>, &[u64])> = vec![
        (vec!["--pid", &pid], all_wanted),
        (vec!["--comm", "flt-wanted"], all_wanted),
        (vec!["--cgroup", &cgroup.name], all_wanted),
        (vec!["--netns", &world.a.name], all_wanted),
        (vec!["--netns", &path], all_wanted),
        (vec!["--netns", &by_pid], all_wanted),
        (vec!["--remote", "203.0.113.0/24"], &[401]),
        (vec!["--remote", "2001:db8::/32"], &[402, 502]),
        (vec!["--remote", "10.0.0.0/8"], &[]),
        (vec!["--port", "4001"], &[401, 501]),
        (vec!["--errno", "EMSGSIZE"], &[70_403, 70_503]),
        (vec!["--errno", "90", "--comm", "flt-other"], &[70_503]),
        (vec!["--proto", "unix"], &[404, 504]),
        (vec!["--proto", "udp", "--pid", &pid], &[401, 402, 70_403]),
        (vec!["--event", "retransmit"], &[]),
    ];
    let mut wrong = Vec::new();
    // Several instances at once: they do not disturb each other.
    for some in cases.chunks(3) {
        let tracers: Vec<_> = some
            .iter()
            .map(|(arguments, _)| Tracer::start(arguments))
            .collect();
        wanted.fail_four_times();
        other.fail_four_times();
        for (tracer, (arguments, expected)) in tracers.into_iter().zip(some) {
            let run = tracer.stop();
            run.assert_complete();
            let pids = [wanted.peer.id.pid, other.peer.id.pid];
            let ours = run.events("send_error", |event| {
                pids.iter().any(|pid| event["owner"]["pid"] == *pid)
            });
            let sizes: BTreeSet<_> = ours
                .iter()
                .filter_map(|e| e["send_error"]["requested_bytes"].as_u64())
                .collect();
            let expected: BTreeSet<_> = expected.iter().copied().collect();
            if sizes != expected || ours.len() != expected.len() {
                wrong.push(format!(
                    "{arguments:?}: {sizes:?}, expected {expected:?}; stderr: {}",
                    run.stderr
                ));
                continue;
            }
            if !arguments.contains(&"--event") {
                let filtered = run.total("send_error", "filtered");
                assert!(
                    filtered >= 8 - expected.len() as u64,
                    "{arguments:?}: {}",
                    run.totals
                );
            }
        }
    }
    wanted.peer.kill();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs root"]
fn root_programs_that_are_asked_to_say_which_filter_an_event_met_and_see_the_same() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let mut sender = Sender::new(&world.a, "flt-debug", 600, "203.0.113.9");
    let only = ["--netns", &world.a.name, "--port", "4001"];
    let tracer = Tracer::start(&[&only[..], &["--debug-bpf"]].concat());
    sender.fail_four_times();
    let run = tracer.stop();
    run.assert_complete();
    assert_eq!(
        run.events("send_error", |_| true).len(),
        1,
        "{}",
        run.totals
    );
    let said = |what: &str| {
        run.stderr
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    let filtered = run.total("send_error", "filtered");
    assert_eq!(run.total("send_error", "seen"), filtered + 1);
    assert!(
        filtered >= 3 && said("bpf] event kind 1 filtered: --") as u64 == filtered,
        "{}",
        run.stderr
    );
    assert!(said("filtered: --port") >= 3, "{}", run.stderr);

    let silent = Tracer::start(&only);
    sender.fail_four_times();
    let run = silent.stop();
    assert_eq!(
        run.events("send_error", |_| true).len(),
        1,
        "{}",
        run.totals
    );
    assert!(!run.stderr.contains("filtered: --"), "{}", run.stderr);
    sender.peer.kill();
}

#[test]
#[ignore = "needs root"]
fn root_follow_takes_children_along() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let mut parent = world.a.peer("flw-parent");
    parent.ok("open u udp4");
    let mut elder = parent.fork();
    let pid = parent.id.pid.to_string();
    let alone = Tracer::start(&["--pid", &pid]);
    let follow = Tracer::start(&["--pid", &pid, "--follow"]);
    let mut child = parent.fork();
    let mut grandchild = child.fork();
    let mut stranger = world.a.peer("flw-stranger");
    stranger.ok("open u udp4");
    for (peer, bytes) in [
        (&mut parent, 1),
        (&mut elder, 2),
        (&mut child, 3),
        (&mut grandchild, 4),
        (&mut stranger, 5),
    ] {
        peer.fails(
            &format!("sendto u {bytes} 203.0.113.9:9"),
            libc::ENETUNREACH,
        );
    }
    for (tracer, expected) in [(alone, vec![1]), (follow, vec![1, 2, 3, 4])] {
        let run = tracer.stop();
        run.assert_complete();
        let sizes: Vec<_> = run
            .events
            .iter()
            .filter_map(|event| event["send_error"]["requested_bytes"].as_u64())
            .collect();
        assert_eq!(sizes, expected, "{}", run.arguments);
    }
}

#[test]
#[ignore = "needs root"]
fn root_follow_has_room_for_children_after_thousands() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    // The last child sends; the shell that is followed waits for it.
    let script =
        "read go; i=0; while [ $i -lt 5000 ]; do (:); i=$((i+1)); done; \"$0\" \"$@\"; exit 0";
    let mut parent = std::process::Command::new("sh");
    parent
        .args(["-c", script])
        .arg(Peer::program())
        .arg(world.a.path())
        .args(["open u udp4", "sendto u 11 203.0.113.9:9"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let mut parent = parent.spawn().expect("sh");
    let tracer = Tracer::start(&["--pid", &parent.id().to_string(), "--follow"]);
    drop(parent.stdin.take());
    let event = tracer.wait_for(
        "send of the last child",
        std::time::Duration::from_secs(60),
        |event| event["event"] == "send_error",
    );
    assert_eq!(event["send_error"]["requested_bytes"], 11, "{event}");
    let _ = parent.wait();
    tracer.stop().assert_complete();
}
