//! `sendtrace replay`: what live would have printed, out of traces.

mod aggregate;

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use super::Failure;
use super::merged_reader::{Item, LOOK_AGAIN, MergedReader, NextBlock, NextItem, Wanted};
use super::renderer;
use crate::cli::{Replay, Speed};
use crate::interrupt::Interrupt;
use crate::render::Renderer;
use aggregate::Aggregate;
use tracer_model::event::Counted;

/// Runs the command.
pub fn run(args: &Replay) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let wanted = Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: args.follow,
        strict: args.strict,
        utc: args.printed.utc,
    };
    let reader = MergedReader::open(&wanted)?;
    let interrupt = Interrupt::catch()?;
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut player = Player {
        reader,
        renderer: renderer(args.printed),
        pace: Pace::new(args.speed),
        args,
        interrupt,
    };
    let played = match args.aggregate {
        Some(window) => player.aggregate(window, &mut out),
        None => player.play(&mut out),
    };
    match played {
        // Whoever read has what was wanted.
        Err(Failure::Failed(error)) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.root_cause().downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Player<'a> {
    reader: MergedReader,
    renderer: Renderer,
    pace: Pace,
    args: &'a Replay,
    interrupt: Interrupt,
}

impl Player<'_> {
    fn play(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        out.write_all(self.renderer.header().unwrap_or_default().as_bytes())?;
        let mut left = self.args.count.unwrap_or(u64::MAX);
        while left > 0 && !self.interrupt.came() {
            match self.reader.next()? {
                NextItem::End => break,
                NextItem::Wait => {
                    out.flush()?;
                    self.interrupt.wait(LOOK_AGAIN);
                }
                NextItem::Item(trace, item) => {
                    let line = self.line(trace, &item);
                    if line.is_empty() {
                        continue;
                    }
                    if let Item::Event(event) = &item {
                        left -= 1;
                        let clock = self.reader.clock(trace);
                        let wall_ns = i128::from(event.boot_ns) + clock.wall_minus_boot_ns;
                        if let Some(pause) = self.pace.until(wall_ns) {
                            out.flush()?;
                            self.interrupt.wait(pause);
                        }
                    }
                    out.write_all(line.as_bytes())?;
                }
            }
        }
        self.reader.write_end(&self.renderer, out)?;
        out.flush()?;
        Ok(())
    }

    /// Goes through the traces one after the other: sums need no order.
    fn aggregate(&mut self, window: Option<Duration>, out: &mut impl Write) -> Result<(), Failure> {
        let window_ns = window.map(|window| window.as_nanos() as i128);
        for index in 0..self.reader.traces().len() {
            let mut aggregate = Aggregate::new(window_ns);
            while !self.interrupt.came() {
                let trace = &mut self.reader.traces_mut()[index];
                match trace.block(self.args.strict)? {
                    NextBlock::End => break,
                    NextBlock::Wait => {
                        out.flush()?;
                        self.interrupt.wait(LOOK_AGAIN);
                    }
                    NextBlock::Block(block) => {
                        if let Err(malformed) = aggregate.block(trace, &block) {
                            trace.malformed(&malformed.to_string(), self.args.strict)?;
                        }
                        for rows in aggregate.take_done() {
                            self.rows(index, &rows, out)?;
                        }
                    }
                }
            }
            self.rows(index, &aggregate.finish(), out)?;
        }
        out.write_all(self.renderer.totals(&self.reader.totals()).as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn rows(&self, trace: usize, rows: &[Counted], out: &mut impl Write) -> io::Result<()> {
        let text = self.renderer.counted(rows, self.reader.clock(trace));
        match self.reader.traces() {
            [_] => out.write_all(text.as_bytes()),
            traces => text.split_inclusive('\n').try_for_each(|line| {
                let trace = &traces[trace];
                let host = trace.host.as_deref().unwrap_or(trace.name());
                out.write_all(self.renderer.of_host(line.to_owned(), host).as_bytes())
            }),
        }
    }

    fn line(&self, trace: usize, item: &Item) -> String {
        match item {
            Item::Note(_) if !self.args.samples => String::new(),
            item => self.reader.line(&self.renderer, trace, item),
        }
    }
}

/// Keeps the time between events.
struct Pace {
    times: Option<f64>,
    begun: Option<(Instant, i128)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        let times = match speed {
            Speed::Max => None,
            Speed::Times(times) => Some(times),
        };
        Self { times, begun: None }
    }

    /// How long to wait for an event of this wall time.
    fn until(&mut self, wall_ns: i128) -> Option<Duration> {
        let times = self.times?;
        let (begun, first) = *self.begun.get_or_insert((Instant::now(), wall_ns));
        let since = u64::try_from(wall_ns.saturating_sub(first)).unwrap_or(0);
        let due = begun + Duration::from_nanos(since).div_f64(times);
        due.checked_duration_since(Instant::now())
    }
}
