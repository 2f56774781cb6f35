//! When connections to one destination were asked for in vain: shared by the rules about retries.

use crate::{Conversation, Observed, Role, Socket};
use tracer_model::event::{Cause, TcpState};

/// Times at which connections began that came to nothing, nanoseconds of the wall clock, in order, each with its
/// socket.
pub fn failed(observed: &Observed, conversation: &Conversation) -> Vec<(i64, usize)> {
    let mut times: Vec<_> = conversation
        .sockets
        .iter()
        .filter_map(|index| Some((began(&observed.sockets[*index])?, *index)))
        .collect();
    times.sort_unstable();
    times
}

/// When a connection was asked for that never opened. A SYN is first sent again a second after it
/// (TCP_TIMEOUT_INIT); a refusal comes at once.
fn began(socket: &Socket) -> Option<i64> {
    if socket.open || socket.role != Role::Client {
        return None;
    }
    let given_up = socket
        .transitions
        .iter()
        .any(|(_, change)| change.from == Some(TcpState::SynSent));
    if !given_up && socket.resent(Cause::Syn) == 0 {
        return None;
    }
    let again = socket.retransmits.get(&Cause::Syn);
    Some(again.map_or(socket.first_ns, |sum| sum.first_ns - 1_000_000_000))
}
