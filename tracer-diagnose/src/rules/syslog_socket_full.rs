//! The receiver of local datagrams does not read.

use super::common::{ends, errors, sockets};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use tracer_model::event::{CountedKind, EventKind, WaitReason};
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "syslog_socket_full",
    symptom: Symptom::Stall,
    layer: Some(Layer::App),
    title: "the receiver of these unix datagrams does not read fast enough: its queue is full",
    reason: "Sends on a unix datagram socket would have blocked again and again: the queue of the receiving \
             socket is full. The receiving process of this host is too slow or stopped; for a system log, \
             messages are lost or programs wait for it.",
    rests_on: "unix_dgram_sendmsg() gives EAGAIN (or waits) while the receiver has more than max_dgram_qlen \
             datagrams (net.unix.max_dgram_qlen).",
    needs: &[EventKind::SendError],
    needs_samples: false,
    refuted_by: "Single would-blocks of a sender in bursts.",
    next_step: "ss -xap: which process holds the receiving socket, and what does it wait for (its disk, a remote \
             log server)?",
    do_not: "Do not raise max_dgram_qlen first: it only buys time. Do not look at the network of this host.",
    supersedes: &[],
    judge,
};

const LEAST: u64 = 20;

/// Is it a queue that nobody empties?
fn is_full(sign: &Sign) -> bool {
    *sign == Sign::Waited(WaitReason::BufferFull)
}

fn judge(observed: &Observed) -> Vec<Match> {
    let receivers: Vec<usize> = (0..observed.sockets.len())
        .filter(|index| {
            let socket = &observed.sockets[*index];
            socket.proto == "unix_dgram" && socket.signs().iter().any(|(sign, _)| is_full(sign))
        })
        .collect();
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        if conversation.proto != "unix_dgram" {
            continue;
        }
        let found = sockets(observed, conversation, |socket| {
            socket.failed(linux::EAGAIN) + socket.failed(linux::ENOBUFS) > 0
        });
        let listed = errors(observed, &found, &[linux::EAGAIN, linux::ENOBUFS]);
        let rows = observed.counted_of(conversation);
        let counted: u64 = rows
            .filter(|row| row.kind == CountedKind::WouldBlock)
            .map(|row| row.count)
            .sum();
        if listed.count.max(counted) < LEAST {
            continue;
        }
        let mut found = if found.is_empty() {
            conversation.sockets.clone()
        } else {
            found
        };
        let queues: Vec<usize> = receivers
            .iter()
            .copied()
            .filter(|index| observed.sockets[*index].host == conversation.host)
            .collect();
        found.extend(&queues);
        let mut matched = Match::of(observed, index, found, Confidence::Medium)
            .shown_by("sends failed with EAGAIN or ENOBUFS", &listed)
            .shown_by(
                "receivers whose queue was full for seconds",
                &ends(observed, &queues, is_full),
            )
            .claiming(|sign| {
                *sign == Sign::SendFailed(linux::EAGAIN.unsigned_abs())
                    || *sign == Sign::SendFailed(linux::ENOBUFS.unsigned_abs())
                    || is_full(sign)
            });
        if counted > 0 {
            matched = matched.with(format!("{counted} sends were counted as would-block"));
        }
        if let [receiver] = queues[..]
            && let Some(comm) = &observed.sockets[receiver].owner.comm
        {
            matched = matched.with(format!("the receiver is {}", comm.lossy()));
        }
        matched.explains = matched.explains.max(counted);
        matches.push(matched);
    }
    if !matches.is_empty() {
        return matches;
    }
    // Who waits for it was not seen: a sender that blocks fails in nothing.
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let full = conversation.sockets.iter().copied();
        let full: Vec<usize> = full.filter(|one| receivers.contains(one)).collect();
        if !full.is_empty() {
            matches.push(
                Match::of(observed, index, full.clone(), Confidence::Medium)
                    .shown_by(
                        "this process's queue was full for seconds",
                        &ends(observed, &full, is_full),
                    )
                    .claiming(is_full)
                    .timed(),
            );
        }
    }
    matches
}
