//! `sendtrace replay`: what live would have printed, out of traces.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use super::Failure;
use super::live::renderer;
use super::playback::{LOOK_AGAIN, Play, Playback, Step, Wanted};
use crate::cli::{Replay, Speed};
use crate::interrupt::Interrupt;
use crate::render::{Renderer, host};

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
    match player.play(&mut out) {
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
        let counted = self.playback.counted();
        let clock = self.playback.clock(0);
        out.write_all(self.renderer.counted(&counted, clock).as_bytes())?;
        out.write_all(self.renderer.totals(&self.playback.totals()).as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn line(&self, track: usize, play: &Play) -> String {
        let clock = self.playback.clock(track);
        let line = match play {
            Play::Event(event) => self.renderer.event(event, clock),
            Play::Note(note) if self.args.samples => self.renderer.note(note, clock),
            Play::Note(_) => return String::new(),
        };
        match self.playback.tracks() {
            [_] => line,
            tracks => {
                let track = &tracks[track];
                host(line, track.host.as_deref().unwrap_or(track.name()), self.renderer)
            }
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
