//! `sendtrace replay`: what live would have printed, out of traces.

mod aggregate;

use std::time::{Duration, Instant};

use super::merged_reader::{self, LOOK_AGAIN, MergedReader, Wanted, flush};
use super::{Failure, printed, terminal};
use crate::cli::{Replay, Speed};
use crate::interrupt::Interrupt;
use crate::sink::TerminalSink;
use aggregate::Aggregate;
use tracer_format::reader::recording::ReadStep;
use tracer_model::event::Counted;

/// Runs the command.
pub fn run(args: &Replay) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let mut reader = MergedReader::open(&Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: args.follow,
        strict: args.strict,
        utc: args.printed.utc,
    })?;
    let interrupt = Interrupt::catch()?;
    let mut terminal = terminal(args.printed)?;
    terminal.prints_samples = args.samples;
    let read = match args.aggregate {
        Some(window) => aggregate(&mut reader, args.strict, window, &mut terminal, &interrupt),
        None => {
            terminal.print(&terminal.renderer.header().unwrap_or_default());
            let most = args.count.unwrap_or(u64::MAX);
            reader.run(&mut terminal, &interrupt, &mut Pace::new(args.speed), most)
        }
    };
    flush(&mut terminal, &interrupt, LOOK_AGAIN);
    read?;
    printed(terminal, interrupt.came())
}

/// Goes through the traces one after the other: sums need no order.
fn aggregate(
    reader: &mut MergedReader,
    strict: bool,
    window: Option<Duration>,
    terminal: &mut TerminalSink,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let window_ns = window.map(|window| window.as_nanos() as i128);
    for index in 0..reader.traces().len() {
        let mut aggregate = Aggregate::new(window_ns);
        while !interrupt.came() && flush(terminal, interrupt, Duration::ZERO) {
            let trace = &mut reader.traces_mut()[index];
            match trace.block(strict)? {
                ReadStep::End => break,
                ReadStep::Wait => interrupt.wait(LOOK_AGAIN),
                ReadStep::Item(block) => {
                    if let Err(malformed) = aggregate.block(trace, &block) {
                        trace.malformed(&malformed.to_string(), strict)?;
                    }
                    for rows in aggregate.take_done() {
                        print_rows(reader, index, &rows, terminal);
                    }
                }
            }
        }
        print_rows(reader, index, &aggregate.finish(), terminal);
    }
    terminal.print(&terminal.renderer.totals(&reader.totals()));
    Ok(())
}

fn print_rows(reader: &MergedReader, trace: usize, rows: &[Counted], terminal: &mut TerminalSink) {
    let text = terminal.renderer.counted(rows, reader.clock(trace));
    for line in text.split_inclusive('\n') {
        reader.at(trace, |at| terminal.line(at, line.to_owned()));
    }
}

/// Keeps the time between events.
struct Pace {
    times: Option<f64>,
    begun: Option<(Instant, i64)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        let times = match speed {
            Speed::Max => None,
            Speed::Times(times) => Some(times),
        };
        Self { times, begun: None }
    }
}

impl merged_reader::Pace for Pace {
    fn pause(&mut self, wall_ns: i64) -> Option<Duration> {
        let times = self.times?;
        let (begun, first) = *self.begun.get_or_insert((Instant::now(), wall_ns));
        let since = u64::try_from(wall_ns.saturating_sub(first)).unwrap_or(0);
        let due = begun + Duration::from_nanos(since).div_f64(times);
        due.checked_duration_since(Instant::now())
    }
}
