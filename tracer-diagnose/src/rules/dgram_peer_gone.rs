//! Whoever should receive datagrams on this host is gone.

use super::common::{failing, has_failed};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "dgram_peer_gone",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "the receiver of these local datagrams is gone: no process has that socket any more",
    reason: "The send on a unix or netlink socket was refused because nobody is bound to its destination: the \
             receiving process of this host ended, or was restarted and this socket still points to its old one. \
             No network is involved.",
    rests_on: "unix_dgram_sendmsg() gives ECONNREFUSED when the peer is dead, netlink_getsockbyportid() when no \
             socket has that port.",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "A process that is bound to that path at the same time (ss -xlp).",
    next_step: "ss -xap (or ss -f netlink) for the destination: which service should be there, and when was it \
             restarted? The sender must connect again after that.",
    do_not: "Do not look at ports, routes or the firewall: the socket is local.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let errnos = [linux::ECONNREFUSED];
    let gone = |_: &HostFacts, socket: &Socket| {
        (socket.proto.starts_with("unix") || socket.proto == "netlink")
            && has_failed(socket, &errnos)
    };
    let matches = failing(observed, gone, &errnos, Confidence::High).into_iter();
    matches
        .map(|matched| {
            matched.claiming(|sign| *sign == Sign::SendFailed(linux::ECONNREFUSED.unsigned_abs()))
        })
        .collect()
}
