//! A program asks at a fixed pace, and is refused each time.

use super::connection_refused::at_fixed_pace;
use crate::rule::{Layer, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "fixed_retry",
    symptom: Symptom::Refused,
    layer: Some(Layer::Peer),
    title: "the destination refuses a program that asks again at a fixed pace",
    reason: "Connection requests came as steadily as a timer, and each was answered with RST: a retry loop whose service is \
             not there. Programs that are known to ask for the answer alone (haproxy, kubelet and the like) are left out.",
    rests_on: "tcp_rcv_synsent_state_process() ends with ECONNREFUSED on RST; RFC 9293 section 3.10.7.1: a closed port \
               answers with RST.",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "A health check of this program that is meant to be refused, as that of a standby.",
    next_step: "Is the service meant to run there (ss -ltn on the destination)? If so, start it or correct the address; if \
                not, end the loop.",
    do_not: "Do not shorten the pace: the answer stays the same.",
    supersedes: &[],
    judge: at_fixed_pace,
};
