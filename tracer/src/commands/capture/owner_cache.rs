//! Owners that were found in this batch: the same process sends many times in a row.

use tracer_common::{Head, Owner as Stored};

use tracer_model::event::Owner;

/// More processes than this at once are rare; they are looked up each time.
const MOST: usize = 8;

/// Owners by what is stored with the socket; each is lent to one event at a time, so none is copied.
#[derive(Default)]
pub struct OwnerCache(Vec<Row>);

struct Row {
    /// Everything that an owner depends on as long as nobody asks the open files about its socket.
    stored: Stored,
    flags: u32,
    file_refs: u32,
    /// Whether the open files could be asked about the socket at all.
    has_id: bool,
    owner: Option<Owner>,
}

impl OwnerCache {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pid: u32) -> Head {
        let mut head = Head::default();
        head.owner.pid = pid;
        head.flow.cookie = 7;
        head
    }

    fn owner(pid: u32) -> Owner {
        Owner {
            pid: Some(pid),
            ..Owner::default()
        }
    }

    #[test]
    fn an_owner_is_lent_to_one_event_at_a_time_and_forgotten_after_the_batch() {
        let mut cache = OwnerCache::default();
        assert_eq!(cache.take(&head(1)), None);
        cache.keep(&head(1), owner(1));
        assert_eq!(cache.take(&head(1)), Some(owner(1)));
        assert_eq!(cache.take(&head(1)), None);
        cache.keep(&head(1), owner(1));
        cache.clear();
        assert_eq!(cache.take(&head(1)), None);
    }

    #[test]
    fn whatever_an_owner_depends_on_keeps_it_from_others() {
        let mut cache = OwnerCache::default();
        cache.keep(&head(1), owner(1));
        let started = |head: &mut Head| head.owner.start_ns = 5;
        let orphan = |head: &mut Head| head.flags |= 1;
        let shared = |head: &mut Head| head.file_refs = 2;
        let nameless = |head: &mut Head| head.flow.cookie = 0;
        let changes: [&dyn Fn(&mut Head); 4] = [&started, &orphan, &shared, &nameless];
        for change in changes {
            let mut other = head(1);
            change(&mut other);
            assert_eq!(cache.take(&other), None);
        }
        assert_eq!(cache.take(&head(2)), None);
        assert_eq!(cache.take(&head(1)), Some(owner(1)));
    }

    #[test]
    fn more_processes_than_there_is_room_for_are_looked_up_each_time() {
        let mut cache = OwnerCache::default();
        for pid in 0..20 {
            cache.keep(&head(pid), owner(pid));
        }
        let kept = (0..20).filter(|pid| cache.take(&head(*pid)) == Some(owner(*pid)));
        assert_eq!(kept.count(), MOST);
    }
}
