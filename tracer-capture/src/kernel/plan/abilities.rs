//! What the kernel's helpers give the programs, and what it costs the user where they are not there.

use tracer_common::{ability, event_kind};

use super::{Loss, OWNERS_BY_ADDRESS, Purpose, Wanted, sends};
use crate::kernel::facts::{BtfFacts, Feature};

/// Bits of [`ability`] for the programs.
pub(super) fn abilities(btf: &BtfFacts) -> u64 {
    let mut abilities = 0;
    let mut give = |there: bool, bit| {
        if there {
            abilities |= bit;
        }
    };
    let has = |feature| btf.features.contains(&feature);
    give(has(Feature::TracingSocketStorage), ability::SOCKET_STORAGE);
    give(has(Feature::CurrentTask), ability::CURRENT_TASK);
    // The helper wants a task with a type.
    give(
        has(Feature::TaskRegisters) && has(Feature::CurrentTask),
        ability::TASK_REGISTERS,
    );
    give(has(Feature::SocketCookie), ability::SOCKET_COOKIE);
    give(has(Feature::SocketFromFile), ability::SOCKET_FROM_FILE);
    give(btf.ancestor_pointers, ability::ANCESTOR_POINTERS);
    let after = btf.timeout_counted_after_sending;
    give(after == Some(false), ability::TIMEOUT_COUNTED_BEFORE);
    give(after == Some(true), ability::TIMEOUT_COUNTED_AFTER);
    abilities
}

/// Where the programs find the saved registers by themselves; 0: they need not, or cannot.
pub(super) fn registers_offset(btf: &BtfFacts, abilities: u64) -> u64 {
    match btf.registers_offset {
        Some(offset) if abilities & ability::TASK_REGISTERS == 0 => offset,
        _ => 0,
    }
}

/// Why the registers of a caller cannot be read, where nothing else tells what a send was asked for: functions
/// of the protocols are given the message.
pub(super) fn requests_unseen(btf: &BtfFacts, abilities: u64) -> Option<String> {
    if !btf.tracepoints.contains_key(sends::TRACEPOINT) {
        None
    } else if btf.processor.is_none() {
        Some("the system calls of this processor are not known to this version".to_owned())
    } else if abilities & ability::TASK_REGISTERS == 0 && registers_offset(btf, abilities) == 0 {
        Some(format!(
            "this kernel lacks {}, and the size of its stacks is not in its BTF",
            Feature::TaskRegisters.name()
        ))
    } else {
        None
    }
}

/// What the user misses, where another way gives less.
pub(super) fn losses(btf: &BtfFacts, wanted: Wanted) -> Vec<Loss> {
    const NEWER: &str = "a newer kernel; nothing can be set here";
    let abilities = abilities(btf);
    let lacks = |bit| abilities & bit == 0;
    let mut losses = Vec::new();
    let mut lose = |serves, lost: String, why: String| {
        losses.push(Loss {
            serves,
            lost,
            why,
            remedy: NEWER.to_owned(),
            quiet: false,
        });
    };
    if lacks(ability::SOCKET_STORAGE) {
        lose(
            Purpose::Owner,
            format!(
                "owners of more than {OWNERS_BY_ADDRESS} sockets at once (those asked about last are kept)"
            ),
            format!("this kernel lacks {}", Feature::TracingSocketStorage.name()),
        );
    }
    if lacks(ability::SOCKET_COOKIE) {
        lose(
            Purpose::Owner,
            "flow.socket is null until somebody asks for the socket's id (`ss -e`)".to_owned(),
            format!("this kernel lacks {}", Feature::SocketCookie.name()),
        );
    }
    if wanted.has(event_kind::RETRANSMIT) && btf.timeout_counted_after_sending.is_none() {
        lose(
            Purpose::Event(event_kind::RETRANSMIT),
            "retransmit.attempt of a time-out is null".to_owned(),
            "this kernel's BTF does not tell whether a time-out is counted before what it sends"
                .to_owned(),
        );
    }
    if wanted.has(event_kind::SEND_ERROR)
        && let Some(why) = requests_unseen(btf, abilities)
    {
        lose(
            Purpose::Event(event_kind::SEND_ERROR),
            "send_error.requested_bytes and flow.remote of a datagram are null".to_owned(),
            why,
        );
    }
    losses
}
