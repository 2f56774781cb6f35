//! The call cannot work on this socket, whatever the network does.

use std::net::IpAddr;

use super::common::{failing, has_failed};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{HostFacts, Observed, Socket};
use tracer_model::errno;
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "socket_misused",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "the application makes a call that cannot work on this socket",
    reason: "The kernel refused the send before it looked at any route or device: the socket is not connected and no \
             destination was given, it is connected already, or it may not send to a broadcast address.",
    rests_on: "tcp_sendmsg_locked() and unix_stream_sendmsg() give ENOTCONN (EPIPE later), udp_sendmsg() EDESTADDRREQ, and \
               EACCES for a broadcast address without SO_BROADCAST (ip_route_output, RTCF_BROADCAST).",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "A connection of the same socket that was open before: then it was lost, and this is a consequence.",
    next_step: "strace -f -e trace=network -p PID: which calls come before the send? Does the application ignore that its \
                connect() failed, send before it is done, or forget SO_BROADCAST?",
    do_not: "Do not look at the network, and do not retry the send: the socket has to be set up first.",
    supersedes: &["bpf_drop", "route_refused"],
    judge,
};

/// What no state of the network brings about.
const ERRNOS: [i32; 5] = [
    linux::ENOTCONN,
    linux::EDESTADDRREQ,
    linux::EISCONN,
    linux::EAFNOSUPPORT,
    linux::EOPNOTSUPP,
];

fn judge(observed: &Observed) -> Vec<Match> {
    let misused = |host: &HostFacts, socket: &Socket| {
        let never_open = !socket.open && socket.failed(linux::ECONNREFUSED) == 0;
        never_open && has_failed(socket, &ERRNOS) || to_broadcast(host, socket)
    };
    let errnos: Vec<i32> = ERRNOS.into_iter().chain([linux::EACCES]).collect();
    failing(observed, misused, &errnos, Confidence::High)
        .into_iter()
        .map(|matched| {
            let broadcast = matched.sockets.iter().any(|index| {
                to_broadcast(&observed.hosts[matched.host], &observed.sockets[*index])
            });
            let matched = matched.claiming(|sign| match sign {
                Sign::SendFailed(code) => ERRNOS
                    .iter()
                    .chain(&[linux::EACCES])
                    .any(|errno| errno.unsigned_abs() == *code),
                _ => false,
            });
            match broadcast {
                true => matched.with(format!(
                    "the destination is a broadcast address: without SO_BROADCAST that is {}",
                    errno::display(linux::EACCES.unsigned_abs())
                )),
                false => matched,
            }
        })
        .collect()
}

/// EACCES for an address that reaches everybody on a wire.
fn to_broadcast(host: &HostFacts, socket: &Socket) -> bool {
    socket.failed(linux::EACCES) > 0
        && match socket.remote_address() {
            Some(IpAddr::V4(remote)) => {
                remote.is_broadcast()
                    || host.describes(socket) && host.is_broadcast(IpAddr::V4(remote))
            }
            _ => false,
        }
}
