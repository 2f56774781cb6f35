//! Segments: how long they are, which go, and which never do.

use std::time::Duration;

use super::kit::{self, BEGIN, Maker, SECOND};
use super::memory::{Memory, PLANTED};
use crate::writer::names::Name;
use crate::writer::recorder::Shape;
use crate::writer::retention::RetentionLimits;
use crate::writer::status::Notice;

fn of(bytes: u64) -> Shape {
    Shape::Segments {
        bytes: Some(bytes),
        time: None,
    }
}

#[test]
fn no_segment_is_longer_than_asked_for_and_names_are_in_order() {
    let memory = Memory::default();
    let mut recorder = kit::recorder(
        Box::new(memory.clone()),
        of(6000),
        RetentionLimits::default(),
    );
    let mut maker = Maker::default();
    for second in 0..60 {
        recorder.block(&maker.entry(), second * SECOND);
    }
    recorder.finish(60 * SECOND);
    let state = memory.state();
    assert!(state.files.len() > 5);
    assert_eq!(recorder.status.files, state.files.len() as u64);
    for (name, bytes) in &state.files {
        // The START block comes on top.
        assert!(bytes.len() < 7000, "{name}");
    }
    let account = kit::account(state.files.values().map(|file| &**file));
    assert_eq!(account.told(), maker.submitted);
    assert_eq!(account.before, 0);
    let on_disk: usize = state.files.values().map(Vec::len).sum();
    assert_eq!(recorder.status.bytes, on_disk as u64);
}

#[test]
fn a_segment_spans_no_more_time_than_asked_for() {
    let memory = Memory::default();
    let shape = Shape::Segments {
        bytes: None,
        time: Some(Duration::from_secs(10)),
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), shape, RetentionLimits::default());
    let mut maker = Maker::default();
    for second in 0..40 {
        recorder.block(&maker.entry(), second * SECOND);
    }
    recorder.finish(40 * SECOND);
    let state = memory.state();
    assert_eq!(state.files.len(), 4);
    for bytes in state.files.values() {
        assert_eq!(kit::scan(bytes).blocks.len(), 11, "START and ten seconds");
    }
}

#[test]
fn the_size_that_is_kept_is_never_exceeded_and_strangers_stay() {
    let memory = Memory::default();
    let strangers = [
        "notes.txt",
        "sendtrace-20261122T031415Z-000007.trace.part",
        "sendtrace-old.trace",
    ];
    for name in strangers {
        memory.state().files.insert(name.to_owned(), vec![0; 100]);
    }
    let keep = RetentionLimits {
        size: Some(20_000),
        ..RetentionLimits::default()
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), of(5000), keep);
    let mut maker = Maker::default();
    for second in 0..100 {
        recorder.block(&maker.entry(), second * SECOND);
        // START blocks come on top of what is planned for.
        assert!(memory.used() <= 20_000 + 300 + 1000, "{second}");
    }
    recorder.finish(100 * SECOND);
    let state = memory.state();
    assert!(state.removed.len() > 3);
    assert!(state.removed.is_sorted());
    for name in strangers {
        assert!(state.files.contains_key(name), "{name}");
    }
    let first = state.removed.first().expect("some went");
    assert!(first.ends_with("-000008.trace"), "numbers go on: {first}");
}

#[test]
fn files_that_others_planted_neither_stop_a_recording_nor_count_nor_go() {
    let memory = Memory::default();
    let first = Maker::default().block().0.header;
    let planted = [
        "sendtrace-20991231T235959Z-18446744073709551615.trace".to_owned(),
        // A name that comes.
        Name::next(None, first.wall_ns(first.first_boot_ns)).to_string(),
    ];
    for name in &planted {
        memory.state().files.insert(name.clone(), PLANTED.to_vec());
    }
    let keep = RetentionLimits {
        size: Some(PLANTED.len() as u64),
        ..RetentionLimits::default()
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), of(1 << 20), keep);
    let mut maker = Maker::default();
    for second in 0..3 {
        recorder.block(&maker.entry(), second * SECOND);
    }
    recorder.finish(3 * SECOND);
    assert_eq!(memory.state().removed, Vec::<String>::new());
    for name in planted {
        assert!(memory.state().files.contains_key(&name), "{name}");
    }
    assert_eq!(
        (recorder.status.blocks, recorder.status.lost_blocks),
        (3, 0)
    );
}

#[test]
fn segments_that_are_too_old_go_but_not_the_one_being_written() {
    let memory = Memory::default();
    let old = "sendtrace-20010101T000000Z-000041.trace";
    memory.state().files.insert(old.to_owned(), vec![0; 100]);
    let link = "sendtrace-20010101T000000Z-000040.trace";
    let keep = RetentionLimits {
        time: Some(Duration::from_secs(15)),
        ..RetentionLimits::default()
    };
    let shape = Shape::Segments {
        bytes: None,
        time: Some(Duration::from_secs(5)),
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), shape, keep);
    assert!(!memory.state().files.contains_key(link));
    let mut maker = Maker::default();
    for second in 0..60 {
        recorder.block(&maker.entry(), BEGIN + second * SECOND);
    }
    recorder.finish(BEGIN + 60 * SECOND);
    let state = memory.state();
    assert_eq!(state.removed.first().map(String::as_str), Some(old));
    // 15 s of ended segments, and what is being written.
    assert!(
        (3..=5).contains(&state.files.len()),
        "{}",
        state.files.len()
    );
    let account = kit::account(state.files.values().map(|file| &**file));
    assert_eq!(account.seqs.last(), Some(&60));
}

#[test]
fn a_segment_that_cannot_be_deleted_is_told_once_and_recording_goes_on() {
    let memory = Memory::default();
    for number in 1..4 {
        let name = format!("sendtrace-20010101T000000Z-{number:06}.trace");
        memory.state().files.insert(name, vec![0; 100]);
    }
    let keep = RetentionLimits {
        time: Some(Duration::from_secs(15)),
        ..RetentionLimits::default()
    };
    let mut recorder = kit::recorder(Box::new(memory.clone()), of(1 << 20), keep);
    memory.state().fault = Some((super::memory::Fault::Error(nix::errno::Errno::EROFS), 0, 3));
    let mut maker = Maker::default();
    recorder.block(&maker.entry(), SECOND);
    assert_eq!(recorder.status.blocks, 1);
    let [Notice::Warning(text)] = &*recorder.notices.take() else {
        panic!("one warning");
    };
    assert!(
        text.contains("cannot be deleted: Read-only file system"),
        "{text}"
    );
}
