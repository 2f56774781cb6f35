//! Connects that fail before their SYN: at the functions of the protocols, which cost nobody else anything, or on
//! request at the end of the system call, which costs every system call of the host.

use tracer_common::event_kind;

use super::choose::choose;
use super::{Choice, GROUPS, Group, Kind, Purpose, Wanted};
use crate::kernel::facts::{BtfFacts, Facts};

/// The end of connect(2), as tracefs calls it.
pub(super) const CALL: &str = "sys_exit_connect";

/// The choice for the end of the system call; `None` where it is not asked for, or a function tells the same: each
/// failure is told once.
pub(super) fn choice(
    group: &'static Group,
    facts: &Facts,
    btf: &BtfFacts,
    wanted: Wanted,
) -> Option<Choice> {
    let at_function = |other: &&Group| {
        other.kind == Kind::Fexit && other.serves == [Purpose::Event(event_kind::CONNECTION)]
    };
    let told = GROUPS
        .iter()
        .filter(at_function)
        .any(|other| choose(other, facts, btf).hook.is_some());
    (wanted.connect_errors && !told).then(|| choose(group, facts, btf))
}
