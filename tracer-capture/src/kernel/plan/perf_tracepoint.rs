//! Where programs of tracepoints can be preempted (7.0 and later): the perf form of the tracepoint of sends,
//! whose programs cannot be.
//!
//! While a task is preempted inside a program, the kernel skips that program for every other task on the same CPU.

use tracer_common::event_kind;

use super::choose::choose;
use super::sends::TRACEPOINT;
use super::{Choice, Group, Kind, Loss, Need, Purpose, Variant, Wanted};
use crate::kernel::facts::{BtfFacts, Facts};

const LOST: &str =
    "sends of others on a CPU while one is preempted inside the program (`missed` counts them)";

/// Events come from the perf tracepoint; owners from a typed program, which alone can write the storage of sockets.
pub static PERF_TRACEPOINT: &[Group; 2] = &[
    Group {
        name: "owner of a send",
        serves: &[Purpose::Owner],
        kind: Kind::TpBtf,
        attach: TRACEPOINT,
        need: Need::Required,
        variants: &[Variant {
            program: "send_owner",
            args: 3,
            short_of_best: "",
        }],
        lost: "owners learnt when they send (grade at_send)",
        remedy: "a newer kernel, or a sendtrace that knows this one; nothing can be set here",
    },
    Group {
        name: "return of a send",
        serves: &[
            Purpose::Event(event_kind::SEND_ERROR),
            Purpose::Event(event_kind::SEND),
        ],
        kind: Kind::Tracepoint,
        attach: TRACEPOINT,
        need: Need::Required,
        variants: &[Variant {
            program: "send_perf",
            args: 3,
            short_of_best: "",
        }],
        lost: LOST,
        remedy: "mount tracefs on /sys/kernel/tracing, and allow perf_event_open",
    },
];

/// The owner's choice and the event's, where programs of the typed tracepoint would be skipped.
pub(super) fn choices(
    facts: &Facts,
    btf: &BtfFacts,
    is_wanted: impl Fn(&Group) -> bool,
) -> Option<[Choice; 2]> {
    // Where no send is wanted there is none to skip: owners are made up for by the next send.
    if !btf.preemptible_tracepoints
        || btf.perf_tracepoint_sends.is_none()
        || !PERF_TRACEPOINT.iter().all(is_wanted)
    {
        return None;
    }
    Some([&PERF_TRACEPOINT[0], &PERF_TRACEPOINT[1]].map(|group| choose(group, facts, btf)))
}

/// What is lost where programs can be preempted and the perf form cannot be used.
pub(super) fn loss(btf: &BtfFacts, wanted: Wanted) -> Option<Loss> {
    let sends = wanted.has(event_kind::SEND) || wanted.has(event_kind::SEND_ERROR);
    let skipped = btf.preemptible_tracepoints
        && btf.perf_tracepoint_sends.is_none()
        && btf.tracepoints.contains_key(TRACEPOINT);
    (sends && skipped).then(|| Loss {
        serves: Purpose::Event(event_kind::SEND_ERROR),
        lost: LOST.to_owned(),
        why: "this kernel lets programs of tracepoints be preempted, and its BTF has no bpf_rdonly_cast, or \
              the event sock_send_length has another layout"
            .to_owned(),
        remedy: "a sendtrace that knows this kernel; nothing can be set here".to_owned(),
        quiet: false,
    })
}
