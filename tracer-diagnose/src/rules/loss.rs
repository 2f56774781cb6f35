//! Which destinations packets are lost on the way to, and what part: shared by the rules about loss.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::common::sockets;
use super::path_blackhole::went_silent;
use crate::sign::is_loss;
use crate::{Observed, Socket};
use tracer_model::event::Cause;

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

/// What a host lost on the way, and what went elsewhere meanwhile.
pub struct Losses {
    /// Destinations that lose more than chance explains.
    pub lossy: Vec<Lossy>,
    /// Segments of this host that were acknowledged meanwhile (`TcpExt.TCPDelivered`): pure ACKs are no data.
    sent: Option<u64>,
    /// Segments that were sent again to other destinations.
    pub resent_elsewhere: u64,
}

/// All destinations of a host that lose.
pub fn losses(observed: &Observed, host: usize) -> Losses {
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
    let mut all: Vec<_> = by_address.into_values().collect();
    for one in &mut all {
        let all = || one.sockets.iter().map(|socket| &observed.sockets[*socket]);
        one.resent_segments = all().map(Socket::resent_segments).sum();
        one.delivered_segments = all().map(Socket::delivered_segments).sum();
        // Both until the last sample: a denominator that stops early makes loss out of little.
        let until: Option<Vec<_>> = all().map(Socket::sent_until_sample).collect();
        let sums = until.map(|all| {
            all.iter()
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        });
        one.part = match sums {
            Some((resent, delivered)) => resent as f64 / (resent + delivered).max(1) as f64,
            None => overall.unwrap_or(0.0),
        };
    }
    let (lossy, others): (Vec<_>, Vec<_>) = all.into_iter().partition(Lossy::is_more_than_chance);
    Losses {
        sent: grew("TcpExt.TCPDelivered").map(|_| sent_meanwhile(observed, host, &lossy)),
        resent_elsewhere: others.iter().map(|one| one.resent_segments).sum(),
        lossy,
    }
}

impl Lossy {
    fn is_more_than_chance(&self) -> bool {
        is_loss(self.part, self.resent_segments)
    }
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
        .filter_map(|one| {
            one.sample
                .counters
                .as_ref()?
                .get("TcpExt.TCPDelivered")
                .copied()
        })
        .sum()
}

/// Segments were lost and others arrived: not silence, and not what the peer says came twice.
fn loses(socket: &Socket) -> bool {
    if went_silent(socket) || socket.ended_with().is_some() {
        return false;
    }
    let lost = socket.repaired.count
        + socket.resent(Cause::Fast)
        + socket.resent(Cause::Rto)
        + socket.resent(Cause::Tlp);
    let twice = socket.duplicates().unwrap_or(0);
    // A probe may have been sent for a late ACK; only the peer's word on duplicates would tell.
    let only_probes = lost == socket.resent(Cause::Tlp) && socket.duplicates().is_none();
    !only_probes && lost > 0 && socket.open && twice * 2 < socket.resent_segments().max(1)
}

/// So many segments sent again were to be expected elsewhere, and did not come.
const EXPECTED: f64 = 10.0;
/// Elsewhere at most one part in so many of what was to be expected was lost.
const CONTRAST: f64 = 4.0;

impl Losses {
    /// Segments of the host that went elsewhere: `None` where it is not known.
    pub fn elsewhere(&self) -> Option<u64> {
        let theirs = self.lossy.iter();
        let theirs = theirs
            .map(|one| one.delivered_segments)
            .sum::<Option<u64>>()?;
        Some(self.sent?.saturating_sub(theirs))
    }

    /// How many segments would have been sent again elsewhere, had it lost as much as this destination.
    pub fn expected(&self, one: &Lossy) -> f64 {
        self.elsewhere().unwrap_or(0) as f64 * one.part
    }

    /// Did so much go elsewhere, and arrive, that loss on what all destinations share would have shown?
    pub fn are_apart(&self) -> bool {
        let much = self
            .elsewhere()
            .zip(self.sent)
            .is_some_and(|(elsewhere, sent)| elsewhere * 10 >= sent * 4);
        much && self.lossy.iter().all(|one| {
            let expected = self.expected(one);
            expected >= EXPECTED && self.resent_elsewhere as f64 * CONTRAST <= expected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossy(resent_segments: u64, delivered: u64) -> Lossy {
        Lossy {
            resent_segments,
            delivered_segments: Some(delivered),
            part: resent_segments as f64 / (delivered + resent_segments) as f64,
            ..Lossy::default()
        }
    }

    #[test]
    fn a_part_that_chance_explains_is_no_loss_however_it_looks() {
        for (resent, delivered, is) in [
            (11, 680, false),
            (110, 6_800, true),
            (4, 20, false),
            (21, 680, true),
            (900, 90_000, false),
        ] {
            let one = lossy(resent, delivered);
            assert_eq!(one.is_more_than_chance(), is, "{resent} of {delivered}");
        }
    }

    #[test]
    fn a_destination_is_apart_only_if_the_others_lose_far_less() {
        let losses = |resent_elsewhere, sent| Losses {
            lossy: vec![lossy(30, 970)],
            sent: Some(sent),
            resent_elsewhere,
        };
        assert!(losses(0, 3_000).are_apart());
        assert!(losses(10, 3_000).are_apart());
        assert!(
            !losses(20, 3_000).are_apart(),
            "a third of it is lost elsewhere too"
        );
        assert!(!losses(0, 1_200).are_apart(), "too little went elsewhere");
    }
}
