//! Losses of names: the event is seen, but something in it stays a number or null.

use tracer_common::event_kind;

use super::{Loss, Purpose, Wanted};
use crate::kernel::facts::{BtfFacts, Facts};

/// What cannot be named, although it is seen.
pub(super) fn losses_of_names(facts: &Facts, btf: &BtfFacts, wanted: Wanted) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |serves, lost: &str, why: &str, remedy: &str| {
        losses.push(Loss {
            serves,
            lost: lost.to_owned(),
            why: why.to_owned(),
            remedy: remedy.to_owned(),
            quiet: false,
        });
    };
    if wanted.has(event_kind::DROP) {
        let reasons = btf
            .tracepoints
            .get("kfree_skb")
            .is_some_and(|&count| count >= 3);
        if reasons && btf.drop_reasons.is_none() {
            lose(
                Purpose::Event(event_kind::DROP),
                "names of drop reasons (numbers are shown)",
                "enum skb_drop_reason is not in the kernel's BTF",
                "none on this kernel; drop.location still tells the place",
            );
        }
        if facts.kptr_restrict != Some(2) && facts.kernel_addresses == Some(false) {
            lose(
                Purpose::Event(event_kind::DROP),
                "drop.location is null",
                "the kernel shows its addresses only with CAP_SYSLOG",
                "run with CAP_SYSLOG too",
            );
        }
        if facts.kptr_restrict == Some(2) {
            lose(
                Purpose::Event(event_kind::DROP),
                "drop.location is null",
                "kernel.kptr_restrict is 2, which hides addresses even from root",
                "`sysctl kernel.kptr_restrict=1` before the start",
            );
        }
    }
    let reset_reasons = btf
        .tracepoints
        .get("tcp_send_reset")
        .is_some_and(|&count| count == 3);
    if wanted.has(event_kind::RESET) && reset_reasons && btf.reset_reasons.is_none() {
        lose(
            Purpose::Event(event_kind::RESET),
            "names of reset reasons (numbers are shown)",
            "enum sk_rst_reason is not in the kernel's BTF",
            "none on this kernel",
        );
    }
    if facts.tick_ns.is_none() {
        lose(
            Purpose::Event(event_kind::RETRANSMIT),
            "tcp.rto_us, tcp.last_send_us_ago and tcp.last_ack_us_ago are null",
            "the length of a tick is unknown (clock_getres of CLOCK_MONOTONIC_COARSE)",
            "none; the other tcp fields are not affected",
        );
    }
    if facts.cgroup2.is_none() && facts.systemd_cgroups.is_none() {
        lose(
            Purpose::Owner,
            "owner.cgroup is null, and --cgroup cannot be used",
            "neither cgroup v2 nor systemd's hierarchy of cgroup v1 is mounted",
            "mount one: `mount -t cgroup2 none DIRECTORY`",
        );
    }
    losses
}
