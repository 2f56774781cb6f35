use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::writer::tests::kit::{self, BEGIN, Maker, SECOND};
use crate::writer::tests::memory::Memory;
use crate::writer::{Notice, Options, Target};

const LONG: Duration = Duration::from_secs(60);

fn flight(folder: &Path, settings: &Settings) -> Flight {
    let target = Target::Windows(folder.to_owned());
    let writer = Writer::open(&target, kit::start(), &Options::default()).expect("a folder");
    Flight::start(writer, settings).expect("a thread")
}

fn settings(memory: usize) -> Settings {
    Settings {
        memory,
        before: Duration::from_secs(10),
        after: Duration::from_secs(5),
    }
}

fn push(flight: &mut Flight, maker: &mut Maker, blocks: u64) {
    for _ in 0..blocks {
        let (sealed, counters) = maker.block();
        flight.push(sealed, &counters);
    }
}

/// The blocks of a window, whose numbers and counters have been checked.
fn seqs(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).expect("a window");
    let account = kit::account([&*bytes]);
    assert_eq!((account.damaged, account.torn, account.gaps), (0, 0, 0));
    account.seqs
}

fn completed(notices: Vec<Notice>) -> Vec<PathBuf> {
    let complete = |notice| match notice {
        Notice::Complete(path) => path,
        Notice::Warning(text) => panic!("{text}"),
    };
    notices.into_iter().map(complete).collect()
}

fn wait_for_window(flight: &Flight) -> PathBuf {
    let deadline = Instant::now() + LONG;
    loop {
        let mut windows = completed(flight.watcher().notices());
        if let Some(window) = windows.pop() {
            assert!(windows.is_empty());
            return window;
        }
        assert!(Instant::now() < deadline, "no window");
        std::thread::yield_now();
    }
}

#[test]
fn a_trigger_writes_what_was_before_and_what_comes_after_and_arms_itself_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut flight = flight(dir.path(), &settings(32 << 20));
    let mut maker = Maker::default();
    push(&mut flight, &mut maker, 30);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    // Block 30 was sealed now: 20 is ten seconds old, and 35 five seconds away.
    assert!(flight.trigger(BEGIN + 30 * SECOND));
    push(&mut flight, &mut maker, 4);
    assert_eq!(flight.due_boot_ns(), Some(BEGIN + 35 * SECOND));
    push(&mut flight, &mut maker, 6);
    assert_eq!(flight.due_boot_ns(), None);
    let first = wait_for_window(&flight);
    assert_eq!(seqs(&first), Vec::from_iter(20..=35));
    // It holds again what it has written.
    assert!(flight.trigger(BEGIN + 40 * SECOND));
    let report = flight.finish(LONG);
    let [second] = &*completed(report.notices) else {
        panic!("one window");
    };
    assert_eq!(seqs(second), Vec::from_iter(30..=40));
    assert!(first < *second);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 2);
}

#[test]
fn triggers_within_a_window_make_it_longer_but_not_endless() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut flight = flight(dir.path(), &settings(32 << 20));
    let mut maker = Maker::default();
    push(&mut flight, &mut maker, 1);
    assert!(flight.trigger(BEGIN + SECOND));
    for second in 2..=51 {
        assert!(flight.due_boot_ns().is_some(), "{second}");
        push(&mut flight, &mut maker, 1);
        if second < 51 {
            assert!(!flight.trigger(BEGIN + second * SECOND));
        }
    }
    assert_eq!(flight.due_boot_ns(), None, "ten times five seconds");
    push(&mut flight, &mut maker, 3);
    let [window] = &*completed(flight.finish(LONG).notices) else {
        panic!("one window");
    };
    assert_eq!(seqs(window), Vec::from_iter(1..=51));
}

#[test]
fn a_window_ends_by_the_clock_when_nothing_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut flight = flight(dir.path(), &settings(32 << 20));
    let mut maker = Maker::default();
    push(&mut flight, &mut maker, 2);
    flight.trigger(BEGIN + 2 * SECOND);
    flight.tick(BEGIN + 7 * SECOND - 1);
    assert!(flight.due_boot_ns().is_some());
    flight.tick(BEGIN + 7 * SECOND);
    assert_eq!(seqs(&wait_for_window(&flight)), [1, 2]);
}

/// What is allocated, counted from what is there instead of what was charged.
fn allocated(flight: &Flight) -> usize {
    let mut seen = HashSet::new();
    let blocks: usize = flight
        .held
        .iter()
        .filter(|entry| seen.insert(Arc::as_ptr(entry)))
        .map(|entry| {
            size_of::<Entry>()
                + entry.sealed.bytes.len()
                + entry.counters.totals.events.capacity() * size_of::<(EventKind, EventTotals)>()
                + entry.lost_before.as_ref().map_or(0, |loss| loss.memory())
        })
        .sum();
    blocks + flight.held.capacity() * size_of::<Arc<Entry>>()
}

#[test]
fn the_bound_of_memory_is_kept_at_every_push_and_the_oldest_leave_first() {
    let dir = tempfile::tempdir().expect("a folder");
    for memory in [40_000, 60_000, 100_000] {
        let mut flight = flight(
            dir.path(),
            &Settings {
                before: Duration::from_secs(3600),
                ..settings(memory)
            },
        );
        let mut maker = Maker::default();
        let mut most = 0;
        for _ in 0..100 {
            push(&mut flight, &mut maker, 1);
            assert!(flight.memory() <= memory);
            assert!(allocated(&flight) <= flight.memory());
            let seqs = flight.held.iter().map(|entry| entry.sealed.header.seq);
            let seqs = Vec::from_iter(seqs);
            let newest = flight.held.back().expect("the newest").sealed.header.seq;
            assert_eq!(
                seqs,
                Vec::from_iter(newest + 1 - seqs.len() as u64..=newest)
            );
            most = most.max(flight.memory());
        }
        assert!(most > memory * 4 / 5, "{most} of {memory} used");
        assert!(flight.held.len() < 100);
        drop(flight);
        // Its thread has the lock until it has ended.
        let deadline = Instant::now() + LONG;
        let target = Target::Windows(dir.path().to_owned());
        while Writer::open(&target, kit::start(), &Options::default()).is_err() {
            assert!(Instant::now() < deadline, "locked for ever");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_bound_holds_while_the_disk_does_nothing_and_the_window_says_what_is_missing() {
    let memory = Memory::default();
    let writer = kit::windows(Box::new(memory.clone()));
    let bound = 60_000;
    let mut flight = Flight::start(writer, &settings(bound)).expect("a thread");
    let mut maker = Maker::default();
    push(&mut flight, &mut maker, 5);
    // The disk answers when the test lets it.
    let disk = memory.state();
    flight.trigger(BEGIN + 5 * SECOND);
    for second in 6..100 {
        push(&mut flight, &mut maker, 1);
        flight.trigger(BEGIN + second * SECOND);
        assert!(flight.memory() <= bound);
        assert!(allocated(&flight) <= flight.memory());
    }
    assert!(flight.watcher().status().lost_blocks > 20);
    drop(disk);
    let report = flight.finish(LONG);
    assert_eq!(report.unwritten_blocks, 0);
    let state = memory.state();
    let windows = state.files.iter().map(|(name, bytes)| {
        assert!(name.ends_with(".trace"), "{name}");
        let account = kit::account([&**bytes]);
        assert_eq!((account.damaged, account.torn), (0, 0));
        assert!(account.gaps > 0);
        account.before + account.told().iter().sum::<u64>()
    });
    // The first is as long as a window may be; each accounts for all that had been seen when it ended.
    let windows = Vec::from_iter(windows);
    assert_eq!(windows, [kit::seen_at(55), kit::seen_at(99)]);
}

#[test]
fn too_little_memory_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let target = Target::Windows(dir.path().to_owned());
    let writer = Writer::open(&target, kit::start(), &Options::default()).expect("a folder");
    assert!(Flight::start(writer, &settings(1000)).is_err());
}
