//! A network interface loses its link again and again.

use super::link_down::{self, FLAPS};
use crate::rule::{Layer, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "link_flapping",
    symptom: Symptom::Stall,
    layer: Some(Layer::Nic),
    title: "a network interface of this host loses its link again and again",
    reason: "The carrier went and came several times in the time of trouble: each time packets are thrown away, and TCP \
             starts from its slowest again.",
    rests_on: "rtnetlink tells changes of operstate (linkwatch_do_dev()); carrier_changes counts both ways.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Trouble that began before the first of these changes, or on flows that use another interface.",
    next_step: "Exchange one part at a time: cable, SFP, port. Compare with the other end's log: do both see the same \
                times? With bonding, is it one member only?",
    do_not: "Do not tune TCP or the application; do not reset the driver again and again: it looks like the fault.",
    supersedes: &[
        "link_down",
        "neighbour_failed",
        "path_blackhole",
        "path_loss",
        "destination_loss",
        "peer_host_gone",
        "syn_blackhole",
        "device_errors",
        "no_route",
        "spurious_retransmits",
        "qdisc_overflow",
        "bufferbloat",
    ],
    judge: |observed| link_down::matches(observed, |down| down.times >= FLAPS && !down.on_purpose),
};
