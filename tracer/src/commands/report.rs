//! `sendtrace report`: what is wrong, in which layer, and what to try first.

use std::io::{self, Write as _};

use super::Failure;
use super::live::renderer;
use super::playback::{LOOK_AGAIN, Play, Playback, Step, Wanted};
use crate::cli::Report as Args;
use crate::diagnose::{HostFacts, Hours, Observed, Observer, Report};
use crate::interrupt::Interrupt;

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let mut playback = Playback::open(&Wanted {
        paths: &args.paths,
        filters: &args.filters,
        since: args.since,
        until: args.until,
        follow: false,
        strict: args.strict,
        utc: args.printed.utc,
    })?;
    let (observed, hours) = observe(&mut playback, &Interrupt::catch()?)?;
    let report = Report::new(observed, hours);
    let text = renderer(args.printed).report(&report);
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Takes everything that is wanted of traces.
///
/// # Errors
/// When reading fails, or at damage when that is asked for.
pub fn observe(
    playback: &mut Playback,
    interrupt: &Interrupt,
) -> Result<(Observed, Hours), Failure> {
    observe_each(playback, interrupt, |_, _, _| {})
}

/// The same, and shows everything to `each`: the index of the track, the time on the wall clock, and what came.
///
/// # Errors
/// As [`observe`].
pub fn observe_each(
    playback: &mut Playback,
    interrupt: &Interrupt,
    mut each: impl FnMut(usize, i64, &Play),
) -> Result<(Observed, Hours), Failure> {
    let mut observer = Observer::default();
    for track in playback.tracks() {
        let name = track.host.clone().unwrap_or_else(|| {
            let host = track.facts.get("host").and_then(serde_json::Value::as_str);
            host.unwrap_or(track.name()).to_owned()
        });
        let facts = HostFacts::new(name, track.clock.zone.clone(), &track.facts);
        observer.host(facts, &track.facts);
    }
    while !interrupt.came() {
        match playback.next()? {
            Step::End => break,
            Step::Wait => interrupt.wait(LOOK_AGAIN),
            Step::Play(track, play) => {
                let offset = playback.clock(track).wall_minus_boot_ns;
                let wall =
                    |boot_ns: u64| i64::try_from(i128::from(boot_ns) + offset).unwrap_or(i64::MAX);
                let at = match &play {
                    Play::Event(event) => wall(event.boot_ns),
                    Play::Note(note) => note.boot_ns().map_or(0, wall),
                };
                each(track, at, &play);
                match &play {
                    Play::Event(event) => observer.event(track, at, event),
                    Play::Note(note) => observer.note(track, at, note),
                }
            }
        }
    }
    for index in 0..playback.tracks().len() {
        for row in playback.tracks_mut()[index].counted() {
            observer.counted(index, row);
        }
        if let Some((first, last)) = playback.tracks()[index].covered() {
            let narrow = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
            observer.covered(narrow(first), narrow(last));
        }
    }
    Ok(observer.finish(playback.totals()))
}
