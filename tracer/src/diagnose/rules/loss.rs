//! Which conversations lose packets on the way, and what part: shared by the rules about loss.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::common::sockets;
use crate::diagnose::{Observed, Socket};
use crate::event::Cause;

/// Less is how TCP finds its rate.
const LEAST_PART: f64 = 0.015;
const LEAST_SEGMENTS: u64 = 5;

/// A conversation that loses packets.
pub struct Lossy {
    pub conversation: usize,
    pub sockets: Vec<usize>,
    pub address: Option<IpAddr>,
    pub resent_segments: u64,
    /// `None` where no sample says it.
    pub delivered_segments: Option<u64>,
}

/// All of a host, and the segments that the host sent meanwhile (`Tcp.OutSegs`).
pub fn lossy(observed: &Observed, host: usize) -> (Vec<Lossy>, Option<u64>) {
    let facts = &observed.hosts[host];
    let out = facts.grew("Tcp.OutSegs");
    let all_part =
        out.map(|out| facts.grew("Tcp.RetransSegs").unwrap_or(0) as f64 / (out as f64).max(1.0));
    let mut found = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.host != host {
            continue;
        }
        let losing = sockets(observed, conversation, loses);
        let all = || losing.iter().map(|socket| &observed.sockets[*socket]);
        let resent_segments: u64 = all().map(Socket::resent_segments).sum();
        let delivered_segments = all().map(Socket::delivered_segments).sum::<Option<u64>>();
        let part = match delivered_segments {
            Some(delivered) => {
                Some(resent_segments as f64 / (delivered + resent_segments).max(1) as f64)
            }
            None => all_part,
        };
        if resent_segments >= LEAST_SEGMENTS && part.is_some_and(|part| part >= LEAST_PART) {
            found.push(Lossy {
                conversation: index,
                sockets: losing,
                address: conversation.peer.address(),
                resent_segments,
                delivered_segments,
            });
        }
    }
    (found, out)
}

/// Segments were lost and others arrived: not silence, and not what the peer says came twice.
fn loses(socket: &Socket) -> bool {
    let lost = socket.resent(Cause::Fast) + socket.resent(Cause::Rto) + socket.resent(Cause::Tlp);
    let twice = socket.duplicates().unwrap_or(0);
    lost > 0 && socket.open && twice * 2 < socket.resent_segments().max(1)
}

/// Addresses that lose.
pub fn addresses(lossy: &[Lossy]) -> BTreeSet<IpAddr> {
    lossy.iter().filter_map(|one| one.address).collect()
}

/// Segments of the host that went elsewhere, and were not sent again: `None` where it is not known.
pub fn elsewhere(lossy: &[Lossy], out: Option<u64>) -> Option<u64> {
    let theirs = lossy
        .iter()
        .map(|one| Some(one.delivered_segments? + one.resent_segments))
        .sum::<Option<u64>>()?;
    Some(out?.saturating_sub(theirs))
}
