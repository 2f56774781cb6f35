//! What several rules ask.

use crate::observed::same;
use crate::rule::{Confidence, Match};
use crate::sign::Sign;
use crate::{Conversation, HostFacts, Observed, Peer, Socket, Sum};
use tracer_model::errno;
use tracer_model::event::{Cause, Direction, Endpoint};
use tracer_model::linux;

/// Causes beyond this host, which step back where this host itself drops the packets of a socket.
pub const BEYOND: &[&str] = &[
    "syn_blackhole",
    "syn_dropped_at_peer",
    "path_blackhole",
    "path_loss",
    "destination_loss",
    "idle_timeout",
    "pmtu_blackhole",
    "keepalive_expired",
    "connection_refused",
    "icmp_reject",
    "no_route",
];

/// The sockets of a conversation for which this is true.
pub fn sockets(
    observed: &Observed,
    conversation: &Conversation,
    wanted: impl Fn(&Socket) -> bool,
) -> Vec<usize> {
    let all = conversation.sockets.iter().copied();
    all.filter(|index| wanted(&observed.sockets[*index]))
        .collect()
}

/// All sockets of a host for which this is true, and the conversations that they belong to.
pub fn of_host(
    observed: &Observed,
    host: usize,
    wanted: impl Fn(&Socket) -> bool,
) -> (Vec<usize>, Vec<usize>) {
    let (mut conversations, mut found) = (Vec::new(), Vec::new());
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.host == host {
            let some = sockets(observed, conversation, &wanted);
            if !some.is_empty() {
                conversations.push(index);
                found.extend(some);
            }
        }
    }
    (conversations, found)
}

/// Errors of sends with one of these errnos.
pub fn errors(observed: &Observed, sockets: &[usize], errnos: &[i32]) -> Sum {
    let sockets = sockets.iter().map(|index| &observed.sockets[*index]);
    Sum::of(sockets.flat_map(|socket| {
        let errnos = errnos.iter();
        errnos.filter_map(|errno| socket.errors.get(&errno.unsigned_abs()))
    }))
}

/// Retransmits of these causes.
pub fn resent(observed: &Observed, sockets: &[usize], causes: &[Cause]) -> Sum {
    let sockets = sockets.iter().map(|index| &observed.sockets[*index]);
    Sum::of(sockets.flat_map(|socket| {
        let all = causes.iter();
        let repaired = causes.contains(&Cause::Fast).then_some(&socket.repaired);
        all.filter_map(|cause| socket.retransmits.get(cause))
            .chain(repaired)
    }))
}

/// Packets dropped on their way out, for which this is true of the reason.
pub fn dropped(observed: &Observed, sockets: &[usize], wanted: impl Fn(&str) -> bool) -> Sum {
    let sums: Vec<_> = sockets
        .iter()
        .map(|index| observed.sockets[*index].dropped(&wanted))
        .collect();
    Sum::of(sums.iter())
}

/// Sockets whose connection the kernel ended with one of these errnos.
pub fn ended(observed: &Observed, sockets: &[usize], errnos: &[i32]) -> usize {
    let sockets = sockets.iter().map(|index| &observed.sockets[*index]);
    sockets.filter(|socket| ended_with(socket, errnos)).count()
}

/// Did the kernel end the connection with one of these errnos?
pub fn ended_with(socket: &Socket, errnos: &[i32]) -> bool {
    socket
        .ended_with()
        .is_some_and(|(_, errno)| errnos.iter().any(|one| one.unsigned_abs() == errno))
}

/// What others sent to the same host in this recording, and was acknowledged: bytes. What only these conversations'
/// own processes sent proves nothing.
pub fn others_were_well(observed: &Observed, conversation: &Conversation) -> u64 {
    let remote = conversation.peer.address().map(|one| one.to_canonical());
    let flows = observed.flows.iter().filter(|flow| {
        flow.host == conversation.host
            && Some(flow.remote.to_canonical()) == remote
            && !same(&flow.owner, &conversation.owner)
    });
    flows.map(|flow| flow.acked_bytes).sum()
}

/// Connects to the same address and port that were established in this recording, whoever asked.
pub fn established(observed: &Observed, conversation: &Conversation) -> u64 {
    let Peer::Remote(Endpoint::Inet(remote)) = &conversation.peer else {
        return 0;
    };
    let flows = observed.flows.iter().filter(|flow| {
        flow.host == conversation.host && flow.remote.to_canonical() == remote.ip().to_canonical()
    });
    flows
        .filter_map(|flow| flow.established.get(&Some(remote.port())))
        .sum()
}

/// How often, for people.
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// How many of something whose plural ends in s, for people.
pub fn many(count: usize, one: &str) -> String {
    match count {
        1 => format!("one {one}"),
        count => format!("{count} {one}s"),
    }
}

/// Seconds, for people.
pub fn seconds(us: u64) -> String {
    if us < 1_000_000 {
        format!("{:.0} ms", us as f64 / 1e3)
    } else {
        format!("{:.1} s", us as f64 / 1e6)
    }
}

/// A case for each conversation with packets that this host dropped, on their way out or after they had arrived, for
/// which this is true of the reason. What only arrived and was refused is no harm to a connection that gets on.
pub fn dropped_here(
    observed: &Observed,
    wanted: impl Fn(&Socket, &str) -> bool,
    what: &str,
    confidence: Confidence,
) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let sum_of = |socket: &Socket, direction| {
            let drops = socket.drops.iter();
            let of =
                drops.filter(|((reason, to), _)| *to == Some(direction) && wanted(socket, reason));
            Sum::of(of.map(|(_, sum)| sum))
        };
        let out = |socket: &Socket| sum_of(socket, Direction::Sent);
        let arrived = |socket: &Socket| match socket.misses_answers() {
            true => sum_of(socket, Direction::Received),
            false => Sum::default(),
        };
        let found = sockets(observed, conversation, |socket| {
            out(socket).count + arrived(socket).count > 0
        });
        if found.is_empty() {
            continue;
        }
        let total = |sum: &dyn Fn(&Socket) -> Sum| {
            let sums: Vec<_> = found
                .iter()
                .map(|socket| sum(&observed.sockets[*socket]))
                .collect();
            Sum::of(sums.iter())
        };
        let (out, arrived) = (total(&out), total(&arrived));
        // One packet that a rule throws away on purpose is no fault.
        let confidence = if out.count + arrived.count < 3 {
            confidence.less()
        } else {
            confidence
        };
        let lost = ended(observed, &found, &[linux::ETIMEDOUT, linux::ECONNREFUSED]);
        let mut matched = Match::of(observed, index, found.clone(), confidence)
            .shown_by(format!("packets dropped {what} on their way out"), &out)
            .shown_by(format!("packets that had arrived dropped {what}"), &arrived)
            .shown_by(
                "sends failed with EPERM",
                &errors(observed, &found, &[linux::EPERM]),
            )
            .shown_by(
                "time-outs meanwhile",
                &resent(observed, &found, &[Cause::Rto, Cause::Syn]),
            );
        if lost > 0 {
            matched = matched.with(format!("{} failed with it", many(lost, "connection")));
        }
        matches.push(matched.timed());
    }
    matches
}

/// A case for each conversation with sockets for which this is true, shown by their sends that failed with these errnos
/// and by connections that ended with them.
pub fn failing(
    observed: &Observed,
    wanted: impl Fn(&HostFacts, &Socket) -> bool,
    errnos: &[i32],
    confidence: Confidence,
) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let host = &observed.hosts[conversation.host];
        let found = sockets(observed, conversation, |socket| wanted(host, socket));
        if found.is_empty() {
            continue;
        }
        let mut matched = Match::of(observed, index, found.clone(), confidence);
        for errno in errnos {
            let name = errno::display(errno.unsigned_abs());
            let sends = errors(observed, &found, &[*errno]);
            let ends = ends(observed, &found, |sign| {
                *sign == Sign::Ended(errno.unsigned_abs())
            });
            matched = matched
                .shown_by(format!("sends failed with {name}"), &sends)
                .shown_by(format!("connections ended with {name}"), &ends);
        }
        let given_up = ends(observed, &found, |sign| *sign == Sign::NeverOpened);
        matches.push(
            matched
                .shown_by(
                    "connection requests that came to nothing, without an errno",
                    &given_up,
                )
                .timed(),
        );
    }
    matches
}

/// Signs of these sockets for which this is true, with the times of their events.
pub fn ends(observed: &Observed, sockets: &[usize], wanted: impl Fn(&Sign) -> bool) -> Sum {
    let mut sum = Sum::default();
    for index in sockets {
        for (sign, one) in observed.sockets[*index].signs() {
            if wanted(&sign) {
                sum.merge(&one);
            }
        }
    }
    sum
}

/// Did sends or the connection itself fail with one of these errnos?
pub fn has_failed(socket: &Socket, errnos: &[i32]) -> bool {
    ended_with(socket, errnos) || errnos.iter().any(|errno| socket.failed(*errno) > 0)
}
