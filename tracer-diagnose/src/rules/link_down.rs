//! A network interface lost its link.

use super::common::{of_host, resent, times};
use super::link::{Down, downs};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::{Cause, EventKind};

/// More often than this it flaps.
pub const FLAPS: u64 = 3;

pub static RULE: Rule = Rule {
    cause: "link_down",
    symptom: Symptom::Stall,
    layer: Some(Layer::Nic),
    title: "a network interface of this host lost its link",
    reason: "The interface reported that its carrier is gone, and sends had trouble in the same time: packets waited in \
             its queue or were thrown away there. Nothing beyond the first cable is needed to explain it.",
    rests_on: "rtnetlink tells changes of operstate and carrier_changes (linkwatch_do_dev()); a queue without carrier \
               is deactivated (dev_deactivate()).",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Trouble that began before the link went down, or on flows that use another interface.",
    next_step: "dmesg and the switch port's log at this minute: who took it down (cable, SFP, switch, driver reset, an \
                administrator)?",
    do_not: "Do not change TCP settings: connections survived it if the link came back in time.",
    supersedes: super::link::EFFECTS,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    matches(observed, |down| down.times < FLAPS && !down.on_purpose)
}

/// A case for each interface that went down so often.
pub fn matches(observed: &Observed, wanted: impl Fn(&Down) -> bool) -> Vec<Match> {
    let mut matches = Vec::new();
    for (host, facts) in observed.hosts.iter().enumerate() {
        for (interface, down) in downs(facts) {
            if !wanted(&down) {
                continue;
            }
            let (conversations, sockets) = of_host(observed, host, |socket| {
                socket.trouble() > 0
                    && socket.owner.pid.is_some()
                    && down.troubled(facts, socket, &interface)
            });
            // A link that nobody missed is no failure to send.
            if sockets.is_empty() {
                continue;
            }
            let timeouts = resent(observed, &sockets, &[Cause::Rto, Cause::Syn, Cause::Tlp]);
            let mut matched = Match::of_many(observed, conversations, sockets, Confidence::High)
                .with(format!("{interface} went down {}", times(down.times)))
                .shown_by("time-outs meanwhile", &timeouts);
            matched = match down.up_ns {
                Some(up) => {
                    let seconds = (up - down.first_ns) as f64 / 1e9;
                    matched.with(format!("it came back {seconds:.1} s after it first went"))
                }
                None => matched.with("it had not come back when the recording ended"),
            };
            matched.first_ns = down.first_ns;
            matched.last_ns = down.up_ns.unwrap_or(matched.last_ns).max(down.last_ns);
            matched.about = Some(interface.clone());
            matches.push(matched);
        }
    }
    matches
}
