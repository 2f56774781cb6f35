//! For how long a send is blocked: a program at the begin and one at the end of each function that sleeps for it.

use tracer_common::event_kind;

use super::choose::choose;
use super::{Choice, Group, Kind, Need, PassedOver, Purpose, Variant};
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

/// Both run, or neither: one is of no use without the other.
pub(super) fn choices(begin: &'static Group, facts: &Facts, btf: &BtfFacts) -> Vec<Choice> {
    let end = WAIT_ENDS.iter().filter(|end| end.attach == begin.attach);
    let mut both: Vec<_> = [begin]
        .into_iter()
        .chain(end)
        .map(|group| choose(group, facts, btf))
        .collect();
    if both.iter().any(|choice| choice.hook.is_none()) {
        for choice in &mut both {
            if let Some(hook) = choice.hook.take() {
                choice.covered = true;
                choice.passed_over = vec![PassedOver {
                    program: hook.program,
                    attach: hook.attach,
                    kind: hook.kind,
                    fits: true,
                    refusal: None,
                    why: "it is of no use without the other program of the wait".to_owned(),
                }];
            }
        }
        // One loss for both.
        if let [first, second] = both.as_mut_slice() {
            second.covered |= !first.covered;
        }
    }
    both
}
