//! Only large segments get lost, and nobody says so.

use super::common::{resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{Cause, Detail, EventKind};

/// Segments of full size that were sent again without success.
const LEAST: u64 = 3;
/// Every path carries this much (IPv6: RFC 8200).
const SMALL_BYTES: u32 = 1220;

pub static RULE: Rule = Rule {
    cause: "pmtu_blackhole",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "large segments vanish while small ones pass: the path's MTU is smaller than assumed, and ICMP is filtered",
    reason: "Only segments of full size had to be sent again, and again and again, while small segments of the same \
             connection were acknowledged. A link on the way cannot carry the large ones, and the ICMP message that \
             should say so does not arrive.",
    rests_on: "Path MTU discovery needs ICMP fragmentation needed / packet too big (RFC 1191, RFC 8201); RFC 2923 \
               describes this black hole; tcp_mtu_probing() finds a way around (RFC 4821).",
    needs: &[EventKind::Retransmit],
    needs_samples: false,
    refuted_by: "Small segments that are lost as well; ICMP messages that came in (cause mtu); an ACK of a large segment \
                 later on.",
    next_step: "ping -M do -s 1472 DESTINATION (and smaller) finds the size that passes. Let the router in front of the \
                small link send its ICMP messages, or clamp the MSS there; net.ipv4.tcp_mtu_probing=1 helps one host.",
    do_not: "Do not lower the MTU of all interfaces, and do not raise retries: the same segment is lost each time.",
    supersedes: &[
        "path_blackhole",
        "idle_timeout",
        "path_loss",
        "destination_loss",
    ],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let stuck = sockets(observed, conversation, only_large);
        let proven = sockets(observed, conversation, |socket| {
            only_large(socket) && small_passed(socket)
        });
        if proven.is_empty() {
            continue;
        }
        let sum = resent(observed, &stuck, &[Cause::Rto, Cause::Fast]);
        let confidence = if sum.count >= 2 * LEAST {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mss = stuck
            .iter()
            .filter_map(|socket| observed.sockets[*socket].tcp.mss_bytes)
            .map(|(_, most)| most)
            .max();
        let mut matched = Match::of(observed, index, stuck.clone(), confidence)
            .shown_by(
                "segments of full size sent again, none of them acknowledged",
                &sum,
            )
            .with("smaller segments sent after them were acknowledged (SACK)");
        if let Some(mss) = mss {
            matched = matched.with(format!("the largest segments carry {mss} bytes"));
        }
        matches.push(matched.timed());
    }
    matches
}

/// Everything that was sent again is of full size, and it did not help.
pub fn only_large(socket: &Socket) -> bool {
    let Some((_, mss)) = socket.tcp.mss_bytes.filter(|(_, mss)| *mss > SMALL_BYTES) else {
        return false;
    };
    let mut timeouts = 0;
    for (_, event) in &socket.events {
        if let Detail::Retransmit(r) = &event.detail {
            let each = r
                .bytes
                .zip(r.segments)
                .map(|(bytes, segments)| bytes / segments.max(1));
            // A probe of the tail may be small: that it is sent again tells nothing yet.
            if r.cause != Cause::Tlp && each.is_none_or(|each| each * 10 < u64::from(mss) * 9) {
                return false;
            }
            timeouts += u64::from(r.cause == Cause::Rto && r.attempt.is_some());
        }
    }
    socket.open && timeouts >= LEAST && socket.attempts >= 3 && socket.resets_received.is_empty()
}

/// Did the peer acknowledge something while the large ones were missing? A fast retransmit says so: only SACKs or
/// duplicate ACKs start it.
fn small_passed(socket: &Socket) -> bool {
    socket.resent(Cause::Fast) > 0
        || socket.samples.iter().any(|(_, sample)| {
            let sacked = sample.tcp.as_ref().and_then(|tcp| tcp.sacked_segments);
            sacked.is_some_and(|sacked| sacked > 0)
        })
}
