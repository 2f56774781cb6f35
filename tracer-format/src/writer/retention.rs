//! Which segments must go: the oldest, never the one that is being written, and nothing that is not ours.

use std::io;
use std::time::Duration;

use super::disk::Disk;
use super::gap::words;
use super::names::{Name, PART};

/// How much of what was recorded stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetentionLimits {
    /// All segments together are no longer than this, bytes; the one being written counts.
    pub size: Option<u64>,
    /// Segments that ended longer ago than this are deleted.
    pub time: Option<Duration>,
    /// So many bytes of the file system stay free.
    pub free: Option<u64>,
}

/// A segment that is not being written.
#[derive(Clone, Debug)]
struct Closed {
    name: Name,
    bytes: u64,
    ended: Ended,
}

/// When a segment ended, nanoseconds.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// CLOCK_BOOTTIME: in this recording, so a step of the wall clock deletes nothing.
    Boot(u64),
    /// Wall clock: in a recording before.
    Wall(i128),
}

/// The present, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// Since 1970.
    pub wall_ns: i128,
}

/// The segments of a folder.
#[derive(Debug, Default)]
pub struct Retention {
    keep: RetentionLimits,
    /// In the order of their numbers.
    closed: Vec<Closed>,
    last: Option<Name>,
}

impl Retention {
    /// With what is in the folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn new(disk: &mut dyn Disk, keep: RetentionLimits) -> io::Result<Self> {
        let mut closed = Vec::new();
        let mut numbers = Vec::new();
        // What others planted neither counts nor goes; a name that is taken is passed over when it comes.
        for entry in disk.list()?.into_iter().filter(|entry| entry.ours) {
            let whole = entry.name.strip_suffix(PART).unwrap_or(&entry.name);
            let Some(name) = Name::parse(whole) else {
                continue;
            };
            // Nobody gets so far by counting, and behind the last number there is none.
            if name.number < u64::MAX / 2 {
                numbers.push(name.clone());
            }
            if whole == entry.name {
                closed.push(Closed {
                    name,
                    bytes: entry.bytes,
                    ended: Ended::Wall(entry.modified_wall_ns),
                });
            }
        }
        closed.sort_by(|a, b| a.name.cmp(&b.name));
        let number = numbers.iter().map(|name| name.number).max();
        let stamp = numbers.into_iter().map(|name| name.stamp).max();
        Ok(Self {
            keep,
            closed,
            last: number
                .zip(stamp)
                .map(|(number, stamp)| Name { number, stamp }),
        })
    }

    /// For a file that is not one of several: nothing is ever deleted.
    pub fn alone(keep: RetentionLimits) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// The name for the next segment.
    pub fn next_name(&self, wall_ns: i128) -> Name {
        Name::next(self.last.as_ref(), wall_ns)
    }

    /// A name that is taken now, whoever did it.
    pub fn taken(&mut self, name: Name) {
        self.last = Some(name);
    }

    /// A segment is complete.
    pub fn closed(&mut self, name: Name, bytes: u64, boot_ns: u64) {
        self.closed.push(Closed {
            name,
            bytes,
            ended: Ended::Boot(boot_ns),
        });
    }

    /// Makes room for `bytes` more in a segment that has `current`. Gives what to warn of.
    ///
    /// # Errors
    /// When less than [`RetentionLimits::free`] would be left, whatever is deleted: says it in words.
    pub fn make_room(
        &mut self,
        disk: &mut dyn Disk,
        current: u64,
        bytes: u64,
        now: Now,
    ) -> (Vec<String>, Result<(), String>) {
        let mut warnings = Vec::new();
        while self.oldest_is_too_old(now) || self.is_too_much(current + bytes) {
            self.delete_oldest(disk, &mut warnings);
        }
        let Some(least) = self.keep.free else {
            return (warnings, Ok(()));
        };
        let wanted = least.saturating_add(bytes);
        loop {
            match disk.free() {
                // Unknown is no reason to stop.
                Err(_) => return (warnings, Ok(())),
                Ok(free) if free >= wanted => return (warnings, Ok(())),
                Ok(_) if self.closed.is_empty() => {
                    return (
                        warnings,
                        Err(format!("less than {least} bytes would stay free")),
                    );
                }
                Ok(_) => self.delete_oldest(disk, &mut warnings),
            }
        }
    }

    fn oldest_is_too_old(&self, now: Now) -> bool {
        let (Some(oldest), Some(most)) = (self.closed.first(), self.keep.time) else {
            return false;
        };
        let age = match oldest.ended {
            Ended::Boot(ns) => i128::from(now.boot_ns) - i128::from(ns),
            Ended::Wall(ns) => now.wall_ns - ns,
        };
        age > i128::try_from(most.as_nanos()).unwrap_or(i128::MAX)
    }

    fn is_too_much(&self, current: u64) -> bool {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        let most = self.keep.size.unwrap_or(u64::MAX);
        !self.closed.is_empty() && closed.saturating_add(current) > most
    }

    /// Forgets it as well when it cannot be deleted: one that stays must not keep others from going.
    fn delete_oldest(&mut self, disk: &mut dyn Disk, warnings: &mut Vec<String>) {
        if self.closed.is_empty() {
            return;
        }
        let name = self.closed.remove(0).name.to_string();
        match disk.remove(&name) {
            Ok(()) => {}
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warnings.push(format!(
                "{name}: the oldest segment cannot be deleted: {}",
                words(&error)
            )),
        }
    }
}
