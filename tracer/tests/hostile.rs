//! No trace, whatever is in it, takes more memory or time than its size allows, in any command; and none ends one in a
//! panic.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tracer_format::column::{Column, Writer};
use tracer_format::layout::{HEADER_BYTES, Header, flag};

/// What a command may take: 64 MiB, the longest block, and the program itself.
const MEMORY: i64 = (64 + 4 + 16) << 20;
/// And so long for each MiB of unpacked blocks, as it is built for users.
const PER_MIB: Duration = Duration::from_secs(2);
/// A program that is not optimised is slower by about this.
const SLOWER: u32 = if cfg!(debug_assertions) { 10 } else { 1 };

const COMMANDS: [&[&str]; 10] = [
    &["replay"],
    &["replay", "--format", "json", "--samples"],
    &["replay", "--aggregate=1s"],
    &["report"],
    &["report", "--format", "json"],
    &["info"],
    &["info", "--format", "json"],
    &["export", "--to", "csv", "-o", "-"],
    &["export", "--to", "parquet", "-o", "-"],
    &["export", "--to", "pcapng", "-o", "-"],
];

/// A trace of blocks that hold anything.
#[derive(Default)]
struct Forged {
    bytes: Vec<u8>,
    unpacked: usize,
    blocks: u64,
}

impl Forged {
    fn block(&mut self, flags: u16, events: u32, fill: impl FnOnce(&mut Writer)) {
        self.block_of([1; 16], flags, events, fill);
    }

    fn block_of(
        &mut self,
        trace_id: [u8; 16],
        flags: u16,
        events: u32,
        fill: impl FnOnce(&mut Writer),
    ) {
        let mut columns = Writer::new().expect("memory");
        fill(&mut columns);
        let raw_bytes = columns.raw_bytes() as u32;
        let mut payload = Vec::new();
        columns.seal(&mut payload);
        self.sections(trace_id, flags, events, raw_bytes, &payload);
    }

    fn sections(
        &mut self,
        trace_id: [u8; 16],
        flags: u16,
        events: u32,
        raw_bytes: u32,
        payload: &[u8],
    ) {
        self.blocks += 1;
        let header = Header {
            flags,
            payload_bytes: payload.len() as u32,
            trace_id,
            seq: self.blocks,
            sealed_boot_ns: self.blocks << 30,
            first_boot_ns: self.blocks << 30,
            last_boot_ns: self.blocks << 30,
            events,
            raw_bytes,
            payload_crc: crc32c::crc32c(payload),
            ..Header::default()
        };
        self.bytes.extend(header.encode());
        self.bytes.extend(payload);
        self.unpacked += HEADER_BYTES + raw_bytes as usize;
    }

    fn notes(&mut self, flags: u16, notes: &[String]) {
        self.block(flags, 0, |columns| put_notes(columns, notes));
    }
}

fn put_notes(columns: &mut Writer, notes: &[String]) {
    for json in notes {
        columns.number(Column::Notes, 0);
        columns.number(Column::Notes, json.len() as u64);
        columns.bytes(Column::Notes, json.as_bytes());
    }
}

fn put_text(columns: &mut Writer, text: &[u8]) {
    columns.number(Column::TextLengths, text.len() as u64);
    columns.bytes(Column::TextBytes, text);
}

/// An owner without a process; `cgroup` and `comm` are texts and one.
fn put_owner(columns: &mut Writer, comm: u64, cgroup: u64, holders: u64) {
    for (column, value) in [
        (Column::OwnerGrade, 7),
        (Column::OwnerPid, 0),
        (Column::OwnerTid, 0),
        (Column::OwnerComm, comm),
        (Column::OwnerUid, 0),
        (Column::OwnerCgroup, cgroup),
        (Column::OwnerStarted, 0),
        (Column::OwnerWhy, 0),
        (Column::OwnerHolders, holders),
    ] {
        columns.number(column, value);
    }
    for _ in 0..4 * holders {
        columns.number(Column::OwnerHolders, 0);
    }
}

/// TCP from 1.2.3.4 (text 0) to the same; sockets count up.
fn put_flow(columns: &mut Writer) {
    for (column, value) in [
        (Column::FlowProto, 1),
        (Column::FlowNetns, 0),
        (Column::FlowSocket, 2),
        (Column::FlowLocalKind, 1),
        (Column::FlowLocalName, 0),
        (Column::FlowLocalNumber, 9),
        (Column::FlowRemoteKind, 1),
        (Column::FlowRemoteName, 0),
        (Column::FlowRemoteNumber, 9),
    ] {
        columns.number(column, value);
    }
}

/// A send; `flow` is a row and one.
fn put_send(columns: &mut Writer, flow: u64, count: u64, bytes: u64) {
    for (column, value) in [
        (Column::EventKind, 6),
        (Column::Time, 2),
        (Column::Count, count),
        (Column::Flow, flow),
        (Column::Owner, 0),
        (Column::SendRequested, 0),
        (Column::SendSent, bytes),
        (Column::TcpThere, 0),
    ] {
        columns.number(column, value);
    }
}

/// A refused connection; `flow` is a row and one.
fn put_refused(columns: &mut Writer, flow: u64) {
    for (column, value) in [
        (Column::EventKind, 5),
        (Column::Time, 2),
        (Column::Count, 0),
        (Column::Flow, flow),
        (Column::Owner, 0),
        (Column::ConnectionStates, 2 * 32 + 7),
        (Column::ConnectionErrno, 112),
        (Column::TcpThere, 0),
    ] {
        columns.number(column, value);
    }
}

/// Makes one trace after the other: what this process has in memory counts for its children too.
fn forge_all(each: &mut dyn FnMut(&str, &Forged)) {
    let mut forge = |name: &str, fill: &dyn Fn(&mut Forged)| {
        let mut trace = Forged::default();
        fill(&mut trace);
        each(name, &trace);
    };
    forge("next to nothing", &|trace| {
        trace.notes(flag::START, &["{\"note\":\"header\"}".to_owned()]);
    });
    forge("numbers at their ends", &|trace| {
        let gap = format!(
            "{{\"note\":\"gap\",\"first_boot_ns\":0,\"last_boot_ns\":{0},\"blocks\":{0},\"events\":[[\"send\",{0}],[\"send\",{0}]],\"why\":\"\"}}",
            u64::MAX
        );
        let kind = format!(
            "{{\"event\":\"send\",\"seen\":{0},\"filtered\":{0},\"emitted\":{0},\"aggregated\":{0},\"delivered\":{0},\"lost\":{0},\"missed\":{0}}}",
            u64::MAX
        );
        let counters = format!(
            "{{\"note\":\"counters\",\"boot_ns\":{},\"events\":[{kind},{kind}]}}",
            u64::MAX
        );
        for block in 0_u8..4 {
            trace.block_of([block / 2; 16], flag::START, 4, |columns| {
                put_notes(columns, &[gap.clone(), gap.clone(), counters.clone()]);
                put_owner(columns, 0, 0, 0);
                (0..4).for_each(|_| put_send(columns, 0, u64::MAX - 1, u64::MAX));
            });
        }
    });
    forge("leftovers of another recording", &|trace| {
        trace.notes(flag::START, &[]);
        for _ in 0..20_000 {
            trace.block_of([2; 16], 0, 0, |_| {});
        }
    });
    forge("a recording in every block", &|trace| {
        for block in 0_u64..2_000 {
            let mut trace_id = [0; 16];
            trace_id[..8].copy_from_slice(&block.to_le_bytes());
            trace.block_of(trace_id, flag::START, 0, |_| {});
        }
    });
    forge("rows of counts with long owners", &|trace| {
        let row = "{\"note\":\"counted\",\"event\":6,\"kind\":\"would_block\",\"code\":null,\"count\":18446744073709551615,\"bytes\":18446744073709551615,\"first_boot_ns\":1,\"last_boot_ns\":2,\"owner\":0,\"flow\":null}";
        for block in 0..50 {
            let flags = if block == 0 { flag::START } else { 0 };
            trace.block(flags, 0, |columns| {
                put_text(columns, &[b'a'; 60_000]);
                put_owner(columns, 1, 1, 0);
                put_notes(columns, &vec![row.to_owned(); 100]);
            });
        }
    });
    forge("a hundred thousand events", &|trace| {
        trace.block(flag::START, 100_000, |columns| {
            put_owner(columns, 0, 0, 0);
            (0..100_000).for_each(|_| put_send(columns, 0, 0, 0));
        });
    });
    forge("the same long names in every event", &|trace| {
        trace.block(flag::START, 20_000, |columns| {
            put_text(columns, &[b'a'; 60_000]);
            put_owner(columns, 1, 1, 0);
            (0..20_000).for_each(|_| put_send(columns, 0, 0, 0));
        });
    });
    forge("an owner with more holders than are listed", &|trace| {
        trace.block(flag::START, 100_000, |columns| {
            put_owner(columns, 0, 0, 100_000);
            (0..100_000).for_each(|_| put_send(columns, 0, 0, 0));
        });
    });
    forge("more owners than any host has", &|trace| {
        trace.block(flag::START, 1, |columns| {
            (0..400_000).for_each(|_| put_owner(columns, 0, 0, 0));
            put_send(columns, 0, 0, 0);
        });
    });
    forge("millions of empty texts", &|trace| {
        trace.block(flag::START, 0, |columns| {
            (0..4 << 20).for_each(|_| put_text(columns, b""));
        });
    });
    forge("notes of many small objects", &|trace| {
        let objects = "{\"\":0},".repeat(120_000);
        let note = format!("{{\"note\":\"header\",\"not_seen\":[{objects}0]}}");
        trace.notes(flag::START, &[note.clone(), note.clone(), note]);
    });
    forge("a million empty notes", &|trace| {
        trace.notes(flag::START, &vec!["{}".to_owned(); 1_000_000]);
    });
    forge("a header as long as a note may be", &|trace| {
        let words = "\"aaaaaaaaaa\",".repeat(60_000);
        let note =
            format!("{{\"note\":\"header\",\"arguments\":[{words}0],\"not_seen\":[{words}0]}}");
        trace.notes(flag::START, &[note]);
    });
    forge("a million sections", &|trace| {
        let mut payload = Vec::new();
        for number in 0_u32..900_000 {
            let [a, b, c, _] = (number + (1 << 20)).to_le_bytes();
            payload.extend([a | 0x80, b | 0x80, c & 0x7f, 0, 0, 0]);
        }
        payload.truncate(4 << 20);
        trace.sections([1; 16], flag::START, 0, 0, &payload);
    });
    // The last one, for a report keeps thousands of sockets, whatever comes: that is no memory of a block.
    forge("half a million refused connections", &|trace| {
        for block in 0..20 {
            let flags = if block == 0 { flag::START } else { 0 };
            trace.block(flags, 25_000, |columns| {
                put_text(columns, &[1, 2, 3, 4]);
                put_text(columns, b"tcp");
                put_owner(columns, 0, 0, 0);
                // Other sockets than in the block before.
                columns.signed(Column::FlowSocket, 1_000_000 * (block + 1));
                for flow in 1..=25_000 {
                    put_flow(columns);
                    put_refused(columns, flow);
                }
            });
        }
    });
}

/// Memory at its highest, bytes, over all children so far; and their processor time.
fn used() -> (i64, Duration) {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("children");
    let time = [usage.user_time(), usage.system_time()]
        .map(|time| Duration::new(time.tv_sec() as u64, 1000 * time.tv_usec() as u32));
    (usage.max_rss() << 10, time[0] + time[1])
}

fn run(command: &[&str], path: &Path) -> Duration {
    let (_, before) = used();
    let status = Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(command)
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program");
    assert!(
        matches!(status.code(), Some(0 | 1)),
        "{command:?} {path:?}: {status}"
    );
    used().1 - before
}

#[test]
fn no_trace_takes_more_memory_or_time_than_its_size_allows() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    forge_all(&mut |name, trace| {
        let path = dir.path().join(format!("{name}.trace"));
        fs::write(&path, &trace.bytes).expect("room");
        let mib = trace.unpacked.div_ceil(1 << 20).max(1) as u32;
        for command in COMMANDS {
            let time = run(command, &path);
            let (memory, _) = used();
            if std::env::var_os("SENDTRACE_FIGURES").is_some() {
                println!(
                    "{name}: {command:?}: {} MiB so far, {time:?} for {mib} MiB",
                    memory >> 20
                );
            }
            let most = match name.contains("refused") {
                true => 2 * MEMORY,
                false => MEMORY,
            };
            if memory > most {
                wrong.push(format!("{name}: {command:?} takes {} MiB", memory >> 20));
                return;
            }
            if time > PER_MIB * SLOWER * mib {
                wrong.push(format!("{name}: {command:?} takes {time:?} for {mib} MiB"));
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
