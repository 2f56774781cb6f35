//! Owners that were found in this batch: the same process sends many times in a row.

use tracer_common::{Head, Owner as Stored};

use crate::event::Owner;

/// More processes than this at once are rare; they are looked up each time.
const MOST: usize = 8;

/// Owners by what is stored with the socket; each is lent to one event at a time, so none is copied.
#[derive(Default)]
pub struct Known(Vec<Row>);

struct Row {
    /// Everything that an owner depends on as long as nobody asks the open files about its socket.
    stored: Stored,
    flags: u32,
    file_refs: u32,
    /// Whether the open files could be asked about the socket at all.
    has_id: bool,
    owner: Option<Owner>,
}

impl Known {
    /// A new batch begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The owner of an event, if one was kept that must be the same.
    pub fn take(&mut self, head: &Head) -> Option<Owner> {
        self.row(head)?.owner.take()
    }

    /// Keeps the owner of an event of which the open files were not asked.
    pub fn keep(&mut self, head: &Head, owner: Owner) {
        if let Some(row) = self.row(head) {
            row.owner = Some(owner);
        } else if self.0.len() < MOST {
            self.0.push(Row {
                stored: head.owner,
                flags: head.flags,
                file_refs: head.file_refs,
                has_id: has_id(head),
                owner: Some(owner),
            });
        }
    }

    fn row(&mut self, head: &Head) -> Option<&mut Row> {
        self.0.iter_mut().find(|row| {
            row.flags == head.flags
                && row.file_refs == head.file_refs
                && row.has_id == has_id(head)
                && row.stored == head.owner
        })
    }
}

const fn has_id(head: &Head) -> bool {
    head.flow.cookie != 0 || head.flow.inode != 0
}
