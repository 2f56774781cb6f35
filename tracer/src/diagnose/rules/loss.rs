//! Which destinations packets are lost on the way to, and what part: shared by the rules about loss.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::common::sockets;
use super::path_blackhole::went_silent;
use crate::diagnose::{Observed, Socket};
use crate::event::Cause;

/// Less is how TCP finds its rate.
const LEAST_PART: f64 = 0.015;
const LEAST_SEGMENTS: u64 = 5;

/// A destination that packets are lost on the way to: one address, whatever the port and the process.
#[derive(Default)]
pub struct Lossy {
    pub conversations: Vec<usize>,
    pub sockets: Vec<usize>,
    pub resent_segments: u64,
    /// Of the same sockets; `None` where no sample says it.
    pub delivered_segments: Option<u64>,
    /// Part of what was sent to it that was sent again.
    pub part: f64,
}

/// All destinations of a host that lose, and the segments that the host sent while they did (`Tcp.OutSegs`).
pub fn lossy(observed: &Observed, host: usize) -> (Vec<Lossy>, Option<u64>) {
    let facts = &observed.hosts[host];
    let grew = |name| facts.grew(name);
    let (out, resent) = (grew("Tcp.OutSegs"), grew("Tcp.RetransSegs"));
    let overall = resent
        .zip(out)
        .map(|(resent, out)| resent as f64 / out.max(1) as f64);
    let mut by_address: BTreeMap<Option<IpAddr>, Lossy> = BTreeMap::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let losing = sockets(observed, conversation, loses);
        if conversation.host == host && !losing.is_empty() {
            let one = by_address.entry(conversation.peer.address()).or_default();
            one.conversations.push(index);
            one.sockets.extend(losing);
        }
    }
    let mut found: Vec<_> = by_address.into_values().collect();
    for one in &mut found {
        let all = || one.sockets.iter().map(|socket| &observed.sockets[*socket]);
        one.resent_segments = all().map(Socket::resent_segments).sum();
        one.delivered_segments = all().map(Socket::delivered_segments).sum();
        let sent = one
            .delivered_segments
            .map(|delivered| delivered + one.resent_segments);
        one.part = match sent {
            Some(sent) => one.resent_segments as f64 / sent.max(1) as f64,
            None => overall.unwrap_or(0.0),
        };
    }
    found.retain(|one| one.resent_segments >= LEAST_SEGMENTS && one.part >= LEAST_PART);
    let meanwhile = out.map(|_| sent_meanwhile(observed, host, &found));
    (found, meanwhile)
}

/// Segments that the host sent while these were lost: what went elsewhere before or after it proves nothing.
fn sent_meanwhile(observed: &Observed, host: usize, lossy: &[Lossy]) -> u64 {
    let resent = || {
        let sockets = lossy.iter().flat_map(|one| &one.sockets);
        sockets.flat_map(|socket| observed.sockets[*socket].retransmits.values())
    };
    let first = resent().map(|sum| sum.first_ns).min().unwrap_or(i64::MAX);
    let last = resent().map(|sum| sum.last_ns).max().unwrap_or(i64::MIN);
    let samples = observed.hosts[host].samples.iter();
    samples
        .filter(|one| {
            let begun = one.wall_ns - i64::try_from(one.sample.interval_ns).unwrap_or(0);
            begun <= last && one.wall_ns >= first
        })
        .filter_map(|one| one.sample.counters.as_ref()?.get("Tcp.OutSegs").copied())
        .sum()
}

/// Segments were lost and others arrived: not silence, and not what the peer says came twice.
fn loses(socket: &Socket) -> bool {
    if went_silent(socket) || socket.ended_with().is_some() {
        return false;
    }
    let lost = socket.resent(Cause::Fast) + socket.resent(Cause::Rto) + socket.resent(Cause::Tlp);
    let twice = socket.duplicates().unwrap_or(0);
    lost > 0 && socket.open && twice * 2 < socket.resent_segments().max(1)
}

/// Segments of the host that went elsewhere, and of which nothing shows that they were lost: `None` where it is not
/// known.
pub fn elsewhere(lossy: &[Lossy], out: Option<u64>) -> Option<u64> {
    let theirs = lossy
        .iter()
        .map(|one| Some(one.delivered_segments? + one.resent_segments))
        .sum::<Option<u64>>()?;
    Some(out?.saturating_sub(theirs))
}

/// How many segments would have been sent again elsewhere, had it lost as much as this destination.
pub fn expected(one: &Lossy, elsewhere: u64) -> f64 {
    elsewhere as f64 * one.part
}
