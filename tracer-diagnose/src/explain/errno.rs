//! Errnos of sends: the general answers, and the way from a name or number to the tables.

use super::entry::{Entry, Kind};
use super::{errno_caller, errno_path, errno_room};
use tracer_model::errno;

/// Every errno that a send is known to return.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [errno_path::TABLE, errno_room::TABLE, errno_caller::TABLE]
        .into_iter()
        .flatten()
}

/// What is said about an errno, whether a send returns it or not; `None` for what cannot be one.
pub fn of(word: &str) -> Option<Entry> {
    let number = errno::parse(word).ok()?;
    let mut entry = match errno::name(number) {
        Some(name) => {
            let known = entries().find(|entry| entry.word == name);
            known.cloned().unwrap_or_else(|| returned_by_nobody(name))
        }
        None => Entry {
            word: errno::display(number),
            ..returned_by_nobody("")
        },
    };
    entry.number = Some(number);
    Some(entry)
}

fn returned_by_nobody(name: &'static str) -> Entry {
    let means = if name.is_empty() {
        "This number has no name, and no send is known to return it."
    } else if name.starts_with("ERESTART") {
        "Internal to the kernel: a signal interrupted the call. Sends use ERESTARTSYS."
    } else {
        "No send is known to return it: not TCP, UDP, raw, unix, packet or netlink."
    };
    Entry::new(Kind::Errno, name, means).next(
        "If an event shows it nevertheless, something beside the IP stack put it there: a BPF program on the cgroup, \
         a security module, or a rarer kind of socket (flow.proto tells).",
    )
}
