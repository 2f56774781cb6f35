//! `sendtrace replay`: what live would have printed, out of traces.

mod aggregate;

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use super::Failure;
use super::playback::{LOOK_AGAIN, Next, Play, Playback, Step, Wanted};
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
    let playback = Playback::open(&wanted)?;
    let interrupt = Interrupt::catch()?;
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut player = Player {
        playback,
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
    playback: Playback,
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
            match self.playback.next()? {
                Step::End => break,
                Step::Wait => {
                    out.flush()?;
                    self.interrupt.wait(LOOK_AGAIN);
                }
                Step::Play(track, play) => {
                    let line = self.line(track, &play);
                    if line.is_empty() {
                        continue;
                    }
                    if let Play::Event(event) = &play {
                        left -= 1;
                        let clock = self.playback.clock(track);
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
        self.playback.write_end(&self.renderer, out)?;
        out.flush()?;
        Ok(())
    }

    /// Goes through the traces one after the other: sums need no order.
    fn aggregate(&mut self, window: Option<Duration>, out: &mut impl Write) -> Result<(), Failure> {
        let window_ns = window.map(|window| window.as_nanos() as i128);
        for index in 0..self.playback.tracks().len() {
            let mut aggregate = Aggregate::new(window_ns);
            while !self.interrupt.came() {
                let track = &mut self.playback.tracks_mut()[index];
                match track.block(self.args.strict)? {
                    Next::End => break,
                    Next::Wait => {
                        out.flush()?;
                        self.interrupt.wait(LOOK_AGAIN);
                    }
                    Next::Block(block) => {
                        if let Err(malformed) = aggregate.block(track, &block) {
                            track.malformed(&malformed.to_string(), self.args.strict)?;
                        }
                        for rows in aggregate.take_done() {
                            self.rows(index, &rows, out)?;
                        }
                    }
                }
            }
            self.rows(index, &aggregate.finish(), out)?;
        }
        out.write_all(self.renderer.totals(&self.playback.totals()).as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn rows(&self, track: usize, rows: &[Counted], out: &mut impl Write) -> io::Result<()> {
        let text = self.renderer.counted(rows, self.playback.clock(track));
        match self.playback.tracks() {
            [_] => out.write_all(text.as_bytes()),
            tracks => text.split_inclusive('\n').try_for_each(|line| {
                let track = &tracks[track];
                let host = track.host.as_deref().unwrap_or(track.name());
                out.write_all(self.renderer.of_host(line.to_owned(), host).as_bytes())
            }),
        }
    }

    fn line(&self, track: usize, play: &Play) -> String {
        match play {
            Play::Note(_) if !self.args.samples => String::new(),
            play => self.playback.line(&self.renderer, track, play),
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
