//! Owners that were found in this batch: the same process sends many times in a row.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tracer_common::{Head, Owner as Stored};

use crate::event::Owner;

/// Everything that an owner depends on as long as nobody asks the open files about its socket.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    tid: u32,
    start_ns: u64,
    flags: u32,
    file_refs: u32,
    /// Whether the open files could be asked about the socket at all.
    has_id: bool,
}

/// Owners by what is stored with the socket; each is lent to one event at a time, so none is copied.
#[derive(Default)]
pub struct Known(HashMap<Key, (Stored, Option<Owner>), RandomState>);

impl Known {
    /// A new batch begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The owner of an event, if one was kept that must be the same.
    pub fn take(&mut self, head: &Head) -> Option<Owner> {
        let (stored, owner) = self.0.get_mut(&key(head))?;
        // It may have changed its name, user or cgroup, or another flag of what is stored.
        if *stored == head.owner {
            owner.take()
        } else {
            None
        }
    }

    /// Keeps the owner of an event of which the open files were not asked.
    pub fn keep(&mut self, head: &Head, owner: Owner) {
        self.0.insert(key(head), (head.owner, Some(owner)));
    }
}

const fn key(head: &Head) -> Key {
    Key {
        pid: head.owner.pid,
        tid: head.owner.tid,
        start_ns: head.owner.start_ns,
        flags: head.flags,
        file_refs: head.file_refs,
        has_id: head.flow.cookie != 0 || head.flow.inode != 0,
    }
}
