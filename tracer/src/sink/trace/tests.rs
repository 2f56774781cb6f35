use super::*;
use crate::render::Clock;
use crate::sink::HostEnd;
use jiff::tz::TimeZone;
use tracer_format::Block;
use tracer_format::flight::Settings;
use tracer_format::reader::recording::ReadStep;
use tracer_format::reader::{ReadItem, Recording};
use tracer_format::start::Start;
use tracer_format::writer::{Options, Target, Writer};
use tracer_model::event::{EventKind, Totals};
use tracer_model::testing::{self, Rng};

const SECOND: u64 = 1_000_000_000;

/// What a source says at a time; its wall clock is so far ahead of the boot clock.
fn at(boot_ns: u64, ahead: i128, totals: Option<&Totals>, give: impl FnOnce(&At<'_>)) {
    give(&At {
        host: 0,
        name: None,
        clock: &Clock {
            wall_minus_boot_ns: ahead,
            zone: TimeZone::UTC,
        },
        boot_ns,
        totals: &|| totals.cloned(),
    });
}

/// A trace sink into a file, filled by `play`; gives the blocks behind the first.
fn recorded(play: impl FnOnce(&mut TraceSink)) -> Vec<Block> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("t.trace");
    let writer = Writer::open(
        &Target::File(path.clone()),
        Start::default(),
        &Options::default(),
    );
    let handle = writer.expect("opens").start().expect("a thread");
    let target = TraceTarget::Writer(handle);
    let mut trace_sink = TraceSink::new(target, [0; 16], 1000, SECOND).expect("memory");
    play(&mut trace_sink);
    at(100 * SECOND, 1000, None, |at| {
        trace_sink.finish(&End {
            at: *at,
            hosts: &[HostEnd::default()],
            totals: &Totals::default(),
        });
    });
    let report = trace_sink.end();
    assert_eq!((report.unwritten_blocks, report.status.lost_blocks), (0, 0));
    let mut recording = Recording::open(path.to_str().expect("UTF-8"), false).expect("opens");
    let mut blocks = Vec::new();
    loop {
        match recording.next().expect("reads") {
            ReadStep::Item(ReadItem::Block(block)) => blocks.push(*block),
            ReadStep::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(blocks.remove(0).header.starts());
    blocks
}

fn take(trace_sink: &mut TraceSink, boot_ns: u64) {
    let event = Event {
        boot_ns,
        ..testing::event(&mut Rng::new(boot_ns))
    };
    at(boot_ns, 1000, None, |at| trace_sink.event(at, &event));
}

fn walls(blocks: &[Block]) -> Vec<i128> {
    let mut walls = Vec::new();
    for block in blocks {
        let mut events = block.events().expect("columns");
        while let Some(event) = events.next().expect("an event") {
            walls.push(block.header.wall_ns(event.boot_ns));
        }
    }
    walls
}

#[test]
fn a_step_of_the_wall_clock_changes_no_event_that_came_before() {
    let blocks = recorded(|trace_sink| {
        take(trace_sink, 2 * SECOND);
        at(3 * SECOND, -5000, None, |at| trace_sink.clock_step(at));
        take(trace_sink, 4 * SECOND);
    });
    let (before, after) = (i128::from(2 * SECOND) + 1000, i128::from(4 * SECOND) - 5000);
    assert_eq!(walls(&blocks), [before, after]);
    assert_eq!(blocks.last().expect("blocks").header.clock_steps, 1);
    let anchors = blocks
        .iter()
        .flat_map(|block| &block.notes)
        .filter_map(|(_, note)| match note {
            Note::Anchor(anchor) => Some((anchor.why, anchor.wall_ns - anchor.boot_ns as i64)),
            _ => None,
        });
    let anchors: Vec<_> = anchors.collect();
    assert_eq!(
        anchors,
        [(AnchorWhy::Start, 1000), (AnchorWhy::Step, -5000)]
    );
}

#[test]
fn quiet_seconds_cost_a_block_every_ten() {
    let blocks = recorded(|trace_sink| {
        for second in 2..=62 {
            at(second * SECOND, 1000, None, |at| trace_sink.tick(at));
        }
    });
    // The start, one for each ten seconds, an anchor after a minute, the end.
    assert!((6..=9).contains(&blocks.len()), "{}", blocks.len());
    assert!(blocks.last().expect("blocks").header.ends());
}

#[test]
fn every_block_says_what_had_been_counted() {
    let blocks = recorded(|trace_sink| {
        let mut totals = Totals::default();
        totals.events.push((EventKind::Drop, Default::default()));
        for second in 2..5 {
            totals.events[0].1.seen = second;
            take(trace_sink, second * SECOND);
            at(second * SECOND, 1000, Some(&totals), |at| {
                trace_sink.tick(at);
            });
        }
    });
    let seen = blocks
        .iter()
        .flat_map(|block| &block.notes)
        .filter_map(|(_, note)| match note {
            Note::Counters(counters) => counters.totals.events.first().map(|(_, sums)| sums.seen),
            _ => None,
        });
    assert_eq!(seen.collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_storm_of_triggers_is_one_window_and_costs_no_blocks() {
    let dir = tempfile::tempdir().expect("a folder");
    let target = Target::Windows(dir.path().to_owned());
    let writer = Writer::open(&target, Start::default(), &Options::default()).expect("a folder");
    let settings = Settings {
        memory: 32 << 20,
        before: Duration::from_secs(10),
        after: Duration::from_secs(2),
    };
    let flight = Flight::start(writer, &settings).expect("a thread");
    let target = TraceTarget::Flight(Box::new(flight));
    let mut trace_sink = TraceSink::new(target, [0; 16], 1000, SECOND).expect("memory");
    for event in 0..1000 {
        let boot_ns = 2 * SECOND + event * 1_000_000;
        take(&mut trace_sink, boot_ns);
        at(boot_ns, 1000, None, |at| trace_sink.trigger(at, "send"));
    }
    at(4 * SECOND, 1000, None, |at| {
        trace_sink.finish(&End {
            at: *at,
            hosts: &[HostEnd::default()],
            totals: &Totals::default(),
        });
    });
    let status = trace_sink.end().status;
    assert_eq!((status.files, status.all_events()), (1, 1000));
    assert!(status.blocks <= 4, "{} blocks", status.blocks);
}
