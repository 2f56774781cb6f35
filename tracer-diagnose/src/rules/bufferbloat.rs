//! A queue on the way that is long and full.

use super::common::{of_host, resent, seconds};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{Cause, EventKind};

/// Growth that no delayed ACK explains, microseconds (delayed ACKs: at most 200 ms, usually 40).
const GROWN_US: u64 = 250_000;
const GROWN_TIMES: u64 = 5;
/// Segments in flight of whoever fills the queue.
const BULK: u32 = 10;

/// More than this in a queue of this host is a wait as well.
const OWN_BYTES: u32 = 100_000;

pub static RULE: Rule = Rule {
    cause: "bufferbloat",
    symptom: Symptom::Stall,
    layer: Some(Layer::Network),
    title: "a full queue on the way makes every packet wait",
    reason: "The round-trip time grew to many times its least value while much was in flight: the packets are not \
             lost, they wait in a queue in front of a slow link, and everybody who shares it waits with them.",
    rests_on: "srtt and min_rtt of tcp_info (tcp_ack_update_rtt(), RFC 6298); Gettys and Nichols, Bufferbloat.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "Round-trip times that grow on connections without much in flight alone (a slow peer), or loss \
                 without growth.",
    next_step: "Find the slowest link of the path and limit the bulk sender a little below its rate, or put fq_codel or \
                CAKE on it; BBR on the bulk sender keeps queues short as well.",
    do_not: "Do not raise buffers, queue lengths or time-outs anywhere: the queue only grows, and with it every wait.",
    supersedes: &["path_loss", "destination_loss", "spurious_retransmits"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for host in 0..observed.hosts.len() {
        let (conversations, sockets) = of_host(observed, host, |socket| grown(socket).is_some());
        let all = || sockets.iter().map(|index| &observed.sockets[*index]);
        // Somebody must fill the queue.
        if !all().any(fills) {
            continue;
        }
        let Some((least, most)) = all()
            .filter(|socket| fills(socket))
            .filter_map(grown)
            .max_by_key(|(_, most)| *most)
        else {
            continue;
        };
        let confidence = if most >= 8 * least.max(1) && most >= 2 * GROWN_US {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let queues = observed.hosts[host].samples.iter();
        let backlog = queues
            .flat_map(|one| one.sample.qdiscs.iter().flatten())
            .map(|queue| queue.backlog_bytes)
            .max()
            .unwrap_or(0);
        let sum = resent(observed, &sockets, &[Cause::Fast, Cause::Rto, Cause::Tlp]);
        matches.push(
            Match::of_many(observed, conversations, sockets.clone(), confidence)
                .with(format!(
                    "the round-trip time grew from {} to {}",
                    seconds(least),
                    seconds(most)
                ))
                .shown_by("retransmits meanwhile", &sum)
                .but(
                    backlog > OWN_BYTES,
                    format!("a queue of this host's own interfaces held {backlog} bytes: it may be that one"),
                ),
        );
    }
    matches
}

fn grown(socket: &Socket) -> Option<(u64, u64)> {
    let (least, most) = socket.rtt_us()?;
    (most >= least.saturating_mul(GROWN_TIMES) && most - least >= GROWN_US / 2)
        .then_some((least, most))
}

fn fills(socket: &Socket) -> bool {
    let sampled = socket
        .samples
        .iter()
        .filter_map(|(_, sample)| sample.tcp.as_ref()?.unacked_segments);
    let most = socket
        .tcp
        .unacked_segments_max
        .into_iter()
        .chain(sampled)
        .max();
    most.is_some_and(|most| most >= BULK)
        && grown(socket).is_some_and(|(least, most)| most - least >= GROWN_US)
}
