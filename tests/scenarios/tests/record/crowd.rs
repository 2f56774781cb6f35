//! Many read a trace while it is written: none of them sees damage, and whoever follows it sees everything.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use scenarios::recording::{Recorder, events, replay, wait_until};
use scenarios::{World, requires, sendtrace};

use crate::traffic::{fail, is_send};

const READERS: usize = 3;
/// Each reader has read the trace so often, while it grew.
const READINGS: u64 = 10;

#[test]
#[ignore = "needs root"]
fn root_a_crowd_reads_what_is_being_written() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    for rotated in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let trace = dir.path().join("trace").display().to_string();
        let mut arguments = vec![
            "-w",
            &trace,
            "--print",
            "--format",
            "json",
            "--netns",
            &world.a.name,
        ];
        if rotated {
            arguments.extend(["--rotate-every", "1s"]);
        }
        let recorder = Recorder::start(&dir.path().join("printed"), &arguments);
        let follower = sendtrace()
            .args(["replay", "--follow", "--format", "json", &trace])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A folder without a segment is no trace yet: only who follows waits for one.
        fail(&world, "crowd", 70_000);
        wait_until("the first block", || {
            let played = replay(&[trace.as_str(), "--format", "json"]);
            !events(&played.stdout).is_empty()
        });
        let (done, readings) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|threads| {
            for _ in 0..READERS {
                threads.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let played = replay(&[trace.as_str(), "--format", "json"]);
                        readings.fetch_add(1, Ordering::Relaxed);
                        assert!(played.status.success(), "{}", played.stderr);
                        let clean = played
                            .stderr
                            .lines()
                            .all(|line| line.contains("ended in the middle"));
                        assert!(clean, "{}", played.stderr);
                    }
                });
            }
            let mut bytes = 70_000;
            while readings.load(Ordering::Relaxed) < READERS as u64 * READINGS {
                bytes += 1;
                fail(&world, "crowd", bytes);
                recorder.wait_printed("event", |event| is_send(event, bytes));
                let alive = bytes < 72_000;
                if !alive {
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let printed = recorder.stop();
        assert!(printed.status.success(), "{}", printed.stderr);
        // It ends by itself, because the recorder has.
        let followed = follower.wait_with_output().expect("the follower ends");
        assert!(followed.status.success());
        assert_eq!(String::from_utf8_lossy(&followed.stderr), "");
        let followed = String::from_utf8_lossy(&followed.stdout);
        assert_eq!(
            events(&followed),
            events(&printed.stdout),
            "rotated: {rotated}"
        );
        let played = replay(&[trace.as_str(), "--format", "json"]);
        assert_eq!(played.stderr, "");
        assert_eq!(played.stdout, printed.stdout, "rotated: {rotated}");
        assert_eq!(followed, played.stdout, "rotated: {rotated}");
    }
}
