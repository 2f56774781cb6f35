//! Segments, and a disk that is full for a while.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use scenarios::recording::{Recorder, events, replay, wait_until};
use scenarios::{World, requires};

use crate::traffic::{fail, is_send};

/// The segments of a folder.
fn segments(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".trace")).collect()
}

#[test]
#[ignore = "needs root"]
fn root_the_oldest_segments_go_and_the_totals_of_the_others_hold() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("folder");
    let name = folder.display().to_string();
    let arguments = ["-w", &name, "--print", "--format", "json"];
    let limits = ["--rotate-every", "1s", "--keep-for", "3s"];
    let netns = ["--netns", &world.a.name];
    let printed = dir.path().join("printed");
    let recorder = Recorder::start(&printed, &[&arguments[..], &limits, &netns].concat());
    let (mut all, mut bytes) = (BTreeSet::new(), 70_000);
    wait_until("the first event to be deleted", || {
        bytes += 1;
        fail(&world, "rotated", bytes);
        recorder.wait_printed("event", |event| is_send(event, bytes));
        let now = segments(&folder);
        let gone = all.iter().any(|name| !now.contains(name));
        all.extend(now);
        // The first segment may have ended before the first event came.
        gone && {
            let played = replay(&[name.as_str(), "--format", "json"]);
            let left = events(&played.stdout);
            !left.iter().any(|event| is_send(event, 70_001))
        }
    });
    let said = recorder.stop();
    assert!(said.status.success(), "{}", said.stderr);
    let left = segments(&folder);
    // One more may have begun since the last look.
    all.extend(left.iter().cloned());
    assert!(
        1 < left.len() && left.len() < all.len(),
        "{left:?} of {all:?}"
    );

    let played = replay(&[name.as_str(), "--format", "json"]);
    assert_eq!(played.stderr, "");
    played.run("replay of what was kept").assert_complete();
    // What was kept is the end of what was printed.
    let (kept, printed) = (events(&played.stdout), events(&said.stdout));
    assert!(!kept.is_empty() && kept.len() < printed.len());
    assert_eq!(kept, printed[printed.len() - kept.len()..]);
}

#[test]
#[ignore = "needs root"]
fn root_a_disk_that_is_full_for_a_while_costs_what_the_replay_says() {
    if !requires(&[]) {
        return;
    }
    let world = World::pair();
    std::thread::scope(|scope| {
        // The mount is this thread's, and of the processes that it starts.
        scope
            .spawn(|| {
                let dir = tempfile::tempdir().expect("a folder");
                unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
                let (none, flags) = (None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC);
                mount(none, "/", none, flags, none).expect("private mounts");
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
                let size = Some("size=2M");
                mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, size).expect("a tmpfs");
                full_and_freed(&world, dir.path());
            })
            .join()
            .expect("no panic");
    });
}

fn full_and_freed(world: &World, disk: &Path) {
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let trace = disk.join("full.trace").display().to_string();
    let arguments = [
        "-w",
        &trace,
        "--print",
        "--format",
        "json",
        "--netns",
        &world.a.name,
    ];
    let recorder = Recorder::start(&elsewhere.path().join("printed"), &arguments);
    let marker = |bytes: u64| {
        fail(world, "marker", bytes);
        recorder.wait_printed("marker", |event| is_send(event, bytes));
    };
    marker(70_001);
    // In the file before the disk is full: a block is closed after a second.
    wait_until("the first block", || {
        let played = replay(&[trace.as_str(), "--format", "json"]);
        events(&played.stdout).iter().any(|e| is_send(e, 70_001))
    });
    let ballast = disk.join("ballast");
    let written = fs::write(&ballast, vec![1; 4 << 20]);
    assert!(written.is_err(), "the disk must be full");
    // What is left of the last page takes no whole block either, once it is used up.
    let mut bytes = 70_010;
    wait_until("a warning of the full disk", || {
        bytes += 1;
        marker(bytes);
        recorder.stderr().contains("dropped and counted")
    });
    let last_lost = bytes + 1;
    marker(last_lost);
    fs::remove_file(&ballast).expect("the ballast");
    marker(70_900);
    wait_until("the word that recording goes on", || {
        recorder.stderr().contains("could not be written")
    });
    marker(70_901);
    let said = recorder.stop();
    assert!(said.status.success(), "{}", said.stderr);

    let played = replay(&[trace.as_str(), "--format", "json"]);
    assert_eq!(
        played.stderr, "",
        "a gap that the recorder knew of is no damage"
    );
    let run = played.run("replay of a trace with a gap");
    run.assert_totals();
    let listed = events(&played.stdout);
    let has = |bytes| listed.iter().any(|event| is_send(event, bytes));
    assert!(has(70_001) && has(70_901), "{}", played.stdout);
    let printed = events(&said.stdout).len();
    let lost = run.events("lost", |event| event["lost"]["where"] == "disk");
    assert!(!lost.is_empty(), "{}", played.stdout);
    let lost: u64 = lost
        .iter()
        .filter_map(|e| e["lost"]["count"].as_u64())
        .sum();
    assert!(lost > 0);
    let others = listed
        .iter()
        .filter(|event| event["event"] != "lost")
        .count();
    assert_eq!(
        others as u64 + lost,
        printed as u64,
        "each is listed or lost"
    );
    assert_eq!(run.total("send_error", "lost"), lost, "{}", run.totals);
}
