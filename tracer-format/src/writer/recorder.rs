//! Blocks into files: what is written when, and what happens when it cannot be. Runs in the writer's thread.

mod files;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::disk::Disk;
use super::folder::shown;
use super::gap::{Loss, words};
use super::names::Name;
use super::queue::Entry;
use super::retention::{Now, Retention};
use super::segment::Segment;
use super::status::{Notice, Notices, Status, add};
use crate::block::Sealed;
use crate::layout::Header;
use crate::note::Counters;
use crate::start::Start;

/// Why blocks are missing that were written.
const DELETED: &str = "the file was deleted while it was written";

/// How blocks are spread over files.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Into one that is open already: a file, or standard output.
    One,
    /// Into the segments of a folder.
    Segments {
        /// A segment is no longer than this, bytes, unless a single block is.
        bytes: Option<u64>,
        /// A segment does not span more time than this.
        time: Option<Duration>,
    },
    /// Into a file per window of the flight recorder.
    Windows,
}

/// Writes blocks, one after the other.
pub struct Recorder {
    shape: Shape,
    /// `None`: standard output.
    disk: Option<Box<dyn Disk>>,
    folder: PathBuf,
    start: Start,
    sync_ns: u64,
    retention: Retention,
    segment: Option<Segment>,
    name: Option<Name>,
    /// Of the one file.
    file: String,
    /// The next block begins a new segment.
    rotate: bool,
    /// Of the flight recorder.
    in_window: bool,
    /// What is missing before the next block.
    gap: Option<Loss>,
    /// As they stood before what comes next, be it a gap.
    before: Counters,
    /// As of the last block, written or not.
    latest: Counters,
    pub status: Status,
    pub notices: Notices,
}

/// What a [`Recorder`] writes to.
pub struct Place {
    pub shape: Shape,
    /// `None`: standard output.
    pub disk: Option<Box<dyn Disk>>,
    /// For messages.
    pub folder: PathBuf,
    /// What is open already.
    pub segment: Option<Segment>,
    pub retention: Retention,
}

impl Recorder {
    pub fn new(place: Place, start: Start, sync: Duration) -> Self {
        let mut status = Status::default();
        if let (Some(segment), Some(_)) = (&place.segment, &place.disk) {
            status.path = Some(place.folder.join(&segment.name));
        }
        status.files = place.segment.is_some().into();
        let file = place.segment.as_ref().map(|segment| segment.name.clone());
        Self {
            shape: place.shape,
            disk: place.disk,
            folder: place.folder,
            start,
            sync_ns: u64::try_from(sync.as_nanos()).unwrap_or(u64::MAX),
            retention: place.retention,
            segment: place.segment,
            name: None,
            file: file.unwrap_or_default(),
            rotate: false,
            in_window: false,
            gap: None,
            before: Counters::default(),
            latest: Counters::default(),
            status,
            notices: Notices::default(),
        }
    }

    /// Writes a block, or counts it as missing.
    pub fn block(&mut self, entry: &Entry, now_boot_ns: u64) {
        if self.status.reader_gone {
            return;
        }
        self.look_after_file(now_boot_ns);
        if let Some(loss) = &entry.lost_before {
            self.miss(Loss::clone(loss));
        }
        let sealed = &entry.sealed;
        match self.write(Some(sealed), now_boot_ns) {
            Ok(()) => self.status.problem = None,
            Err(why) => {
                self.status.lose(&sealed.events);
                self.miss(Loss::of(sealed.header, sealed.events, &why));
                self.complain(&why, now_boot_ns);
            }
        }
        self.latest.clone_from(&entry.counters);
    }

    /// Blocks that are not going to come: they were dropped on the way here, and counted there.
    pub fn miss(&mut self, loss: Loss) {
        if self.gap.is_none() {
            self.before.clone_from(&self.latest);
        }
        Loss::add(&mut self.gap, loss);
    }

    /// A window begins; `counters` as they stood before it.
    pub fn begin_window(&mut self, counters: &Counters) {
        self.latest.clone_from(counters);
        self.gap = None;
        self.in_window = true;
    }

    /// Is there anything that blocks go to?
    pub fn is_open(&self) -> bool {
        self.in_window || !matches!(self.shape, Shape::Windows)
    }

    /// When [`Self::tick`] has something to do, nanoseconds of CLOCK_BOOTTIME.
    pub fn due_boot_ns(&self) -> Option<u64> {
        let since = self.segment.as_ref()?.unsynced_since()?;
        Some(since.saturating_add(self.sync_ns))
    }

    /// Syncs what has waited for it long enough.
    pub fn tick(&mut self, now_boot_ns: u64) {
        if self.due_boot_ns().is_some_and(|due| due <= now_boot_ns)
            && let Some(segment) = &mut self.segment
            && let Err(error) = segment.sync()
        {
            self.rotate = true;
            self.unsynced(&error, now_boot_ns);
        }
    }

    /// Ends the file: the gap that may be pending, what is torn, sync; a window gets its name.
    pub fn finish(&mut self, now_boot_ns: u64) {
        if self.status.reader_gone {
            return;
        }
        self.look_after_file(now_boot_ns);
        if self.gap.is_some()
            && let Err(why) = self.write(None, now_boot_ns)
        {
            let lost = self.gap.as_ref().map_or(0, Loss::all_events);
            let text =
                format!("{why}: the trace cannot say that {lost} events are missing at its end");
            self.notices
                .tell(Notice::Warning(format!("{}: {text}", self.shown())));
        }
        self.gap = None;
        self.in_window = false;
        self.close(now_boot_ns);
    }

    /// Everything that is written goes through here: START block, gap, block.
    fn write(&mut self, block: Option<&Sealed>, now_boot_ns: u64) -> Result<(), String> {
        let gap = self.gap.as_ref().map(Loss::block).transpose();
        let gap = gap.map_err(|error| words(&error))?;
        let first = match (&self.gap, block) {
            (Some(loss), _) => loss.first,
            (None, Some(block)) => block.header,
            (None, None) => return Ok(()),
        };
        let length = |block: Option<&Sealed>| block.map_or(0, |block| block.bytes.len() as u64);
        let bytes = length(gap.as_ref()) + length(block);
        let newest = block.map_or(first, |block| block.header);
        self.make_room(bytes, &newest, now_boot_ns)?;
        self.rotate_if_due(bytes, &first, now_boot_ns)?;
        let Some(segment) = &mut self.segment else {
            return Err("no file is open".to_owned());
        };
        let start = if segment.started {
            None
        } else {
            let counters = match &self.gap {
                Some(_) => &self.before,
                None => &self.latest,
            };
            let is_window = matches!(self.shape, Shape::Windows);
            let start = self.start.before(&first, counters, is_window);
            Some(start.map_err(|error| words(&error))?)
        };
        let blocks = [start.as_ref(), gap.as_ref(), block];
        let blocks: Vec<&[u8]> = blocks.iter().flatten().map(|block| &*block.bytes).collect();
        let old = segment.bytes();
        let answer = segment.append(&blocks, now_boot_ns);
        let whole = match &answer {
            Ok(()) => blocks.len(),
            Err(failed) => failed.whole,
        };
        self.status.bytes += segment.bytes().saturating_sub(old);
        let fresh = start.is_some() && whole > 0;
        segment.started |= fresh;
        if fresh {
            segment.before.clone_from(match &self.gap {
                Some(_) => &self.before,
                None => &self.latest,
            });
        }
        if let (Ok(()), Some(block)) = (&answer, block) {
            let loss = Loss::of(block.header, block.events, DELETED);
            Loss::add(&mut segment.holds, loss);
        }
        if gap.is_some() && whole > usize::from(start.is_some()) {
            self.tell_gap(now_boot_ns);
        }
        match (answer, block) {
            (Err(failed), _) if self.disk.is_none() && is_broken(&failed.error) => {
                self.status.reader_gone = true;
                return Ok(());
            }
            (Err(failed), _) => return Err(words(&failed.error)),
            (Ok(()), Some(block)) => {
                self.status.blocks += 1;
                add(&mut self.status.events, &block.events);
            }
            (Ok(()), None) => {}
        }
        if fresh {
            self.make_durable(now_boot_ns);
        }
        Ok(())
    }

    /// The gap is in the file.
    fn tell_gap(&mut self, now_boot_ns: u64) {
        let Some(loss) = self.gap.take() else { return };
        let text = format!(
            "{}: {} blocks with {} events could not be written ({}); the trace says so where they are missing",
            self.shown(),
            loss.blocks,
            loss.all_events(),
            loss.note().why
        );
        self.notices.warn("gap", text, now_boot_ns);
    }

    fn make_room(&mut self, bytes: u64, newest: &Header, now_boot_ns: u64) -> Result<(), String> {
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        let current = self.segment.as_ref().map_or(0, Segment::bytes);
        let now = Now {
            boot_ns: newest.sealed_boot_ns,
            wall_ns: newest.wall_ns(newest.sealed_boot_ns),
        };
        let (warnings, answer) = self.retention.make_room(&mut **disk, current, bytes, now);
        for text in warnings {
            let text = format!("{}/{text}", shown(&self.folder));
            self.notices.warn("delete", text, now_boot_ns);
        }
        answer
    }

    fn unsynced(&mut self, error: &io::Error, now_boot_ns: u64) {
        let text = format!(
            "{}: what was written since the last sync may not be on the disk: {}",
            self.shown(),
            words(error)
        );
        self.notices.warn("sync", text, now_boot_ns);
    }

    fn complain(&mut self, why: &str, now_boot_ns: u64) {
        let problem = format!("{}: {why}", self.shown());
        let text = format!(
            "{problem}: what comes is dropped and counted; recording goes on as soon as it can"
        );
        self.notices.warn(why, text, now_boot_ns);
        self.status.problem = Some(problem);
    }

    /// What messages are about.
    fn shown(&self) -> String {
        match (&self.status.path, &self.disk) {
            (Some(path), _) => shown(path),
            (None, Some(_)) => shown(&self.folder),
            (None, None) => "standard output".to_owned(),
        }
    }
}

/// A file in which nothing is must not be in the way of another attempt.
impl Drop for Recorder {
    fn drop(&mut self) {
        let (Some(segment), Some(disk)) = (&mut self.segment, &mut self.disk) else {
            return;
        };
        if segment.started || segment.bytes() > 0 {
            return;
        }
        if let Some(ours) = segment.identity()
            && let Ok(Some(there)) = disk.identity(&segment.name)
            && there.is_same(&ours)
        {
            // What cannot be removed is said when it is in the way.
            let _ = disk.remove(&segment.name);
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
