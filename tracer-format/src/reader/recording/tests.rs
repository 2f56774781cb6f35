use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;
use crate::block::{Builder, Seal};
use crate::layout::flag;
use crate::reader::chain::Notice;
use tracer_model::testing::{self, Rng};

const SECOND: u64 = 1_000_000_000;
/// The wall clock at CLOCK_BOOTTIME 0.
const WALL: i128 = 1_700_000_000_000_000_000;

/// Writes segments of blocks of one second each; gives the boot times of all events.
fn folder(segments: u64, blocks: u64, steps: &[u64]) -> (tempfile::TempDir, Vec<u64>) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut rng = Rng::new(segments * blocks);
    let mut builder = Builder::new().expect("memory");
    let (mut seq, mut times) = (0, Vec::new());
    for segment in 0..segments {
        let mut bytes = Vec::new();
        for block in 0..=blocks {
            let starts = block == 0;
            // The first block of a segment has the number and the time of what is around it.
            seq += u64::from(!starts);
            let from = seq.saturating_sub(1) * SECOND;
            for at in 0..if starts { 0 } else { 20 } {
                let mut event = testing::event(&mut rng);
                event.boot_ns = from + at * SECOND / 20;
                times.push(event.boot_ns);
                builder.event(&event);
            }
            let clock_steps = steps.iter().filter(|step| **step <= seq).count();
            let sealed = builder.seal(&Seal {
                flags: if starts { flag::START } else { 0 },
                trace_id: [9; 16],
                seq,
                sealed_boot_ns: seq * SECOND,
                // Each step sets the clock back by a minute.
                wall_minus_boot_ns: WALL as i64 - clock_steps as i64 * 60_000_000_000,
                clock_steps: clock_steps as u32,
            });
            bytes.extend(sealed.bytes);
        }
        let name = dir.path().join(format!("s-{segment:06}.trace"));
        fs::write(name, bytes).expect("a file");
    }
    (dir, times)
}

fn read_all(recording: &mut Recording) -> (Vec<(i128, u64)>, Vec<Notice>) {
    let (mut events, mut notices) = (Vec::new(), Vec::new());
    loop {
        match recording.next().expect("reads") {
            ReadStep::End => return (events, notices),
            ReadStep::Wait => panic!("nobody writes"),
            ReadStep::Item(ReadItem::Notice(notice)) => notices.push(notice),
            ReadStep::Item(ReadItem::Block(block)) => {
                let mut decoder = block.events().expect("columns");
                while let Some(event) = decoder.next().expect("an event") {
                    events.push((block.header.wall_ns(event.boot_ns), event.boot_ns));
                }
            }
        }
    }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn from_any_time_on_nothing_is_left_out_and_little_is_read_before() {
    let (dir, times) = folder(4, 7, &[]);
    for since in (0..30 * SECOND).step_by(333_333_333) {
        let wall = WALL + i128::from(since);
        let mut recording = Recording::open(name(dir.path()), false).expect("opens");
        recording.take_first().expect("reads");
        recording.begin_at(wall).expect("seeks");
        let (events, notices) = read_all(&mut recording);
        assert!(notices.is_empty(), "{since}: {notices:?}");
        let later = events.iter().filter(|(at, _)| *at >= wall).count();
        assert_eq!(
            later,
            times.iter().filter(|at| **at >= since).count(),
            "{since}"
        );
        let before = events.len() - later;
        assert!(before <= 60, "{since}: {before} events that are too old");
    }
}

#[test]
fn where_the_clock_was_set_back_nothing_is_left_out_either() {
    let (dir, _) = folder(1, 20, &[10]);
    let file = dir.path().join("s-000000.trace");
    let mut all = Recording::open(name(&file), false).expect("opens");
    let (all, _) = read_all(&mut all);
    for since in (0..80 * SECOND).step_by(777_777_777) {
        let wall = WALL - 60 * i128::from(SECOND) + i128::from(since);
        let mut recording = Recording::open(name(&file), false).expect("opens");
        recording.begin_at(wall).expect("seeks");
        let wanted = |events: &[(i128, u64)]| -> Vec<(i128, u64)> {
            events
                .iter()
                .copied()
                .filter(|(at, _)| *at >= wall)
                .collect()
        };
        let (events, _) = read_all(&mut recording);
        assert_eq!(wanted(&events), wanted(&all), "{since}");
    }
}

#[test]
fn the_span_is_known_without_reading_everything() {
    let (dir, _) = folder(3, 5, &[]);
    let recording = Recording::open(name(dir.path()), false).expect("opens");
    let end = WALL + i128::from(15 * SECOND);
    assert_eq!(recording.span().expect("reads"), Some((WALL, end)));
}

#[test]
fn a_trace_is_followed_until_its_writer_is_gone() {
    let (dir, times) = folder(1, 4, &[]);
    let bytes = fs::read(dir.path().join("s-000000.trace")).expect("reads");
    let path = dir.path().join("growing.trace");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("opens");
    file.try_lock().expect("locks");
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(half).expect("writes");
    let mut recording = Recording::open(name(&path), true).expect("opens");
    let mut seen = 0;
    loop {
        match recording.next().expect("reads") {
            ReadStep::Wait => break,
            ReadStep::Item(ReadItem::Block(block)) => seen += block.header.events,
            other => panic!("{other:?}"),
        }
    }
    assert!((seen as usize) < times.len());
    file.write_all(rest).expect("writes");
    drop(file);
    let (events, notices) = read_all(&mut recording);
    assert_eq!(events.len() + seen as usize, times.len());
    assert!(notices.is_empty());
}

#[test]
fn what_is_no_trace_is_said_to_be_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let empty = Recording::open(name(dir.path()), false).map(|_| ());
    assert!(
        empty
            .expect_err("is empty")
            .to_string()
            .contains("no trace in this folder")
    );
    let path = dir.path().join("text");
    fs::write(&path, "hello").expect("writes");
    let mut text = Recording::open(name(&path), false).expect("opens");
    assert!(
        text.next()
            .expect_err("is text")
            .to_string()
            .contains("no trace of sendtrace")
    );
    let missing = Recording::open(name(&dir.path().join("gone")), false).map(|_| ());
    assert!(
        missing
            .expect_err("is not there")
            .to_string()
            .ends_with("no such file or folder")
    );
}

#[test]
fn what_is_no_file_is_not_read_in_a_folder_and_named_when_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let fifo = dir.path().join("a.trace");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    fs::create_dir(dir.path().join("b.trace")).expect("room");
    let opened = |path: &Path| {
        let opened = Recording::open(path.to_str().expect("UTF-8"), false);
        opened.err().expect("no trace").to_string()
    };
    assert!(opened(dir.path()).contains("no trace in this folder"));
    assert!(opened(&fifo).contains("give it as standard input"));
}
