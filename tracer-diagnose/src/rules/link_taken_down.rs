//! A network interface was taken down.

use super::link_down;
use crate::rule::{Layer, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "link_taken_down",
    symptom: Symptom::Stall,
    layer: Some(Layer::Kernel),
    title: "a network interface of this host was taken down by an administrator or a program",
    reason: "The interface lost its flag UP, which only this host can take away, and sends that leave by it had trouble in \
             the same time. Cable and switch are not to blame.",
    rests_on: "rtnetlink tells the flags of a link (IFF_UP is administrative, IFF_LOWER_UP is the carrier): dev_change_flags().",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "A carrier that was lost while the flag UP stayed.",
    next_step: "Who ran ip link set down, or restarted the network (journalctl of the network manager, the shell history, \
                the container runtime) at this minute?",
    do_not: "Do not exchange cables, and do not look at the switch.",
    supersedes: super::link::EFFECTS,
    judge: |observed| link_down::matches(observed, |down| down.on_purpose),
};
