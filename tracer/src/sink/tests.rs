//! The same items make the same output, whichever source gives them.

use std::os::fd::OwnedFd;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::*;
use crate::cli::Filters;
use crate::commands::merged_reader::{MergedReader, Wanted};
use crate::interrupt::Interrupt;
use crate::output::{BATCH_BYTES, FinishOutcome, Output};
use crate::render::Renderer;
use tracer_format::start::Start;
use tracer_format::writer::{Options, Target, Writer};
use tracer_model::event::{CountedKind, EventKind, EventTotals, Owner};
use tracer_model::samples::{Action, ChangeKind, LinkChange};
use tracer_model::testing::{self, Rng};

const SECOND: u64 = 1_000_000_000;
const TEXT: Renderer = Renderer::Text { colour: true };

/// A source of a minute: random events, a sample every ten seconds, a change, a step of the clock, and its end.
fn minute(sink: &mut dyn Sink) {
    let mut rng = Rng::new(7);
    let mut clock = clock();
    let mut totals = Totals::default();
    let kind = EventKind::Retransmit;
    totals.events.push((kind, EventTotals::default()));
    let begun = clock.wall_ns(SECOND);
    for second in 1..60 {
        totals.events[0].1.seen = second;
        let counted = || Some(totals.clone());
        let at = |boot_ns| At {
            host: 0,
            name: None,
            clock: &clock,
            boot_ns,
            totals: &counted,
        };
        let mut times: Vec<_> = (0..30).map(|_| rng.below(SECOND)).collect();
        times.sort_unstable();
        for time in times {
            let event = Event {
                boot_ns: second * SECOND + time,
                ..testing::event(&mut rng)
            };
            sink.event(&at(event.boot_ns), &event);
        }
        let now = (second + 1) * SECOND;
        if second % 10 == 0 {
            let sample = Sample {
                boot_ns: now,
                interval_ns: 10 * SECOND,
                counters: Some([("Tcp.OutSegs".to_owned(), second)].into()),
                ..Sample::default()
            };
            sink.sample(&at(now), &sample);
            let what = ChangeKind::Link(LinkChange {
                action: Action::Changed,
                interface: Some("eth0".to_owned()),
                ..LinkChange::default()
            });
            let boot_ns = now;
            sink.change(&at(now), &Change { boot_ns, what });
        }
        sink.tick(&at(now));
        if second == 30 {
            let at = at(now);
            let mut set = clock.clone();
            set.wall_minus_boot_ns -= 5_000_000_000;
            sink.clock_step(&At { clock: &set, ..at });
            clock = set;
        }
    }
    let end = 60 * SECOND;
    let counted = Counted {
        event_kind: kind,
        kind: CountedKind::Aggregated,
        code: Some("rto".to_owned()),
        count: 3,
        bytes: None,
        first_boot_ns: Some(2 * SECOND),
        last_boot_ns: Some(end),
        owner: Some(Owner::default()),
        flow: None,
    };
    let at_end = At {
        host: 0,
        name: None,
        clock: &clock,
        boot_ns: end,
        totals: &|| Some(totals.clone()),
    };
    // Told in parts, it is the same as in one.
    for (count, first, last) in [(1, 2 * SECOND, 3 * SECOND), (2, 4 * SECOND, end)] {
        let part = Counted {
            count,
            first_boot_ns: Some(first),
            last_boot_ns: Some(last),
            ..counted.clone()
        };
        sink.counted(&at_end, &[part]);
    }
    sink.finish(&End {
        at: at_end,
        hosts: &[HostEnd {
            counted: vec![counted],
            covered: Some((begun, clock.wall_ns(end))),
            damage: Vec::new(),
        }],
        totals: &totals,
    });
}

fn clock() -> Clock {
    Clock {
        wall_minus_boot_ns: 1_700_000_000_000_000_000,
        zone: TimeZone::UTC,
    }
}

fn facts() -> Map<String, Value> {
    let facts = json!({"host": "db1", "events": ["retransmit", "drop"], "not_seen": ["a hook"]});
    facts.as_object().expect("an object").clone()
}

/// Everything that a command prints.
struct Printed {
    lines: [TerminalSink; 2],
    diagnosis: DiagnosisSink,
}

impl Printed {
    fn new() -> Self {
        let lines = [TEXT, Renderer::Json].map(|renderer| {
            let mut lines = TerminalSink::new(renderer, None);
            lines.prints_samples = true;
            lines
        });
        let mut diagnosis = DiagnosisSink::default();
        diagnosis.host("db1", TimeZone::UTC, &facts());
        Self { lines, diagnosis }
    }

    fn sinks(&mut self) -> Vec<&mut dyn Sink> {
        let [text, json] = &mut self.lines;
        vec![text, json, &mut self.diagnosis]
    }

    fn text(self) -> [String; 4] {
        let [text, json] = self.lines.map(|mut lines| {
            let lines = lines.take().to_vec();
            String::from_utf8(lines).expect("UTF-8")
        });
        let report = self.diagnosis.report(false).expect("the source has ended");
        [
            text,
            json,
            TEXT.report(&report),
            Renderer::Json.report(&report),
        ]
    }
}

#[test]
fn a_run_and_the_trace_of_it_print_the_same_lines_and_the_same_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.trace");
    let start = Start {
        trace_id: [1; 16],
        facts: facts(),
    };
    let writer = Writer::open(&Target::File(path.clone()), start, &Options::default());
    let handle = writer.expect("opens").start().expect("a thread");
    let offset = clock().wall_minus_boot_ns;
    let trace = TraceSink::new(TraceTarget::Writer(handle), [1; 16], offset, SECOND);
    let mut trace = trace.expect("memory");
    let mut live = Printed::new();
    let mut sinks = live.sinks();
    sinks.push(&mut trace);
    minute(&mut sinks);
    assert_eq!(trace.end().unwritten_blocks, 0);

    let mut reader = MergedReader::open(&Wanted {
        paths: &[path],
        filters: &Filters::default(),
        since: None,
        until: None,
        follow: false,
        strict: true,
        utc: true,
    })
    .unwrap_or_else(|failure| panic!("{failure:?}"));
    let mut replayed = Printed::new();
    let interrupt = Interrupt::catch().expect("a thread");
    let read = reader.run(&mut replayed.sinks(), &interrupt, &mut (), u64::MAX);
    read.expect("reads");

    let names = ["text", "json", "report", "report in JSON"];
    let both = live.text().into_iter().zip(replayed.text());
    for (name, (live, replayed)) in names.into_iter().zip(both) {
        assert!(live.lines().count() > 20, "{name}: {live}");
        for (index, (live, replayed)) in live.lines().zip(replayed.lines()).enumerate() {
            assert_eq!(live, replayed, "line {index} of {name}");
        }
        assert_eq!(live.len(), replayed.len(), "{name}");
    }
}

/// A terminal sink into a pipe that nobody reads, filled until it takes no more.
fn full(leaves_out: bool) -> (OwnedFd, TerminalSink) {
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    let output = Output::start(write).expect("a thread");
    let mut lines = TerminalSink::new(Renderer::Json, Some(output));
    lines.leaves_out = leaves_out;
    for _ in 0..200 {
        lines.print(&"x".repeat(BATCH_BYTES));
        lines.flush(Duration::ZERO);
    }
    (read, lines)
}

#[test]
fn a_reader_that_does_not_read_holds_up_the_source_unless_it_is_recorded() {
    let (_read, mut lines) = full(false);
    assert!(!lines.flush(Duration::ZERO));
    assert!(!lines.flush(Duration::from_millis(10)));
    assert_eq!(lines.left_out_bytes(), 0);
    let outcome = lines.end().expect("no error");
    assert!(matches!(outcome, FinishOutcome::Incomplete { .. }));

    let (read, mut lines) = full(true);
    assert!(lines.flush(Duration::ZERO) && lines.left_out_bytes() > 0);
    drop(read);
    assert!(!lines.is_gone(), "the recording goes on");
    let outcome = lines.end().expect("no error");
    assert_eq!(outcome, FinishOutcome::ReaderGone);
}

#[test]
fn a_reader_that_left_ends_the_source() {
    let (read, mut lines) = full(false);
    assert!(!lines.is_gone());
    drop(read);
    assert!(lines.is_gone());
}
