//! A recorder that is killed, and one whose trace goes into a pipe.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use scenarios::recording::{Recorder, events, replay};
use scenarios::{Ready, World, requires, sendtrace, wait_exit};
use serde_json::Value;

use crate::traffic::{fail, is_send};

/// A block is closed after a second; then it has to be written, on a host that is busy with other tests.
const OPEN_BLOCK: Duration = Duration::from_secs(4);

#[test]
#[ignore = "needs root"]
fn root_kill_minus_nine_takes_no_more_than_the_open_block() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a folder");
    let mut peer = world.a.peer("killed");
    peer.ok("open u udp4");
    for round in 0..3_u64 {
        let trace = dir.path().join(format!("{round}.trace"));
        let name = trace.display().to_string();
        let printed = dir.path().join("printed");
        let arguments = [
            "-w",
            &name,
            "--print",
            "--format",
            "json",
            "--netns",
            &world.a.name,
        ];
        let recorder = Recorder::start(&printed, &arguments);
        // Long enough for some blocks; what is open at the end differs from round to round.
        for batch in 0..=(20 + 17 * round) {
            let marker = 70_001 + batch;
            peer.fails(&format!("sendto u {marker} 127.0.0.1:9"), libc::EMSGSIZE);
            recorder.wait_printed("event", |event| is_send(event, marker));
        }
        recorder.kill();
        let killed = SystemTime::now();
        let printed = std::fs::read_to_string(&printed).expect("what was printed");
        let played = replay(&[name.as_str(), "--format", "json"]);
        assert!(played.status.success(), "{}", played.stderr);
        assert!(
            !["damage", "missing", "skipped"]
                .iter()
                .any(|word| played.stderr.contains(word)),
            "{}",
            played.stderr
        );
        let (printed, played) = (events(&printed), events(&played.stdout));
        assert!(!played.is_empty(), "round {round}: nothing is left");
        let both = printed.len().min(played.len());
        assert_eq!(printed[..both], played[..both]);
        for event in &printed[both..] {
            let age = killed.duration_since(time(event)).unwrap_or_default();
            assert!(age < OPEN_BLOCK, "{age:?} before the end: {event}");
        }
    }
}

fn time(event: &Value) -> SystemTime {
    let text = event["time"].as_str().expect("a time");
    let time: jiff::Timestamp = text.parse().expect("RFC 3339");
    time.into()
}

#[test]
#[ignore = "needs root"]
fn root_a_trace_goes_through_a_pipe() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let mut recorder = sendtrace()
        .args([
            "record",
            "-w",
            "-",
            "--count",
            "3",
            "--netns",
            &world.a.name,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let ready = Ready::wait_for("Recording: ", recorder.stderr.take().expect("piped"));
    let reader = sendtrace()
        .args(["replay", "-", "--format", "json"])
        .stdin(recorder.stdout.take().expect("piped"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    for bytes in 70_001..=70_003 {
        fail(&world, "piped", bytes);
    }
    let status = wait_exit(&mut recorder, scenarios::SOON).expect("the recorder ends");
    assert!(status.success(), "{}", ready.finish());
    let output = reader.wait_with_output().expect("the reader ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let events = events(&said);
    assert_eq!(events.len(), 3, "{said}");
    assert!((70_001..=70_003).all(|bytes| events.iter().any(|event| is_send(event, bytes))));
    assert_eq!(
        said.lines().count(),
        4 + scenarios::recording::lines(&said, "counted").len()
    );
}
