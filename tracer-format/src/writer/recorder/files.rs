//! Which file the next block goes to: begun, ended, named.

use std::io;

use super::{Recorder, Shape};
use crate::layout::Header;
use crate::writer::folder::shown;
use crate::writer::gap::words;
use crate::writer::names::{Name, PART};
use crate::writer::segment::Segment;
use crate::writer::status::Notice;

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
                self.name = Some(name);
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

    fn open(&mut self, first: &Header) -> Result<(Segment, Name), String> {
        let disk = self.disk.as_mut().ok_or("standard output is closed")?;
        let name = self.retention.next_name(first.wall_ns(first.first_boot_ns));
        let part = match self.shape {
            Shape::Windows => PART,
            _ => "",
        };
        let file = format!("{name}{part}");
        match disk.create(&file) {
            Ok(sink) => {
                self.retention.taken(name.clone());
                let segment = Segment::new(sink, file, first.sealed_boot_ns);
                Ok((segment, name))
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    self.retention.taken(name);
                }
                Err(words(&error))
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
