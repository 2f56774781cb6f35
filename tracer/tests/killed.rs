//! kill −9 at any moment: what the writer said is written is there, and at most one block is torn.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tracer_format::reader::scan::Scanner;
use tracer_format::reader::{Chain, ReadItem};

/// How often, when `SENDTRACE_KILLS` says nothing.
const KILLS: u32 = 20;
/// No writer lives longer, microseconds.
const LONGEST: u64 = 60_000;

/// The writer that cargo built beside the tests.
fn write_trace() -> PathBuf {
    let mut dir = std::env::current_exe().expect("own path");
    dir.pop();
    dir.pop();
    dir.join("examples/write_trace")
}

/// Starts a writer, kills it after a while, and gives the last block that it said is written.
fn killed(trace: &Path, rotate_bytes: Option<u64>, after: Duration) -> u64 {
    let mut child = Command::new(write_trace())
        .arg(trace)
        .args(rotate_bytes.map(|bytes| bytes.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example write_trace, which `cargo build --examples` builds");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a first block").expect("text");
    // The moment is what is random, so this does not wait for anything.
    let end = Instant::now() + after;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    child.kill().expect("our child");
    child.wait().expect("our child");
    // What it had said is in the pipe; a last line can be cut off and then says less than it meant.
    let last = lines.map_while(Result::ok).last().unwrap_or(first);
    last.parse().unwrap_or(1)
}

/// The files of a trace, in order.
fn files(trace: &Path) -> Vec<PathBuf> {
    if trace.is_file() {
        return vec![trace.to_owned()];
    }
    let mut files: Vec<_> = fs::read_dir(trace)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// Reads everything: the numbers of blocks that have events, and how many were torn.
fn read(trace: &Path) -> (Vec<u64>, usize) {
    let mut chain = Chain::default();
    let mut items = Vec::new();
    for file in files(trace) {
        let mut scanner = Scanner::new(File::open(file).expect("a file"), 0);
        while let Some(found) = scanner.last().expect("a trace") {
            chain.add(found, &mut items);
        }
        chain.finish(scanner.rest(), &mut items);
    }
    let (mut seqs, mut torn) = (Vec::new(), 0);
    for item in items {
        match item {
            ReadItem::Block(block) if block.header.events > 0 => seqs.push(block.header.seq),
            ReadItem::Block(_) => {}
            ReadItem::Notice(notice) => {
                assert!(notice.is_torn_tail(), "{notice}");
                torn += 1;
            }
        }
    }
    (seqs, torn)
}

#[test]
fn a_writer_that_is_killed_leaves_all_that_it_said_is_written_and_at_most_one_torn_block() {
    let kills = std::env::var("SENDTRACE_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().expect("a number of kills"));
    let dir = tempfile::tempdir().expect("a folder");
    let mut seed = u64::from(std::process::id()) | 1;
    let (mut all_blocks, mut all_torn) = (0, 0);
    for round in 0..kills {
        // xorshift: the moments differ from run to run, and the scheduler's do anyway.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let after = Duration::from_micros(seed % LONGEST);
        let rotate_bytes = (round % 2 == 1).then_some(20 << 10);
        let trace = dir.path().join(format!("{round}"));
        let said = killed(&trace, rotate_bytes, after);
        let (seqs, torn) = read(&trace);
        let expected: Vec<u64> = (1..=seqs.len() as u64).collect();
        assert_eq!(seqs, expected, "round {round}: every block, in order");
        let last = seqs.last().copied().unwrap_or(0);
        // One may have been written and not said yet.
        assert!(
            last == said || last == said + 1,
            "round {round}: {said} said, {last} read"
        );
        assert!(torn <= 1, "round {round}: {torn} torn");
        all_blocks += seqs.len();
        all_torn += torn;
        if round < 4 {
            replays(&trace, torn);
        }
        match rotate_bytes {
            Some(_) => fs::remove_dir_all(&trace),
            None => fs::remove_file(&trace),
        }
        .expect("our own trace");
    }
    println!("{kills} kills: {all_blocks} blocks read, {all_torn} torn, none missing");
}

/// The program has the same to say.
fn replays(trace: &Path, torn: usize) {
    let output = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(["replay", "--format", "json"])
        .arg(trace)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.lines().count(), torn, "{stderr}");
    assert_eq!(
        stderr.contains("ended in the middle"),
        torn == 1,
        "{stderr}"
    );
}
