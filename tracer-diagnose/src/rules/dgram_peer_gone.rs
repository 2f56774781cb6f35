//! Whoever should receive datagrams on this host is gone.

use super::common::{errors, failing, has_failed};
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
             receiving process of this host ended, was restarted and this socket still points to its old one, or has \
             not made its socket. No network is involved.",
    rests_on: "unix_dgram_sendmsg() gives ECONNREFUSED when the peer is dead, unix_find_bsd() ENOENT for \
             a path that is not there, netlink_getsockbyportid() when no \
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
    let errnos = [linux::ECONNREFUSED, linux::ENOENT, linux::ENOTCONN];
    let gone = |_: &HostFacts, socket: &Socket| {
        let is_unix = socket.proto.starts_with("unix");
        let refused = [linux::ECONNREFUSED, linux::ENOENT];
        is_unix && has_failed(socket, &refused)
            || socket.proto == "netlink" && has_failed(socket, &[linux::ECONNREFUSED])
    };
    let matches = failing(observed, gone, &errnos, Confidence::High).into_iter();
    matches
        .map(|matched| {
            let missing = errors(observed, &matched.sockets, &[linux::ENOENT]);
            let matched = matched.claiming(|sign| {
                [linux::ECONNREFUSED, linux::ENOENT, linux::ENOTCONN]
                    .iter()
                    .any(|errno| *sign == Sign::SendFailed(errno.unsigned_abs()))
            });
            match missing.is_empty() {
                true => matched,
                false => matched.with("nothing was there at the path of the destination (ENOENT)"),
            }
        })
        .collect()
}
