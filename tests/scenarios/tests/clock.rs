//! A wall clock that is stepped while it is recorded: it belongs to the whole host, so only in a machine of its own.

use std::cell::Cell;

use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::time::{ClockId, clock_gettime, clock_settime};
use scenarios::recording::{Recorder, events, replay, wait_until};
use scenarios::{Outcome, World, check_line, own_machine, requires, skip};
use serde_json::Value;

const HOUR: i64 = 3600;
const EARLIER: i64 = -2 * HOUR;

/// Steps the wall clock of the machine, seconds.
fn step(seconds: i64) {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("the time");
    let then = now + TimeSpec::seconds(seconds);
    clock_settime(ClockId::CLOCK_REALTIME, then).expect("root may set the clock");
}

fn bytes(event: &Value) -> Option<u64> {
    event["send_error"]["requested_bytes"].as_u64()
}

/// Of an event that was printed, seconds of the wall clock.
fn seconds(event: &Value) -> i64 {
    let time = event["time"].as_str().expect("a time");
    let time: jiff::Timestamp = time.parse().expect("RFC 3339");
    time.as_second()
}

#[test]
#[ignore = "needs root"]
fn root_a_step_of_the_wall_clock_moves_no_event() {
    if !requires(&[]) {
        return;
    }
    if !own_machine() {
        skip("it steps the clock of the host: `cargo xtask vm --test clock`");
        return;
    }
    let world = World::pair();
    let mut peer = world.a.peer("sender");
    peer.ok("open u udp4");
    let dir = tempfile::tempdir().expect("a folder");
    let trace = dir.path().join("stepped.trace").display().to_string();
    let arguments = ["-w", &trace, "--print", "--format", "json"];
    let netns = ["--netns", &world.a.name];
    let recorder = Recorder::start(
        &dir.path().join("printed"),
        &[&arguments[..], &netns].concat(),
    );

    // Each failing send has its own size, by which its event is found.
    let size = Cell::new(70_000);
    let mut fail = || {
        size.set(size.get() + 1);
        peer.fails(
            &format!("sendto u {} 127.0.0.1:9", size.get()),
            libc::EMSGSIZE,
        );
        let printed = Cell::new(0);
        recorder.wait_printed("the failing send", |event| {
            let is = bytes(event) == Some(size.get());
            if is {
                printed.set(seconds(event));
            }
            is
        });
        printed.get()
    };
    let mut times = vec![fail()];
    for by in [HOUR, EARLIER, -EARLIER - HOUR] {
        step(by);
        let before = *times.last().expect("one");
        let mut now = before;
        // The recorder compares the clocks now and then.
        wait_until("the new time", || {
            now = fail();
            (now - before - by).abs() < 60
        });
        times.push(now);
    }
    let said = recorder.stop();
    assert!(said.status.success(), "{}", said.stderr);

    let played = replay(&[trace.as_str(), "--format", "json"]);
    assert_eq!(played.stderr, "");
    let (live, again) = (events(&said.stdout), events(&played.stdout));
    assert!(live.len() > 3);
    assert_eq!(live, again, "the replay says what was said live");
    let in_order = |all: &[Value]| all.iter().filter_map(bytes).is_sorted();
    assert!(in_order(&again), "in the order in which they happened");
    let told = format!("{} events, the clock went +1 h, -2 h, +1 h", again.len());
    check_line("clock", "a step moves no event", Outcome::Pass, &told);
}
