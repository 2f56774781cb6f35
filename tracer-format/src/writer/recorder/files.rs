//! Which file the next block goes to: begun, ended, named.

use std::io;

use super::{Recorder, Shape};
use crate::layout::Header;
use crate::writer::folder::shown;
use crate::writer::gap::{Loss, words};
use crate::writer::names::{Name, PART};
use crate::writer::segment::Segment;
use crate::writer::status::Notice;

/// So many names are tried when others have taken them.
const MOST_FILES: u32 = 9;

impl Recorder {
    pub(super) fn rotate_if_due(
        &mut self,
        bytes: u64,
        first: &Header,
        now_boot_ns: u64,
    ) -> Result<(), String> {
        let due = match (&self.segment, self.shape) {
            (None, _) => true,
            (Some(_), Shape::One | Shape::Windows) => false,
            (Some(segment), _) if !segment.started => false,
            (Some(segment), Shape::Segments { bytes: most, time }) => {
                let age = first.sealed_boot_ns.saturating_sub(segment.began_boot_ns);
                self.rotate
                    || most.is_some_and(|most| segment.bytes() + bytes > most)
                    || time.is_some_and(|most| u128::from(age) >= most.as_nanos())
            }
        };
        if !due {
            return Ok(());
        }
        match self.open(first) {
            Ok((segment, name)) => {
                self.close(now_boot_ns);
                self.status.path = Some(self.folder.join(&segment.name));
                self.status.files += 1;
                self.segment = Some(segment);
                self.name = name;
                self.rotate = false;
                Ok(())
            }
            Err(why) if self.segment.is_none() => Err(format!("cannot begin a file: {why}")),
            Err(why) => {
                // Longer than it should be, but nothing is lost.
                let text = format!(
                    "{}: cannot begin a new segment ({why}): this one goes on",
                    self.shown()
                );
                self.notices.warn("rotate", text, now_boot_ns);
                Ok(())
            }
        }
    }

    fn open(&mut self, first: &Header) -> Result<(Segment, Option<Name>), String> {
        let disk = self.disk.as_mut().ok_or("standard output is closed")?;
        if let Shape::One = self.shape {
            // The one that was there was deleted. Somebody may have made another one of its name.
            let mut number = 1;
            loop {
                let file = match number {
                    1 => self.file.clone(),
                    _ => format!("{}.{number}", self.file),
                };
                match disk.create(&file) {
                    Ok(sink) => return Ok((Segment::new(sink, file, first.sealed_boot_ns), None)),
                    Err(error)
                        if error.kind() != io::ErrorKind::AlreadyExists || number == MOST_FILES =>
                    {
                        return Err(words(&error));
                    }
                    Err(_) => number += 1,
                }
            }
        }
        let part = match self.shape {
            Shape::Windows => PART,
            _ => "",
        };
        let mut left = MOST_FILES;
        loop {
            let name = self.retention.next_name(first.wall_ns(first.first_boot_ns));
            let file = format!("{name}{part}");
            let answer = disk.create(&file);
            left -= 1;
            match answer {
                Ok(sink) => {
                    self.retention.taken(name.clone());
                    let segment = Segment::new(sink, file, first.sealed_boot_ns);
                    return Ok((segment, Some(name)));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.retention.taken(name);
                    if left == 0 {
                        return Err(words(&error));
                    }
                }
                Err(error) => return Err(words(&error)),
            }
        }
    }

    /// Is what is written still to be found? A file that was deleted goes on taking blocks, and is gone at the end: a
    /// new one is begun, which says what is missing.
    pub(super) fn look_after_file(&mut self, now_boot_ns: u64) {
        let (Some(segment), Some(disk)) = (&mut self.segment, &mut self.disk) else {
            return;
        };
        let Some(ours) = segment.identity() else {
            return;
        };
        if ours.links > 0 {
            let there = match disk.identity(&segment.name) {
                Ok(Some(there)) => there.is_same(&ours),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                // Not to be known is no reason to warn.
                Ok(None) | Err(_) => true,
            };
            if !there && !std::mem::replace(&mut segment.renamed, true) {
                let text = "it was renamed: recording goes on in the same file";
                let text = format!("{}: {text}", self.shown());
                self.notices.warn("renamed", text, now_boot_ns);
            }
            return;
        }
        let Some(segment) = self.segment.take() else {
            return;
        };
        self.name = None;
        let lost = segment.holds.as_ref().map_or(0, |loss| loss.blocks);
        let text = format!(
            "{}: it was deleted while it was written, and {lost} blocks are nowhere: recording goes on in a new file",
            self.shown()
        );
        self.notices.tell(Notice::Warning(text));
        if let Some(loss) = segment.holds {
            self.status.unwrite(&loss);
            let gap = self.gap.take();
            self.before = segment.before;
            self.gap = Some(loss);
            if let Some(gap) = gap {
                Loss::add(&mut self.gap, gap);
            }
        }
    }

    /// A file that has just begun, and its name.
    pub(super) fn make_durable(&mut self, now_boot_ns: u64) {
        let Some(segment) = &mut self.segment else {
            return;
        };
        let names = self.disk.as_mut().map_or(Ok(()), |disk| disk.sync());
        if let Err(error) = segment.sync().and(names) {
            self.unsynced(&error, now_boot_ns);
        }
    }

    /// Nothing more comes into the file that is open.
    pub(super) fn close(&mut self, now_boot_ns: u64) {
        let Some(mut segment) = self.segment.take() else {
            return;
        };
        if let Err(error) = segment.close() {
            self.unsynced(&error, now_boot_ns);
        }
        let (Some(name), Some(disk)) = (self.name.take(), &mut self.disk) else {
            return;
        };
        if !segment.started {
            // Nothing could be written into it: nobody misses it.
            let _ = disk.remove(&segment.name);
            self.status.files = self.status.files.saturating_sub(1);
            return;
        }
        if let Shape::Windows = self.shape {
            let file = name.to_string();
            let answer = disk.rename(&segment.name, &file).and_then(|()| disk.sync());
            let path = self.folder.join(&file);
            match answer {
                Ok(()) => self.notices.tell(Notice::Complete(path.clone())),
                Err(error) => self.notices.tell(Notice::Warning(format!(
                    "{}: the window cannot get its name ({}); it is in {}{PART}, if anywhere",
                    shown(&path),
                    words(&error),
                    file
                ))),
            }
            self.status.path = Some(path);
        }
        self.retention.closed(name, segment.bytes(), now_boot_ns);
    }
}
