//! A local server does not accept fast enough.

use super::common::{ends, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Role, Socket, Sum};
use tracer_model::event::{Cause, Direction, EventKind, WaitReason};

const LEAST: u64 = 3;

pub static RULE: Rule = Rule {
    cause: "accept_queue_overflow",
    symptom: Symptom::Refused,
    layer: Some(Layer::App),
    title: "a server of this host does not accept connections fast enough: its accept queue is full",
    reason: "Connections of clients were complete, but the queue in which they wait for accept() was full, and the kernel \
             dropped the last packet of the handshake: the clients wait, and send again. The server is too slow or its \
             backlog is too short.",
    rests_on: "tcp_v4_syn_recv_sock() and tcp_conn_request() count TcpExt.ListenOverflows and drop with \
               TCP_LISTEN_OVERFLOW; the length is the lesser of listen()'s backlog and net.core.somaxconn.",
    needs: &[EventKind::Drop],
    needs_samples: true,
    refuted_by: "ListenDrops that grow without ListenOverflows (no memory, or no route back).",
    next_step: "ss -ltn: Recv-Q at Send-Q means full. What keeps the server from calling accept() (one thread, a lock, the \
                garbage collector)? Then raise its backlog, and somaxconn if that is the limit.",
    do_not: "Do not set tcp_abort_on_overflow: clients would get RST instead of a delay. Do not look at the network.",
    supersedes: &["syn_blackhole", "syn_dropped_at_peer", "path_blackhole"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        matches.extend(listener(observed, index));
        if conversation.role != Role::Server {
            matches.extend(from_client(observed, index));
            continue;
        }
        let full = sockets(observed, conversation, |socket| overflow(socket).count > 0);
        let sums: Vec<_> = full
            .iter()
            .map(|socket| overflow(&observed.sockets[*socket]))
            .collect();
        let sum = Sum::of(sums.iter());
        let counted = observed.hosts[conversation.host].grew("TcpExt.ListenOverflows");
        if sum.count < LEAST || counted == Some(0) {
            continue;
        }
        let confidence = if counted.is_some_and(|counted| counted >= LEAST) {
            Confidence::High
        } else {
            Confidence::Medium
        };
        // Those that only had their SYN-ACK repeated belong to it.
        let concerned = sockets(observed, conversation, |socket| {
            overflow(socket).count > 0 || socket.resent(Cause::SynAck) > 0
        });
        let mut matched = Match::of(observed, index, concerned.clone(), confidence)
            .shown_by(
                "packets of complete connections dropped (TCP_LISTEN_OVERFLOW)",
                &sum,
            )
            .shown_by(
                "SYN-ACKs sent again",
                &resent(observed, &concerned, &[Cause::SynAck]),
            );
        if let Some(counted) = counted {
            matched = matched.with(format!("TcpExt.ListenOverflows grew by {counted}"));
        }
        if let Some(longest) = observed.hosts[conversation.host].sysctl("net.core.somaxconn") {
            matched = matched.with(format!("net.core.somaxconn is {longest}"));
        }
        matched.explains = matched.explains.max(sum.count);
        matches.push(matched.timed());
    }
    matches
}

/// The listener itself was seen to be full.
fn listener(observed: &Observed, index: usize) -> Option<Match> {
    let is_full = |sign: &Sign| *sign == Sign::Waited(WaitReason::AcceptQueue);
    let found = sockets(observed, &observed.conversations[index], |socket| {
        socket.signs().iter().any(|(sign, _)| is_full(sign))
    });
    (!found.is_empty()).then(|| {
        let waits = ends(observed, &found, is_full);
        Match::of(observed, index, found, Confidence::Medium)
            .shown_by(
                "times that the accept queue of the listener was full",
                &waits,
            )
            .timed()
    })
}

/// Seen from a client of the same host, over loopback or not: its requests were sent again while a queue here overflowed.
fn from_client(observed: &Observed, index: usize) -> Option<Match> {
    let conversation = &observed.conversations[index];
    let host = &observed.hosts[conversation.host];
    let found = sockets(observed, conversation, |socket| {
        let here = socket
            .remote_address()
            .is_some_and(|remote| host.has_address(remote));
        let counted = host.grew_within("TcpExt.ListenOverflows", socket.first_ns, socket.last_ns);
        here && host.describes(socket)
            && socket.resent(Cause::Syn) + socket.resent(Cause::Rto) > 0
            && counted.is_some_and(|counted| counted > 0)
    });
    let counted = host.grew("TcpExt.ListenOverflows")?;
    (!found.is_empty()).then(|| {
        let again = resent(observed, &found, &[Cause::Syn, Cause::Rto]);
        Match::of(observed, index, found, Confidence::Medium)
            .shown_by(
                "connection requests and first data sent again to a server of this host",
                &again,
            )
            .with(format!("TcpExt.ListenOverflows grew by {counted}"))
            .timed()
    })
}

fn overflow(socket: &Socket) -> Sum {
    let all = socket.drops.iter().filter(|((reason, direction), _)| {
        reason == "TCP_LISTEN_OVERFLOW" && *direction == Some(Direction::Received)
    });
    Sum::of(all.map(|(_, sum)| sum))
}
