//! Who owns this socket, and how we know.
//!
//! The BPF programs store an owner with each socket, in process context. Where that may not be the whole
//! truth (several descriptors, a process that has ended, nobody stored) the open files of all tasks are
//! asked ([`Holders`]). What then stays open is `unknown`, with the reason: wrong is worse.

mod callers;
mod cgroups;
mod holders;
mod names;
mod processes;
mod systemd;

pub use callers::Callers;
pub use cgroups::Cgroups;
pub use holders::{Held, Holders, Lookup, NOT_IN_TIME, NOT_POSSIBLE};
pub use names::Names;
pub use processes::Processes;
pub use systemd::SystemdCgroups;

use tracer_common::{Head, Holder, Owner as Stored, grade, head_flag, owner_flag};

use tracer_model::event::{Attribution, Holder as EventHolder, Owner, RawName};

/// Everything that turns a stored owner into an [`Owner`].
pub struct Owners {
    holders: Holders,
    processes: Processes,
    cgroups: Cgroups,
    names: Names,
    /// Where cgroups are those of systemd's v1 hierarchy.
    systemd: Option<SystemdCgroups>,
}

impl Owners {
    /// Puts the parts together.
    pub fn new(holders: Holders, processes: Processes, cgroups: Cgroups, names: Names) -> Self {
        Self {
            holders,
            processes,
            cgroups,
            names,
            systemd: None,
        }
    }

    /// From now on cgroups are those of systemd's v1 hierarchy.
    pub fn with_cgroups_of_systemd(self, cgroups: SystemdCgroups) -> Self {
        Self {
            systemd: Some(cgroups),
            ..self
        }
    }

    /// Must the open files be asked about this event?
    pub fn needs_holders(&self, head: &Head) -> bool {
        match certain(head) {
            Certain::Yes => false,
            Certain::WhileAlive => !self.processes.is_alive(head.owner.pid, head.owner.start_ns),
            Certain::No => head.flow.cookie != 0 || head.flow.inode != 0,
        }
    }

    /// A new batch of events begins: processes may have ended since the last.
    pub fn begin(&mut self) {
        self.processes.forget();
        if let Some(systemd) = &mut self.systemd {
            systemd.begin();
        }
    }

    /// Those of the given processes, as (pid, start), that have ended.
    pub fn ended(&mut self, of: &[(u32, u64)]) -> Vec<u32> {
        self.begin();
        self.processes.ended(of)
    }

    /// The cache of open files, to be refreshed before a batch that needs it.
    pub fn holders_mut(&mut self) -> &mut Holders {
        &mut self.holders
    }

    /// The owner of an event.
    pub fn resolve(&mut self, head: &Head) -> Owner {
        let lookup = if self.needs_holders(head) {
            self.holders.of(head)
        } else {
            Lookup::NotNeeded
        };
        let found = lookup != Lookup::NotNeeded;
        let mut owner = decide(head, lookup);
        let stored = &head.owner;
        if owner.grade == Attribution::AtSend && !found && head.flags & head_flag::CURRENT == 0 {
            // It may have taken another name since it sent.
            let now = self.processes.comm(stored.pid, stored.start_ns);
            owner.comm = now.or(owner.comm);
        }
        owner.cgroup = self.cgroup(head, &owner);
        self.names.complete(&mut owner);
        owner
    }

    /// The owner of a socket of which all holders are known.
    pub fn resolve_among(&mut self, head: &Head, holders: &[Holder]) -> Owner {
        let held: Vec<_> = holders
            .iter()
            .map(|holder| Held {
                holder: *holder,
                since_ns: head.boot_ns,
            })
            .collect();
        let mut owner = decide(head, Lookup::Found(&held));
        let held = |holder: &&Holder| Some(holder.owner.pid) == owner.pid;
        let cgroup = holders.iter().find(held).map(|holder| holder.owner.cgroup);
        owner.cgroup = match (&mut self.systemd, owner.pid, owner.started_boot_ns) {
            (Some(systemd), Some(pid), Some(started)) => systemd.path(pid, started),
            (Some(_), ..) => None,
            (None, ..) => cgroup.and_then(|id| self.cgroups.path(id)),
        };
        self.names.complete(&mut owner);
        owner
    }

    fn cgroup(&mut self, head: &Head, owner: &Owner) -> Option<String> {
        let stored = &head.owner;
        if let Some(systemd) = &mut self.systemd {
            return systemd.path(owner.pid?, owner.started_boot_ns?);
        }
        let id = match owner.pid {
            // The same number may be another process by now.
            Some(pid) if (pid, owner.started_boot_ns) == (stored.pid, Some(stored.start_ns)) => {
                Some(stored.cgroup)
            }
            Some(pid) => self.holders.cgroup_of(head, pid),
            None => None,
        };
        self.cgroups.path(id?)
    }
}

/// How far the stored owner can be trusted.
enum Certain {
    /// It is the whole truth, or all that can be known.
    Yes,
    /// It is, unless that process has ended and left the socket to another.
    WhileAlive,
    /// Others may hold the socket.
    No,
}

fn certain(head: &Head) -> Certain {
    let stored = &head.owner;
    let has = |flag| head.flags & flag != 0;
    if has(head_flag::CURRENT)
        || has(head_flag::NO_SOCKET)
        || has(head_flag::ORPHAN)
        || is_kernel(head)
    {
        Certain::Yes
    } else if stored.grade == grade::AT_SEND
        && stored.flags & owner_flag::SEVERAL == 0
        && head.file_refs == 1
    {
        Certain::WhileAlive
    } else {
        Certain::No
    }
}

/// No file at all, though not an orphan: the kernel made the socket for itself.
fn is_kernel(head: &Head) -> bool {
    // A process that is stored all the same: a packet of an MPTCP subflow.
    head.owner.grade == grade::KERNEL
        || (head.owner.grade == grade::NONE
            && head.file_refs == 0
            && head.flags & (head_flag::ORPHAN | head_flag::NO_SOCKET) == 0)
}

/// The owner, from what is stored and what the open files say. Pure.
fn decide(head: &Head, lookup: Lookup<'_>) -> Owner {
    let stored = &head.owner;
    let nobody = stored.grade == grade::NONE;
    if is_kernel(head) {
        return Owner {
            grade: Attribution::Kernel,
            ..Owner::default()
        };
    }
    if head.flags & head_flag::CURRENT != 0 {
        return process(stored, stored_grade(stored));
    }
    if head.flags & head_flag::ORPHAN != 0 {
        if nobody {
            return Owner::unknown(
                "the socket has no file: not accepted yet, or closed before its owner was seen",
            );
        }
        return process(stored, Attribution::LastKnown);
    }
    if nobody && head.flags & head_flag::NO_SOCKET != 0 {
        return Owner::unknown("no local socket belongs to it");
    }
    match lookup {
        Lookup::NotNeeded if nobody => Owner::unknown("nobody is stored with the socket"),
        Lookup::NotNeeded => process(stored, stored_grade(stored)),
        Lookup::Missed(why) => {
            // The stored process did what its grade says, but it may not be alone.
            let mut owner = if nobody {
                Owner::default()
            } else {
                process(stored, Attribution::LastKnown)
            };
            owner.why = Some(why.to_owned());
            owner
        }
        Lookup::Found(held) => among(head, held),
    }
}

/// The owner, from what is stored and who holds the socket now. Whoever started later than the event, or may have
/// been given the socket since, is not blamed for it.
fn among(head: &Head, held: &[Held]) -> Owner {
    let stored = &head.owner;
    let nobody = stored.grade == grade::NONE;
    let started = held
        .iter()
        .filter(|held| held.holder.owner.start_ns <= head.boot_ns);
    let mut several: Vec<&Holder> = started
        .clone()
        .filter(|held| nobody || held.since_ns <= head.boot_ns)
        .map(|held| &held.holder)
        .collect();
    if let Some(stays) = started
        .clone()
        .find(|held| same(&held.holder.owner, stored))
    {
        // With a single descriptor it was alone; the others may all have been there.
        several = if head.file_refs == 1 {
            vec![&stays.holder]
        } else {
            started.map(|held| &held.holder).collect()
        };
    }
    match several[..] {
        [] => {
            let mut owner = if nobody {
                Owner::unknown("the socket was closed before its owner could be looked up")
            } else {
                // Even a single descriptor may have been another's by then: inherited, or passed on.
                process(stored, Attribution::LastKnown)
            };
            if let [first, ..] = held {
                owner.why = Some(later(&first.holder, head));
            }
            owner
        }
        [only] if same(&only.owner, stored) => {
            process(&as_it_is(only, stored), stored_grade(stored))
        }
        [only] => {
            let mut owner = process(&only.owner, Attribution::Seeded);
            if stored.grade == grade::AT_SEND {
                owner.why = Some(format!(
                    "pid {} has sent on it and given it away",
                    stored.pid
                ));
            }
            owner
        }
        _ => {
            let main = several
                .iter()
                .find(|holder| same(&holder.owner, stored))
                .map_or(several[0].owner, |holder| as_it_is(holder, stored));
            Owner {
                holders: several.into_iter().map(event_holder).collect(),
                ..process(&main, Attribution::Shared)
            }
        }
    }
}

/// Why who holds the socket now is not named.
fn later(holder: &Holder, head: &Head) -> String {
    let pid = holder.owner.pid;
    if holder.owner.start_ns > head.boot_ns {
        format!("pid {pid} holds it now, and started after this")
    } else {
        format!("pid {pid} holds it now; whether it did then is not known")
    }
}

/// The stored process under the name, user and cgroup that it has now: it may have changed since it was stored.
const fn as_it_is(holder: &Holder, stored: &Stored) -> Stored {
    Stored {
        tid: stored.tid,
        ..holder.owner
    }
}

fn same(a: &Stored, b: &Stored) -> bool {
    a.pid == b.pid && a.start_ns == b.start_ns
}

const fn stored_grade(stored: &Stored) -> Attribution {
    match stored.grade {
        grade::AT_SEND => Attribution::AtSend,
        grade::AT_CONNECT => Attribution::AtConnect,
        grade::AT_ACCEPT => Attribution::AtAccept,
        grade::AT_LISTEN => Attribution::AtListen,
        grade::KERNEL => Attribution::Kernel,
        grade::NONE => Attribution::Unknown,
        // Found by the iterator; or seen at shutdown(2), and still open.
        _ => Attribution::Seeded,
    }
}

fn process(stored: &Stored, grade: Attribution) -> Owner {
    Owner {
        grade,
        pid: Some(stored.pid),
        tid: Some(stored.tid),
        comm: RawName::from_padded(&stored.comm),
        uid: (stored.uid != u32::MAX).then_some(stored.uid),
        started_boot_ns: Some(stored.start_ns),
        ..Owner::default()
    }
}

fn event_holder(holder: &Holder) -> EventHolder {
    EventHolder {
        pid: holder.owner.pid,
        started_boot_ns: Some(holder.owner.start_ns),
        comm: RawName::from_padded(&holder.owner.comm),
        fd: Some(holder.fd),
    }
}

#[cfg(test)]
mod tests;
