//! A firewall forgot connections that were idle, and now drops what belongs to them.

use super::common::{ended, many, resent, seconds, sockets};
use super::path_blackhole::went_silent;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{Cause, EventKind};
use tracer_model::linux;

/// Shorter pauses are part of any conversation, microseconds.
pub const IDLE_US: u64 = 3_000_000;

pub static RULE: Rule = Rule {
    cause: "idle_timeout",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Network),
    title: "connections die in silence when they are used again after a pause",
    reason: "The first data after a pause was never acknowledged, and neither was anything after it, while other traffic \
             of this host was: a stateful firewall, NAT or load balancer on the way forgot the connection while it \
             was idle, and drops what it no longer knows.",
    rests_on: "The age of the last ACK (rcv_tstamp) at the first time-out tells how long the connection was idle; \
               nf_conntrack and its like drop entries after an idle time (RFC 5382 asks for 2 h 4 min of NATs).",
    needs: &[EventKind::Retransmit, EventKind::Connection],
    needs_samples: true,
    refuted_by: "Connections to the same destination that were busy and died at the same moment: then the path or the \
                 peer died, and idleness was chance.",
    next_step: "Find the shortest idle time at which it happens, and set keepalive below it (TCP_KEEPIDLE of the \
                application, or net.ipv4.tcp_keepalive_time), or let the pool close idle connections earlier.",
    do_not: "Do not raise time-outs or retries of the application: the connection is dead from the first byte. Do not \
             change tcp_retries2 for the whole host.",
    supersedes: &["path_blackhole", "path_loss", "destination_loss"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let dead = sockets(observed, conversation, |socket| {
            went_silent(socket) && idle_us(socket).is_some_and(|us| us >= IDLE_US)
        });
        if dead.is_empty() {
            continue;
        }
        let busy = sockets(observed, conversation, |socket| {
            went_silent(socket) && idle_us(socket).is_none_or(|us| us < IDLE_US)
        });
        let all = || dead.iter().map(|socket| &observed.sockets[*socket]);
        let others = delivered_meanwhile(observed, &dead);
        let confidence = match (dead.len(), others, busy.len()) {
            (2.., 1.., 0) => Confidence::High,
            (_, _, 0) => Confidence::Medium,
            _ => Confidence::Low,
        };
        let timeouts = resent(observed, &dead, &[Cause::Rto]);
        let shortest = all().filter_map(idle_us).min().unwrap_or(0);
        let timed_out = ended(observed, &dead, &[linux::ETIMEDOUT]);
        let mut matched = Match::of(observed, index, dead.clone(), confidence)
            .with(format!(
                "{} connections went silent with the first data after a pause of at least {}",
                dead.len(),
                seconds(shortest)
            ))
            .shown_by("time-outs in a row, and no ACK in between", &timeouts)
            .but(
                !busy.is_empty(),
                format!(
                    "{} connections that were not idle went silent too",
                    busy.len()
                ),
            )
            .but(
                others == 0,
                "no other traffic of this host is known to have been acknowledged meanwhile",
            );
        if others > 0 {
            matched = matched.with(format!(
                "{others} segments of other connections of this host were acknowledged meanwhile"
            ));
        }
        if timed_out > 0 {
            matched = matched.with(format!(
                "{} ended with ETIMEDOUT",
                many(timed_out, "connection")
            ));
        }
        matches.push(matched.timed());
    }
    matches
}

/// How long the connection had been idle when the data was sent that got no answer.
pub fn idle_us(socket: &Socket) -> Option<u64> {
    let rto_us = socket
        .events
        .iter()
        .find_map(|(_, event)| event.tcp.as_ref()?.rto_us)?;
    Some(socket.silent_before_us()?.saturating_sub(rto_us))
}

/// Segments of other connections that were acknowledged while these were silent.
pub fn delivered_meanwhile(observed: &Observed, silent: &[usize]) -> u64 {
    let all = || silent.iter().map(|socket| &observed.sockets[*socket]);
    let (Some(first), Some(last)) = (
        all().map(|socket| socket.first_ns).min(),
        all().map(|socket| socket.last_ns).max(),
    ) else {
        return 0;
    };
    let host = silent
        .first()
        .map_or(0, |socket| observed.sockets[*socket].host);
    let samples = observed.hosts[host].samples.iter();
    samples
        // The whole interval must lie in the time of silence.
        .filter(|one| {
            let begun = one.wall_ns - i64::try_from(one.sample.interval_ns).unwrap_or(0);
            begun >= first && one.wall_ns <= last
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
