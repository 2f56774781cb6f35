//! One stream of blocks out of a file, a folder of segments, or standard input.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::chain::{Chain, ReadItem};
use super::scan::Scanner;
use super::segment::{self, FileInput};

/// How the names of segments end.
pub const EXTENSION: &str = "trace";

/// A trace to be read from front to back.
pub struct Recording {
    /// As the user named it.
    pub name: String,
    path: Option<PathBuf>,
    is_folder: bool,
    segments: VecDeque<PathBuf>,
    /// Of the segments, the one that was opened last.
    latest: Option<PathBuf>,
    scanner: Option<Scanner<Input>>,
    chain: Chain,
    ready: VecDeque<ReadItem>,
    follow: bool,
    ended: bool,
    /// All blocks that were there so far were whole.
    any: bool,
    /// Bytes of the segments that have been read or passed over.
    done: u64,
    /// Asked at each block and each read: says that nothing more is wanted. The recording ends then, without a word
    /// of what was not read.
    pub stop: fn() -> bool,
}

/// What is read, until nothing more is wanted.
struct Input {
    reader: Box<dyn Read>,
    stop: fn() -> bool,
}

impl Input {
    fn new(reader: Box<dyn Read>) -> Self {
        Self {
            reader,
            stop: || false,
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Ok(0);
        }
        self.reader.read(buffer)
    }
}

/// What a reader found.
#[derive(Debug)]
pub enum ReadStep<T = ReadItem> {
    Item(T),
    /// Nothing for now: the recorder is at work.
    Wait,
    End,
}

impl Recording {
    fn new(name: &str, follow: bool) -> Self {
        Self {
            name: name.to_owned(),
            path: None,
            is_folder: false,
            segments: VecDeque::new(),
            latest: None,
            scanner: None,
            chain: Chain::default(),
            ready: VecDeque::new(),
            follow,
            ended: false,
            any: false,
            done: 0,
            stop: || false,
        }
    }

    /// Reads what comes, from standard input for example.
    pub fn from_reader(name: &str, input: Box<dyn Read>) -> Self {
        let mut recording = Self::new(name, false);
        recording.scanner = Some(Scanner::new(Input::new(input), 0));
        recording
    }

    /// Opens a path.
    ///
    /// # Errors
    /// When there is nothing to read; the text says what to do.
    pub fn open(name: &str, follow: bool) -> Result<Self> {
        let mut recording = Self::new(name, follow);
        let path = Path::new(name);
        let kind = fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        recording.path = Some(path.to_owned());
        recording.is_folder = kind.is_dir();
        if recording.is_folder {
            recording.segments = segments(path, None)?.into();
            if recording.segments.is_empty() && !follow {
                bail!(
                    "{}: no trace in this folder (*.{EXTENSION})",
                    path.display()
                );
            }
        } else {
            recording.segments.push_back(path.to_owned());
        }
        recording.open_next()?;
        Ok(recording)
    }

    /// Goes on from the last block that was closed before a time of the wall clock; the block with which the
    /// segment begins still comes first. Nothing may have been read yet. Does nothing on standard input.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn begin_at(&mut self, wall_ns: i128) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut all: Vec<PathBuf> = match self.is_folder {
            true => segments(path, None)?,
            false => vec![path.clone()],
        };
        let begins = |segment: &PathBuf| -> Result<bool> {
            let file = open(segment)?;
            Ok(segment::first(&file)?.is_none_or(|first| !segment::is_before(&first, wall_ns)))
        };
        // Segments are in the order of time.
        let mut skip = 0;
        for (index, segment) in all.iter().enumerate() {
            if begins(segment)? {
                break;
            }
            skip = index;
        }
        self.segments = all.split_off(skip).into();
        if skip > 0 {
            self.chain.jump();
        }
        self.done = all.iter().map(|segment| length(segment)).sum();
        self.open_next()?;
        let Some(current) = self.latest.clone() else {
            return Ok(());
        };
        let file = open(&current)?;
        let place = segment::seek(&file, wall_ns).with_context(|| name_of(&current))?;
        let Some(before) = place.before.filter(|offset| *offset > 0) else {
            return Ok(());
        };
        self.take_first()?;
        self.chain.jump();
        let input = FileInput::new(file, before).with_context(|| name_of(&current))?;
        self.scanner = Some(Scanner::new(Input::new(Box::new(input)), before));
        Ok(())
    }

    /// When the trace begins and ends, nanoseconds of the wall clock, as far as it can be told without reading it.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn span(&self) -> Result<Option<(i128, i128)>> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let all = match self.is_folder {
            true => segments(path, None)?,
            false => vec![path.clone()],
        };
        let mut first = None;
        for segment in &all {
            first = segment::first(&open(segment)?)?;
            if first.is_some() {
                break;
            }
        }
        let mut last = None;
        for segment in all.iter().rev() {
            last = segment::last(&open(segment)?)?;
            if last.is_some() {
                break;
            }
        }
        Ok(first.zip(last).map(|(first, last)| {
            (
                first.wall_ns(first.first_boot_ns),
                last.wall_ns(last.sealed_boot_ns),
            )
        }))
    }

    /// How far it has been read, bytes of all segments.
    pub fn position(&self) -> u64 {
        let here = self.scanner.as_ref().map_or(0, Scanner::position);
        self.done + here
    }

    /// Bytes of what is there now; `None` for standard input.
    pub fn length(&self) -> Option<u64> {
        let path = self.path.as_deref()?;
        match self.is_folder {
            true => Some(
                segments(path, None)
                    .ok()?
                    .iter()
                    .map(|one| length(one))
                    .sum(),
            ),
            false => Some(length(path)),
        }
    }

    /// The next block or notice.
    ///
    /// # Errors
    /// When reading fails, or the trace is of a newer format.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> Result<ReadStep> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(ReadStep::Item(item));
            }
            if self.ended || (self.stop)() {
                return Ok(ReadStep::End);
            }
            let Some(scanner) = &mut self.scanner else {
                if !self.open_next()? {
                    if self.follow && self.is_being_written()? {
                        return Ok(ReadStep::Wait);
                    }
                    self.ended = true;
                    let mut items = Vec::new();
                    self.chain.finish(None, &mut items);
                    self.ready.extend(items);
                }
                continue;
            };
            scanner.input().stop = self.stop;
            let found = scanner.next().with_context(|| self.name.clone())?;
            if let Some(found) = found {
                self.any = true;
                self.add(found);
                continue;
            }
            if (self.stop)() {
                return Ok(ReadStep::End);
            }
            if self.follow && !self.has_next_segment()? && self.is_being_written()? {
                return Ok(ReadStep::Wait);
            }
            self.end_segment()?;
        }
    }

    /// Reads the first block, so that what it says is known before anything else is done.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn take_first(&mut self) -> Result<()> {
        while self.ready.is_empty() {
            match self.next()? {
                ReadStep::Item(item) => self.ready.push_front(item),
                ReadStep::Wait | ReadStep::End => break,
            }
        }
        Ok(())
    }

    /// What has been read and not been given out yet.
    pub fn waiting(&self) -> impl Iterator<Item = &ReadItem> {
        self.ready.iter()
    }

    fn add(&mut self, found: super::scan::Found) {
        let mut items = Vec::new();
        self.chain.add(found, &mut items);
        self.ready.extend(items);
    }

    /// No more will be added to this segment: looks behind what was cut off, and says what is left.
    fn end_segment(&mut self) -> Result<()> {
        // What was added since the last look is still to be read.
        let Some(mut scanner) = self.scanner.take() else {
            return Ok(());
        };
        let mut items = Vec::new();
        while let Some(found) = scanner.last().with_context(|| self.name.clone())? {
            self.any = true;
            self.chain.add(found, &mut items);
        }
        let rest = scanner.rest();
        self.done += scanner.position();
        if !self.any && rest.is_some() && self.segments.is_empty() {
            bail!(
                "{}: this is no trace of sendtrace: no block was found in it",
                self.name
            );
        }
        self.chain.end_segment(rest);
        self.ready.extend(items);
        Ok(())
    }

    fn open_next(&mut self) -> Result<bool> {
        let look_again = self.is_folder && (self.follow || self.latest.is_none());
        if let Some(path) = self
            .path
            .as_deref()
            .filter(|_| look_again && self.segments.is_empty())
        {
            self.segments = segments(path, self.latest.as_deref())?.into();
        }
        // A segment may have been deleted to make room since the folder was listed.
        while let Some(path) = self.segments.pop_front() {
            let is_gone =
                || fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            match open(&path) {
                Err(_) if self.is_folder && is_gone() => continue,
                file => {
                    let input = FileInput::new(file?, 0).with_context(|| name_of(&path))?;
                    self.scanner = Some(Scanner::new(Input::new(Box::new(input)), 0));
                    self.latest = Some(path);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn has_next_segment(&self) -> Result<bool> {
        let Some(path) = self.path.as_deref().filter(|_| self.is_folder) else {
            return Ok(false);
        };
        Ok(!self.segments.is_empty() || !segments(path, self.latest.as_deref())?.is_empty())
    }

    /// Is it being written? A recorder holds a lock on what it writes.
    ///
    /// # Errors
    /// When the trace is not there any more.
    pub fn is_being_written(&self) -> Result<bool> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let file = open(path)?;
        Ok(Flock::lock(file, FlockArg::LockSharedNonblock).is_err())
    }
}

/// Segments of a folder in their order, from behind `after` on.
fn segments(folder: &Path, after: Option<&Path>) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))?;
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| name_of(folder))?.path();
        let is_trace = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        // Opening a FIFO would wait for whoever writes it, and reading a device may never end.
        let is_trace = is_trace && fs::metadata(&path).is_ok_and(|kind| kind.is_file());
        if is_trace && after.is_none_or(|after| path.file_name() > after.file_name()) {
            segments.push(path);
        }
    }
    segments.sort();
    Ok(segments)
}

/// Length of a segment, bytes; 0 when it is gone.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    // A FIFO would wait for whoever writes it. Regular files do not know the flag.
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options
        .open(path)
        .map_err(|error| cannot_read(path, &error))?;
    let kind = file.metadata().with_context(|| name_of(path))?.file_type();
    let name = name_of(path);
    if kind.is_char_device() || kind.is_block_device() {
        bail!("{name}: a device is no trace");
    }
    if kind.is_fifo() {
        bail!(
            "{name}: a pipe can be read only once, from front to back: name - and give it as standard input (- < {name})"
        );
    }
    Ok(file)
}

fn cannot_read(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = tracer_model::escape::name(path.as_os_str().as_encoded_bytes());
    match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{path}: {error}: traces are only for the user who recorded them; give it to yourself \
             (sudo chown \"$USER\" …), or read it as that user"
        ),
        io::ErrorKind::NotFound => anyhow::anyhow!("{path}: no such file or folder"),
        _ => anyhow::anyhow!("{path}: {error}"),
    }
}

fn name_of(path: &Path) -> String {
    tracer_model::escape::name(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests;
