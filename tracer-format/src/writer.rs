//! Sealed blocks into files, in a thread of its own: the tracer never waits for a disk.
//!
//! From the inside out: [`disk`] (the few operations on files, which tests let fail one by one), [`folder`] and
//! [`stream`] (the real ones), [`segment`] (one file of whole blocks), [`gap`] (what is missing), [`names`] and
//! [`retention`] (which segments there are, and which must go), [`recorder`] (what is written when), [`queue`]
//! and [`thread`].
//!
//! Rules: a block is in a file whole or not at all; what could not be written is counted, and a gap block says
//! so in its place before the next block that is written; every file begins with a START block; what was
//! written is synced when a file begins and ends, and after [`Options::sync`] at the latest.

pub mod disk;
mod folder;
pub mod gap;
mod names;
mod privileges;
mod queue;
mod recorder;
mod retention;
mod segment;
mod status;
mod stream;
mod thread;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};

pub use folder::Ids;
pub use gap::Loss;
pub(crate) use queue::{Budget, Charge, Entry, IDLE_ITEMS, Item, Shared};
pub use retention::RetentionLimits;
pub use status::{Notice, Status};

use self::disk::Disk;
use self::folder::{Folder, shown};
use self::recorder::{Place, Recorder, Shape};
use self::retention::Retention;
use self::segment::Segment;
use self::stream::Stream;
use super::block::Sealed;
use super::note::Counters;
use super::start::Start;

/// Where a trace goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Output,
    /// A file, which must not be there yet.
    File(PathBuf),
    /// A folder of segments.
    Segments(PathBuf),
    /// A folder of windows: see [`super::flight`].
    Windows(PathBuf),
}

impl Target {
    /// What `-w PATH` means: `-` is standard output, segments go to a folder.
    pub fn of(path: &Path, rotates: bool) -> Self {
        if path == Path::new("-") {
            Self::Output
        } else if rotates || path.is_dir() {
            Self::Segments(path.to_owned())
        } else {
            Self::File(path.to_owned())
        }
    }
}

/// How a trace is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment is no longer than this, bytes, unless a single block is.
    pub rotate_size: Option<u64>,
    /// A segment does not span more time than this.
    pub rotate_every: Option<Duration>,
    /// What stays.
    pub keep: RetentionLimits,
    /// Nothing that was written stays unsynced for longer.
    pub sync: Duration,
    /// Whom files are given to; `None`: they stay with who records.
    pub owner: Option<Ids>,
    /// So many bytes of blocks may wait for the disk.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rotate_size: None,
            rotate_every: None,
            keep: RetentionLimits::default(),
            sync: Duration::from_secs(10),
            owner: None,
            queue_bytes: 8 << 20,
        }
    }
}

/// What a trace goes to, open, while nothing is written yet.
pub struct Writer {
    recorder: Recorder,
    queue_bytes: usize,
    /// What to warn of.
    pub warnings: Vec<String>,
}

/// A writer at work.
pub struct Handle {
    shared: Arc<Shared>,
    budget: Budget,
    thread: Option<JoinHandle<()>>,
}

/// Sees what a writer does.
#[derive(Clone, Debug)]
pub struct Watcher(Arc<Shared>);

impl Watcher {
    /// What has been done so far.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// What the user should hear of, and windows that are complete, since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.notices()
    }
}

/// How a writer ended.
#[derive(Clone, Debug)]
pub struct WriterSummary {
    pub status: Status,
    /// Notices that were not taken before.
    pub notices: Vec<Notice>,
    /// Blocks that the disk, or the reader of a pipe, had not taken in time: 0 when all is done.
    pub unwritten_blocks: u64,
}

impl Writer {
    /// Opens what the trace goes to: as long as there are privileges, so that it may be anywhere. Segments are
    /// made later, without privileges; whether that will work is tried out here.
    ///
    /// # Errors
    /// In one line what is wrong with the target, and what to do.
    pub fn open(target: &Target, start: Start, options: &Options) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        let place = match target {
            Target::Output => output()?,
            Target::File(path) => file(path, options)?,
            Target::Segments(path) => {
                let shape = Shape::Segments {
                    bytes: options.rotate_size,
                    time: options.rotate_every,
                };
                segments(path, shape, options, &mut warnings)?
            }
            Target::Windows(path) => segments(path, Shape::Windows, options, &mut warnings)?,
        };
        Ok(Self {
            recorder: Recorder::new(place, start, options.sync),
            queue_bytes: options.queue_bytes,
            warnings,
        })
    }

    /// Begins to write. Threads inherit privileges: call it when they have been dropped.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(self) -> io::Result<Handle> {
        let budget = Budget::new(self.queue_bytes);
        self.start_with(budget)
    }

    /// With another bound of memory.
    pub(crate) fn start_with(self, budget: Budget) -> io::Result<Handle> {
        let shared = Arc::new(Shared::default());
        shared.publish(&self.recorder.status, Vec::new());
        let thread = thread::start(self.recorder, Arc::clone(&shared))?;
        Ok(Handle {
            shared,
            budget,
            thread: Some(thread),
        })
    }
}

impl Handle {
    /// Takes a block, with the counters as of this block. Never waits and never fails: when too much waits for
    /// the disk already, the block is dropped and counted.
    pub fn submit(&self, sealed: Sealed, counters: &Counters) {
        let charge = self.budget.charge(sealed.bytes.len());
        let why = "the disk takes less than is recorded";
        self.shared.submit(sealed, counters, charge, why);
    }

    /// For whoever watches what is done.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::clone(&self.shared))
    }

    /// Writes what waits, syncs, and ends; waits for it no longer than `most`.
    pub fn finish(mut self, most: Duration) -> WriterSummary {
        self.end(None, most)
    }

    pub(crate) fn end(&mut self, lost: Option<Loss>, most: Duration) -> WriterSummary {
        self.shared.end(lost);
        let done = self.shared.wait_done(most);
        if done && let Some(thread) = self.thread.take() {
            // It has ended.
            let _ = thread.join();
        }
        WriterSummary {
            status: self.shared.status(),
            notices: self.shared.notices(),
            // With the one that is being written.
            unwritten_blocks: self.shared.waiting() + u64::from(!done),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.end(None);
    }
}

fn output() -> anyhow::Result<Place> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        bail!(
            "standard output is a terminal, and a trace is no text: name a file with -w, or redirect it"
        );
    }
    let fd = stdout.as_fd().try_clone_to_owned();
    let fd = fd.context("standard output is not open")?;
    Ok(stream(Box::new(Stream::new(fd))))
}

fn stream(sink: Box<dyn disk::Sink>) -> Place {
    Place {
        shape: Shape::One,
        disk: None,
        folder: PathBuf::new(),
        segment: Some(Segment::new(sink, String::new(), 0)),
        retention: Retention::default(),
    }
}

fn file(path: &Path, options: &Options) -> anyhow::Result<Place> {
    let (mut folder, name) = Folder::of_file(path, options.owner)?;
    let sink = folder.create(&name).map_err(|error| {
        let shown = shown(path);
        if error.kind() == io::ErrorKind::AlreadyExists {
            anyhow::anyhow!("{shown} is there already, and a trace overwrites nothing: remove it, or name another file")
        } else {
            anyhow::anyhow!("{shown}: cannot make the file: {}", gap::words(&error))
        }
    })?;
    let keep = RetentionLimits {
        free: options.keep.free,
        ..RetentionLimits::default()
    };
    Ok(Place {
        shape: Shape::One,
        disk: Some(Box::new(folder)),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        segment: Some(Segment::new(sink, name, 0)),
        retention: Retention::alone(keep),
    })
}

fn segments(
    path: &Path,
    shape: Shape,
    options: &Options,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Place> {
    let (mut folder, warning) = Folder::of_segments(path, options.owner)?;
    warnings.extend(warning);
    let shown = shown(path);
    privileges::without_capabilities(|| folder.try_out()).map_err(|error| {
        anyhow::anyhow!(
            "{shown}: files cannot be made in this folder without privileges, which are given up before recording: \
             {}; name a folder that is not there yet, or one that belongs to who records",
            gap::words(&error)
        )
    })?;
    let retention = Retention::new(&mut folder, options.keep).map_err(|error| {
        anyhow::anyhow!("{shown}: cannot list the folder: {}", gap::words(&error))
    })?;
    Ok(Place {
        shape,
        disk: Some(Box::new(folder)),
        folder: path.to_owned(),
        segment: None,
        retention,
    })
}

#[cfg(test)]
pub(crate) mod tests;
