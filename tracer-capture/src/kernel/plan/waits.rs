//! For how long a send is blocked: a program at the begin and one at the end of each function that sleeps for it.

use tracer_common::event_kind;

use super::choose::choose;
use super::{Choice, Group, Kind, Need, Purpose, Variant};
use crate::kernel::facts::{BtfFacts, Facts};

pub(super) const SERVES: &[Purpose] = &[
    Purpose::Event(event_kind::BLOCKED),
    Purpose::Event(event_kind::SEND_ERROR),
];

pub(super) const MEMORY: &str = "for how long a send on TCP waits for room in the send buffer (blocked_us, and the event blocked)";
pub(super) const CONNECT: &str = "for how long a send waits for its connection to be established (blocked_us, and the event blocked)";
pub(super) const PEER: &str = "for how long a unix datagram waits for room in the queue of its peer (blocked_us, and the event blocked)";
pub(super) const REMEDY: &str = "a kernel or policy that allows fentry and fexit programs; sockets whose writer is \
                                 blocked show as `waiting`, as often as they are walked over";

macro_rules! end {
    ($name:literal, $function:literal, $program:literal, $lost:ident) => {
        Group {
            name: $name,
            serves: SERVES,
            kind: Kind::Fexit,
            attach: $function,
            need: Need::Optional,
            variants: &[Variant {
                program: $program,
                args: 2,
                short_of_best: "",
            }],
            lost: $lost,
            remedy: REMEDY,
        }
    };
}

/// The ends; where they begin is in [`super::GROUPS`].
pub static WAIT_ENDS: &[Group] = &[
    end!(
        "end of a wait for room",
        "sk_stream_wait_memory",
        "memory_waited",
        MEMORY
    ),
    end!(
        "end of a wait to connect",
        "sk_stream_wait_connect",
        "connect_waited",
        CONNECT
    ),
    end!(
        "end of a wait for a peer",
        "unix_wait_for_peer",
        "peer_waited",
        PEER
    ),
];

/// Both, or the one that keeps the other from being of any use.
pub(super) fn choices(begin: &'static Group, facts: &Facts, btf: &BtfFacts) -> Vec<Choice> {
    let end = WAIT_ENDS.iter().filter(|end| end.attach == begin.attach);
    let mut both: Vec<_> = [begin]
        .into_iter()
        .chain(end)
        .map(|group| choose(group, facts, btf))
        .collect();
    if let Some(missing) = both.iter().position(|choice| choice.hook.is_none()) {
        return vec![both.swap_remove(missing)];
    }
    both
}
