//! Every golden trace through every command that reads traces, byte for byte.
//!
//! The traces were recorded by the scenarios on a real kernel; `SENDTRACE_BLESS=1` writes what is expected anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tracer_format::layout::{HEADER_BYTES, Header};

/// What is recorded; the others are made of it.
const RECORDED: &str = "faults.trace";
const TORN: &str = "torn.trace";
const DAMAGED: &str = "damaged.trace";

/// Command, format, arguments: each has a file per trace in `tests/expected`.
const COMMANDS: &[(&str, &str, &[&str])] = &[
    ("replay", "text", &["replay", "--format", "text"]),
    ("replay", "json", &["replay", "--format", "json"]),
    ("replay-utc", "text", &["replay", "--utc"]),
    (
        "replay-since",
        "text",
        &["replay", "--since", "+1s", "--event", "retransmit"],
    ),
    ("replay-strict", "text", &["replay", "--strict"]),
    ("samples", "text", &["replay", "--samples"]),
    (
        "samples",
        "json",
        &["replay", "--samples", "--format", "json"],
    ),
    ("aggregate", "text", &["replay", "--aggregate"]),
    (
        "aggregate",
        "json",
        &["replay", "--aggregate=1s", "--format", "json"],
    ),
    ("info", "text", &["info"]),
    ("info", "json", &["info", "--format", "json"]),
    ("report", "text", &["report"]),
    ("report", "json", &["report", "--format", "json"]),
    ("export", "jsonl", &["export", "--to", "jsonl", "-o", "-"]),
    ("export", "csv", &["export", "--to", "csv", "-o", "-"]),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests")
        .join(name)
}

fn is_blessing() -> bool {
    std::env::var_os("SENDTRACE_BLESS").is_some()
}

/// What a command says and how it ends; run where the traces are, so that messages name no path.
fn said(arguments: &[&str], trace: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(arguments)
        .arg(trace)
        .current_dir(folder("traces"))
        .env_clear()
        // Not the zone of the trace: replay prints times in that of the host that recorded.
        .env("TZ", "America/Caracas")
        .output()
        .expect("the program starts");
    let mut said = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    if !stderr.is_empty() {
        said.push_str(&format!("[standard error]\n{stderr}"));
    }
    if !output.status.success() {
        said.push_str(&format!("[{}]\n", output.status));
    }
    said
}

#[test]
fn every_command_says_of_every_golden_trace_what_it_always_said() {
    made();
    let mut wrong = Vec::new();
    for trace in [RECORDED, TORN, DAMAGED] {
        for (command, format, arguments) in COMMANDS {
            let name = format!("{trace}.{command}.{format}.txt");
            let path = folder("expected").join(&name);
            let said = said(arguments, trace);
            if is_blessing() {
                fs::create_dir_all(folder("expected")).expect("a folder");
                fs::write(&path, said).expect("room");
                continue;
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if said != expected {
                wrong.push(format!("{name}: {}", difference(&expected, &said)));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not as expected; if that is right, write it anew with SENDTRACE_BLESS=1:\n{}",
        wrong.join("\n")
    );
}

/// The first line that differs.
fn difference(expected: &str, said: &str) -> String {
    let pairs = expected.lines().zip(said.lines()).enumerate();
    let mut different = pairs.filter(|(_, (one, other))| one != other);
    match different.next() {
        Some((number, (one, other))) => {
            format!("line {}:\n  expected {one}\n  said     {other}", number + 1)
        }
        None => format!(
            "{} lines expected, {} said",
            expected.lines().count(),
            said.lines().count()
        ),
    }
}

#[test]
fn the_torn_and_the_damaged_trace_are_the_recorded_one_but_for_that() {
    for (name, bytes) in made() {
        assert!(&read(name) == bytes, "{name}");
    }
}

fn read(trace: &str) -> Vec<u8> {
    fs::read(folder("traces").join(trace)).expect("a golden trace")
}

/// What is made of the recorded trace: written once when that is asked for.
fn made() -> &'static [(&'static str, Vec<u8>); 2] {
    static MADE: OnceLock<[(&str, Vec<u8>); 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let recorded = read(RECORDED);
        let blocks = blocks(&recorded);
        assert!(blocks.len() >= 4, "{} blocks", blocks.len());
        let torn = recorded[..recorded.len() - 100].to_vec();
        let mut damaged = recorded.clone();
        damaged[blocks[2] + HEADER_BYTES + 10] ^= 0x10;
        let made = [(TORN, torn), (DAMAGED, damaged)];
        if is_blessing() {
            for (name, bytes) in &made {
                fs::write(folder("traces").join(name), bytes).expect("room");
            }
            seeds(&recorded, &blocks);
        }
        made
    })
}

/// What the fuzz targets begin with: each block, as a file and as the payload with what its header says of it.
fn seeds(trace: &[u8], blocks: &[usize]) {
    let ends = blocks.iter().skip(1).copied().chain([trace.len()]);
    for (number, (&start, end)) in blocks.iter().zip(ends).enumerate() {
        let block = &trace[start..end];
        let (header, payload) = block.split_first_chunk().expect("a header");
        let header = Header::decode(header).expect("a header");
        let lengths = [header.events.to_le_bytes(), header.raw_bytes.to_le_bytes()];
        let payload = [&lengths.concat(), payload].concat();
        for (target, seed) in [("reader", block), ("decoder", &payload)] {
            let path = folder("../fuzz/corpus").join(target);
            fs::create_dir_all(&path).expect("a folder");
            fs::write(path.join(format!("faults-{number}")), seed).expect("room");
        }
    }
}

/// Where blocks begin.
fn blocks(trace: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(bytes) = trace.get(at..).and_then(|rest| rest.first_chunk()) {
        let header = Header::decode(bytes).expect("a header: the trace is whole");
        starts.push(at);
        at += HEADER_BYTES + header.payload_bytes as usize;
    }
    assert_eq!(at, trace.len());
    starts
}
