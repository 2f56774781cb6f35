//! `sendtrace info`: what is in traces, without putting events together.

mod collect;

use anyhow::Context as _;

use super::{Failure, print};
use crate::cli::{Format, Info};
use crate::interrupt::Interrupt;
use crate::render::info::{Ended, info};
use collect::Collect;
use tracer_format::reader::ReadItem;
use tracer_format::reader::recording::ReadStep;

/// Runs the command.
pub fn run(args: &Info) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let interrupt = Interrupt::catch()?;
    for path in &args.paths {
        let name = path.to_str().with_context(|| {
            format!(
                "{}: a path that is not UTF-8 cannot be read",
                path.display()
            )
        })?;
        of_path(name, args, &interrupt)?;
    }
    Ok(())
}

/// All recordings of a path: mostly one; the flight recorder leaves one per trigger in its folder.
fn of_path(name: &str, args: &Info, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut recording = super::open_trace(name, false)?;
    // Before it is read: what was cut off then is only not written yet.
    let written = recording.is_being_written()?;
    let is_json = args.format == Format::Json;
    let mut collect = Collect::new(name);
    loop {
        let step = recording.next()?;
        // Standard input ends then, too.
        if interrupt.came() {
            anyhow::bail!("interrupted");
        }
        match step {
            ReadStep::Item(ReadItem::Block(block)) => {
                if let Some(done) = collect.block(&block) {
                    print(&info(&done, is_json))?;
                }
            }
            ReadStep::Item(ReadItem::Notice(notice)) => {
                if args.strict && !(written && notice.is_torn_tail()) {
                    let name = tracer_model::escape::name(name.as_bytes());
                    anyhow::bail!("{name}: {notice} (--strict)");
                }
                collect.notice(&notice);
            }
            ReadStep::Wait | ReadStep::End => break,
        }
    }
    let mut last = collect.finish();
    if last.ended == Ended::Window && name.ends_with(".part") {
        last.ended = Ended::CutOff;
    }
    if written && last.ended != Ended::Cleanly {
        last.ended = Ended::NotYet;
    }
    if args.strict && last.malformed > 0 {
        let name = tracer_model::escape::name(name.as_bytes());
        anyhow::bail!(
            "{name}: {} blocks are not what the format says (--strict)",
            last.malformed
        );
    }
    Ok(print(&info(&last, is_json))?)
}
