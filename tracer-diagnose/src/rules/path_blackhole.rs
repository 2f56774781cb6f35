//! A connection was at work, and from one moment on nothing came back any more.

use super::common::{many, others_were_well};
use super::pmtu_blackhole::only_large;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket, Sum};
use tracer_model::event::{Cause, Detail, EventKind, Outcome};
use tracer_model::linux;

/// Time-outs in a row that only silence explains: with 10 % of random loss, three in a row come once in a thousand.
const IN_A_ROW: u32 = 3;

pub static RULE: Rule = Rule {
    cause: "path_blackhole",
    symptom: Symptom::Disconnect,
    layer: Some(Layer::Network),
    title: "an established connection hears nothing any more from the other end",
    reason: "Data was sent again by time-out again and again, each time after twice the time, and no ACK came at all: \
             not loss of some packets, but of all. Nothing said why (no RST, no ICMP message), so the path or the \
             host behind it went silent.",
    rests_on: "tcp_retransmit_timer() doubles icsk_rto and gives up with ETIMEDOUT after tcp_retries2 \
               (tcp_write_timeout(), RFC 1122 4.2.3.5); rcv_tstamp tells when the last ACK came.",
    needs: &[EventKind::Retransmit, EventKind::Connection],
    needs_samples: false,
    refuted_by: "An ACK between the time-outs; RST or ICMP messages; a neighbour that failed; other connections to the \
                 same destination that go on.",
    next_step: "Is the destination reachable now by anything else (ping, another port)? If not, trace the route from \
                both ends at the same time. If so, something in between forgot or filters this one connection.",
    do_not: "Do not raise tcp_retries2 or the application's retries: the connection is dead, and waiting longer only \
             hides when.",
    supersedes: &["path_loss", "destination_loss", "blocked_writer"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let sockets = conversation.sockets.iter().copied();
        let silent: Vec<_> = sockets
            .filter(|socket| went_silent(&observed.sockets[*socket]))
            .collect();
        if silent.is_empty() {
            continue;
        }
        let all = || silent.iter().map(|socket| &observed.sockets[*socket]);
        let timed_out = all().filter(|socket| gave_up(socket)).count();
        let timeouts = Sum::of(all().filter_map(|socket| socket.retransmits.get(&Cause::Rto)));
        let silence = all()
            .filter_map(|socket| socket.tcp.last_ack_us_ago_max)
            .max();
        // A path that swallows large packets only looks the same from here.
        let large = all().all(only_large);
        let confidence = match timed_out {
            _ if large => Confidence::Low,
            1.. => Confidence::High,
            0 => Confidence::Medium,
        };
        let mut matched = Match::of(observed, index, silent.clone(), confidence)
            .shown_by("time-outs in a row, and no ACK in between", &timeouts)
            .but(
                large,
                "only segments of full size were sent again: a path that swallows large packets and no others looks the same \
                 (see pmtu_blackhole)",
            );
        if let bytes @ 1.. = others_were_well(observed, conversation) {
            matched = matched.with(format!(
                "other processes had {bytes} bytes acknowledged by the same host in this recording"
            ));
        }
        if let Some(us) = silence {
            matched = matched.with(format!("no ACK for {:.1} s", us as f64 / 1e6));
        }
        if timed_out > 0 {
            matched = matched.with(format!(
                "{} ended with ETIMEDOUT",
                many(timed_out, "connection")
            ));
        }
        let host = &observed.hosts[conversation.host];
        let retries = host
            .sysctl("net.ipv4.tcp_retries2")
            .and_then(|retries| u32::try_from(retries).ok());
        let attempts = all()
            .filter(|socket| gave_up(socket))
            .map(|socket| socket.attempts)
            .max();
        if let Some((attempts, retries)) = attempts
            .zip(retries)
            .filter(|(attempts, retries)| attempts < retries)
        {
            matched = matched.with(format!(
                "it was given up after {attempts} attempts, before tcp_retries2 ({retries}): the application set TCP_USER_TIMEOUT"
            ));
        }
        // It may still come back.
        matched.symptom = (timed_out == 0).then_some(Symptom::Stall);
        matches.push(matched);
    }
    matches
}

/// Established, with time-outs in a row that no ACK interrupted, and nothing that explains itself.
pub fn went_silent(socket: &Socket) -> bool {
    socket.open
        && socket.resets_received.is_empty()
        && socket.attempts >= IN_A_ROW
        && no_ack_between(socket)
        && !socket
            .errors
            .keys()
            .chain(socket.ended_with().iter().map(|(_, errno)| errno))
            .any(|errno| {
                [linux::EHOSTUNREACH, linux::ENETUNREACH, linux::ECONNRESET]
                    .iter()
                    .any(|one| one.unsigned_abs() == *errno)
            })
}

/// Was the time since the last ACK longer at each time-out than at the one before?
fn no_ack_between(socket: &Socket) -> bool {
    let mut last = 0;
    let mut in_a_row = 0;
    for (_, event) in &socket.events {
        let (Detail::Retransmit(r), Some(tcp)) = (&event.detail, &event.tcp) else {
            continue;
        };
        // What stayed on this host tells nothing of the path.
        if r.cause != Cause::Rto || r.attempt.is_none() || r.outcome != Outcome::Sent {
            continue;
        }
        let Some(ago) = tcp.last_ack_us_ago else {
            continue;
        };
        in_a_row = if ago > last { in_a_row + 1 } else { 1 };
        last = ago;
    }
    in_a_row >= IN_A_ROW
}

fn gave_up(socket: &Socket) -> bool {
    let timed_out = linux::ETIMEDOUT.unsigned_abs();
    socket
        .ended_with()
        .is_some_and(|(_, errno)| errno == timed_out)
        || socket.errors.contains_key(&timed_out)
}
