//! What several rules ask.

use crate::rule::Match;
use crate::{Conversation, Observed, Socket, Sum};
use tracer_model::event::Cause;

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
        let causes = causes.iter();
        causes.filter_map(|cause| socket.retransmits.get(cause))
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

/// Cases about one process and one address become one: which port it was does not matter to them.
pub fn by_address(observed: &Observed, matches: Vec<Match>) -> Vec<Match> {
    let mut joined: Vec<Match> = Vec::new();
    let whose = |matched: &Match| {
        let conversation = &observed.conversations[*matched.conversations.first()?];
        let owner = &conversation.owner;
        let address = conversation.peer.address()?;
        Some((matched.host, owner.pid, owner.started_boot_ns, address))
    };
    for matched in matches {
        let key = whose(&matched);
        match joined
            .iter_mut()
            .find(|known| key.is_some() && whose(known) == key)
        {
            Some(known) => known.join(matched),
            None => joined.push(matched),
        }
    }
    joined
}
