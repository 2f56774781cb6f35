//! Real files, folders and pipes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use super::kit::{self, Maker};
use crate::writer::queue::Budget;
use crate::writer::recorder::Recorder;
use crate::writer::stream::Stream;
use crate::writer::{Options, Target, Writer, stream};

const LONG: Duration = Duration::from_secs(60);

fn open(target: &Target, options: &Options) -> anyhow::Result<Writer> {
    Writer::open(target, kit::start(), options)
}

fn refused(target: &Target) -> String {
    match open(target, &Options::default()) {
        Ok(_) => panic!("{target:?} was opened"),
        Err(error) => format!("{error:#}"),
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{entry:?}");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, fs::read(entry.path()).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_file_has_every_block_and_is_for_its_owner_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("night.trace");
    let writer = open(&Target::File(path.clone()), &Options::default()).expect("a file");
    let handle = writer.start().expect("a thread");
    let mut maker = Maker::default();
    for _ in 0..100 {
        let (sealed, counters) = maker.block();
        handle.submit(sealed, &counters);
    }
    let report = handle.finish(LONG);
    assert_eq!((report.unwritten_blocks, report.notices), (0, vec![]));
    let files = files(dir.path());
    let account = kit::account(files.iter().map(|(_, bytes)| &**bytes));
    assert_eq!(account.written, maker.submitted);
    assert_eq!(report.status.events, maker.submitted);
    assert_eq!(report.status.path, Some(path));
    assert_eq!(report.status.bytes, files[0].1.len() as u64);
}

#[test]
fn nothing_is_overwritten_and_no_link_is_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("there.trace");
    fs::write(&path, "precious").expect("a file");
    let told = refused(&Target::File(path.clone()));
    assert!(told.contains("there.trace is there already"), "{told}");
    let link = dir.path().join("link.trace");
    let victim = dir.path().join("victim");
    symlink(&victim, &link).expect("a link");
    refused(&Target::File(link));
    assert!(!victim.exists());
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).expect("a folder");
    let link = dir.path().join("link");
    symlink(&folder, &link).expect("a link");
    for link in [link.clone(), link.join("")] {
        let told = refused(&Target::Segments(link));
        assert!(told.contains("is no folder"), "{told}");
    }
    let told = refused(&Target::Segments(path.clone()));
    assert!(told.contains("is no folder"), "{told}");
    let told = refused(&Target::Segments(dir.path().join("a/b")));
    assert!(told.contains("make it first"), "{told}");
    let told = refused(&Target::File(dir.path().join("a/b")));
    assert!(told.contains("cannot open the folder"), "{told}");
    for no_name in ["/", "..", "folder/"] {
        let told = refused(&Target::File(no_name.into()));
        assert!(told.contains("no name for a file"), "{told}");
    }
    assert_eq!(fs::read(&path).expect("a file"), b"precious");
}

#[test]
fn a_second_writer_is_refused_and_a_later_one_goes_on_with_the_numbers() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("folder");
    let target = Target::Segments(folder.clone());
    let options = Options {
        rotate_size: Some(10_000),
        ..Options::default()
    };
    let mut maker = Maker::default();
    for round in 0..2 {
        let writer = open(&target, &options).expect("a folder");
        let told = refused(&target);
        assert!(told.contains("another sendtrace"), "{told}");
        let handle = writer.start().expect("a thread");
        for _ in 0..50 {
            let (sealed, counters) = maker.block();
            handle.submit(sealed, &counters);
        }
        assert!(refused(&target).contains("another sendtrace"));
        let report = handle.finish(LONG);
        assert_eq!(report.unwritten_blocks, 0, "{round}");
    }
    let mode = fs::metadata(&folder)
        .expect("a folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
    let files = files(&folder);
    assert!(files.len() > 4);
    for (index, (name, _)) in files.iter().enumerate() {
        assert!(
            name.ends_with(&format!("-{:06}.trace", index + 1)),
            "{name}"
        );
    }
    // Each recording counts from where it began; the second is a part of the first here.
    let written: usize = files
        .iter()
        .flat_map(|(_, bytes)| kit::scan(bytes).blocks)
        .filter(|(header, _)| !header.starts())
        .count();
    assert_eq!(written, 100);
}

fn piped(queue_bytes: usize) -> (Writer, std::io::PipeReader) {
    let (read, write) = std::io::pipe().expect("a pipe");
    let place = stream(Box::new(Stream::new(write.into())));
    let writer = Writer {
        recorder: Recorder::new(place, kit::start(), LONG),
        queue_bytes,
        warnings: Vec::new(),
    };
    (writer, read)
}

#[test]
fn a_pipe_gets_the_same_bytes() {
    let (writer, mut read) = piped(8 << 20);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).map(|_| bytes)
    });
    let handle = writer.start().expect("a thread");
    let mut maker = Maker::default();
    for _ in 0..100 {
        let (sealed, counters) = maker.block();
        handle.submit(sealed, &counters);
    }
    let report = handle.finish(LONG);
    assert_eq!((report.unwritten_blocks, report.notices), (0, vec![]));
    let bytes = reader.join().expect("a thread").expect("bytes");
    assert_eq!(kit::account([&*bytes]).written, maker.submitted);
}

#[test]
fn a_reader_that_goes_away_ends_it_without_a_word() {
    let (writer, read) = piped(8 << 20);
    drop(read);
    let handle = writer.start().expect("a thread");
    let mut maker = Maker::default();
    let (sealed, counters) = maker.block();
    handle.submit(sealed, &counters);
    let report = handle.finish(LONG);
    assert!(report.status.reader_gone);
    assert_eq!((report.unwritten_blocks, report.notices), (0, vec![]));
}

#[test]
fn nobody_waits_for_a_reader_that_does_not_read_and_what_is_dropped_is_counted() {
    let (writer, mut read) = piped(30_000);
    let handle = writer.start().expect("a thread");
    let mut maker = Maker::default();
    let begin = Instant::now();
    for _ in 0..110 {
        let (sealed, counters) = maker.block();
        handle.submit(sealed, &counters);
    }
    assert!(begin.elapsed() < LONG / 10);
    let status = handle.watcher().status();
    assert!(status.lost_blocks > 10, "{status:?}");
    // The reader goes on: the pipe drains, and a note of the gap comes before the next block.
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).map(|_| bytes)
    });
    let deadline = Instant::now() + LONG;
    while handle.shared().waiting() > 0 {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::yield_now();
    }
    for _ in 0..2 {
        let (sealed, counters) = maker.block();
        handle.submit(sealed, &counters);
    }
    let report = handle.finish(LONG);
    assert_eq!(report.unwritten_blocks, 0);
    let bytes = reader.join().expect("a thread").expect("bytes");
    let account = kit::account([&*bytes]);
    assert!(account.gaps >= 1);
    assert_eq!(account.told(), maker.submitted);
    assert_eq!(account.missing, report.status.lost_events);
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let (writer, read) = piped(8 << 20);
    let handle = writer.start().expect("a thread");
    let mut maker = Maker::default();
    for _ in 0..110 {
        let (sealed, counters) = maker.block();
        handle.submit(sealed, &counters);
    }
    let report = handle.finish(Duration::from_millis(50));
    assert!(report.unwritten_blocks > 0);
    drop(read);
}

#[test]
fn memory_that_waits_is_bounded_and_given_back() {
    let budget = Budget::new(100);
    let first = budget.charge(60).expect("room");
    assert!(budget.charge(41).is_none());
    let second = budget.charge(40).expect("room");
    assert_eq!(budget.used(), 100);
    drop((first, second));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_file_that_is_deleted_is_missed_at_the_next_block_and_a_new_one_says_what_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("night.trace");
    let mut writer = open(&Target::File(path.clone()), &Options::default()).expect("a file");
    let recorder = &mut writer.recorder;
    let mut maker = Maker::default();
    for _ in 0..3 {
        recorder.block(&maker.entry(), 0);
    }
    fs::remove_file(&path).expect("a file");
    for _ in 0..2 {
        recorder.block(&maker.entry(), 0);
    }
    recorder.finish(0);
    let status = &recorder.status;
    assert_eq!(
        (status.deleted_blocks, status.lost_blocks, status.blocks),
        (3, 3, 2)
    );
    let notices = recorder.notices.take();
    assert!(
        format!("{notices:?}").contains("deleted while it was written"),
        "{notices:?}"
    );
    let bytes = fs::read(&path).expect("a new file of the same name");
    let account = kit::account([&*bytes]);
    assert_eq!((account.gaps, account.damaged, account.torn), (1, 0, 0));
    let told: u64 = account.before + account.told().iter().sum::<u64>();
    assert_eq!(told, maker.submitted.iter().sum::<u64>());
}

#[test]
fn a_file_that_is_renamed_goes_on_and_is_said_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("night.trace");
    let mut writer = open(&Target::File(path.clone()), &Options::default()).expect("a file");
    let recorder = &mut writer.recorder;
    let mut maker = Maker::default();
    recorder.block(&maker.entry(), 0);
    fs::rename(&path, dir.path().join("kept.trace")).expect("a file");
    for _ in 0..3 {
        recorder.block(&maker.entry(), 0);
    }
    recorder.finish(0);
    assert_eq!(recorder.status.deleted_blocks, 0);
    let notices = recorder.notices.take();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(!path.exists());
    let bytes = fs::read(dir.path().join("kept.trace")).expect("all of it");
    assert_eq!(kit::account([&*bytes]).written, maker.submitted);
}

#[test]
fn a_file_in_which_nothing_was_written_is_not_in_the_way_of_another_attempt() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("night.trace");
    drop(open(&Target::File(path.clone()), &Options::default()).expect("a file"));
    assert!(!path.exists());
    let writer = open(&Target::File(path.clone()), &Options::default()).expect("a file");
    fs::rename(&path, dir.path().join("mine")).expect("a file");
    fs::write(&path, "precious").expect("a file");
    drop(writer);
    assert_eq!(fs::read_to_string(&path).expect("stays"), "precious");
}
