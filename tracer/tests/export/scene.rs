//! A trace that is made here, and the program that reads it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tracer_format::layout::flag;
use tracer_format::note::{Counters, Fired, Note};
use tracer_format::{Builder, Seal};
use tracer_model::event::{
    Attribution, Cause, Detail, Endpoint, Event, EventKind, EventTotals, Flow, Outcome, Owner,
    Retransmit, SendError, Totals, Trigger,
};

/// 2026-11-18 11:06:40 UTC, nanoseconds.
pub const WALL_NS: i64 = 1_795_000_000_000_000_000;

/// A folder with a trace of two retransmits and two sends that failed.
pub struct Scene {
    pub folder: TempDir,
    pub trace: PathBuf,
}

pub fn event(boot_ns: u64, detail: Detail) -> Event {
    let end = |text: &str| {
        let address: SocketAddr = text.parse().expect("an address");
        Some(Endpoint::Inet(address))
    };
    Event {
        boot_ns,
        count: 1,
        owner: Owner {
            grade: Attribution::AtSend,
            pid: Some(4242),
            comm: Some("evil,\"\r\n".into()),
            ..Owner::default()
        },
        flow: Some(Flow {
            proto: "tcp".into(),
            local: end("10.0.0.1:43210"),
            remote: end("10.0.0.12:443"),
            netns: Some(4_026_531_840),
            socket: Some(31),
        }),
        detail,
        tcp: None,
    }
}

pub fn retransmit(boot_ns: u64) -> Event {
    event(
        boot_ns,
        Detail::Retransmit(Retransmit {
            cause: Cause::Rto,
            outcome: Outcome::Sent,
            attempt: Some(3),
            segments: Some(1),
            bytes: Some(1448),
            trigger: Trigger::Timer,
        }),
    )
}

pub fn send_error(boot_ns: u64) -> Event {
    let detail = SendError {
        errno: 70,
        requested_bytes: Some(100),
        sent_bytes: Some(0),
        blocked_us: None,
    };
    let mut event = event(boot_ns, Detail::SendError(detail));
    event.flow = Some(Flow {
        proto: "unix_dgram".into(),
        local: None,
        remote: Some(Endpoint::Unix("/run/log".into())),
        netns: None,
        socket: None,
    });
    event
}

pub fn counters(boot_ns: u64, each: u64) -> Counters {
    let totals = EventTotals {
        seen: each,
        emitted: each,
        delivered: each,
        ..EventTotals::default()
    };
    let event_kinds = [EventKind::Retransmit, EventKind::SendError];
    let event_kinds = event_kinds
        .into_iter()
        .map(|event_kind| (event_kind, totals))
        .collect();
    Counters {
        boot_ns,
        totals: Totals {
            events: event_kinds,
        },
    }
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let trace = folder.path().join("night.trace");
        fs::write(&trace, Self::blocks().concat()).expect("room");
        Self { folder, trace }
    }

    /// The beginning, a block of events, and the end.
    pub fn blocks() -> [Vec<u8>; 3] {
        let mut builder = Builder::new().expect("memory");
        let mut block = |flags, seq, fill: &dyn Fn(&mut Builder)| {
            fill(&mut builder);
            let seal = Seal {
                flags,
                trace_id: [7; 16],
                seq,
                sealed_boot_ns: 1_000_000_000 * (seq + 1),
                wall_minus_boot_ns: WALL_NS,
                clock_steps: 0,
            };
            builder.seal(&seal).bytes.into()
        };
        let facts = json!({
            "host": "db1", "kernel_release": "6.18.44", "architecture": "x86_64", "tool_version": "0.1.0",
            "arguments": ["sendtrace", "record"], "not_seen": ["refusals by a security module"],
            "zone": {"utc_offset_s": 32400},
        });
        let facts: Map<String, Value> = facts.as_object().cloned().unwrap_or_default();
        [
            block(flag::START, 0, &|builder| {
                builder.note(&Note::Header(facts.clone()));
                builder.note(&Note::Counters(counters(1, 0)));
            }),
            block(0, 1, &|builder| {
                builder.event(&retransmit(1_000_000_123));
                builder.event(&send_error(1_100_000_000));
                builder.note(&Note::Trigger(Fired {
                    boot_ns: 1_100_000_000,
                    expression: "errno=ECOMM".to_owned(),
                }));
                builder.event(&retransmit(1_200_000_000));
                builder.event(&send_error(1_300_000_000));
                builder.note(&Note::Counters(counters(1_300_000_000, 2)));
            }),
            block(flag::END, 2, &|builder| {
                builder.note(&Note::Totals(counters(1_300_000_000, 2)));
            }),
        ]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn export(&self, to: &str, out: &Path) -> Output {
        run(&["export", path(&self.trace), "--to", to, "-o", path(out)])
    }

    pub fn exported(&self, to: &str) -> Vec<u8> {
        let output = self.export(to, Path::new("-"));
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sendtrace"))
        .args(arguments)
        .output()
        .expect("sendtrace starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A block that follows the three of the scene.
pub fn later(seq: u64, note: &Note) -> Vec<u8> {
    let mut builder = Builder::new().expect("memory");
    builder.note(note);
    builder.event(&retransmit(1_000_000_000 * seq));
    let seal = Seal {
        trace_id: [7; 16],
        seq,
        sealed_boot_ns: 1_000_000_000 * (seq + 1),
        wall_minus_boot_ns: WALL_NS,
        ..Seal::default()
    };
    builder.seal(&seal).bytes.into()
}
