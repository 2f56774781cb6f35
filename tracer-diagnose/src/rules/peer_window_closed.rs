//! The peer does not read.

use super::common::{seconds, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::{Observed, Socket};
use tracer_model::event::{EventKind, WaitReason};

/// A reader that only takes its time opens the window again and again; microseconds.
const CLOSED_US: i64 = 2_500_000;

pub static RULE: Rule = Rule {
    cause: "peer_window_closed",
    symptom: Symptom::Stall,
    layer: Some(Layer::Peer),
    title: "the peer does not read: its receive window is closed",
    reason: "The peer acknowledges everything and says that it has no room: its window is 0, and stays so. The network \
             works in both directions; the process at the other end does not call recv().",
    rests_on: "snd_wnd of 0 and the persist timer (tcp_probe_timer(), TcpExt.TCPWinProbe; RFC 9293 3.8.6.1); \
               rwnd_limited of tcp_info counts the time.",
    needs: &[EventKind::SendError],
    needs_samples: true,
    refuted_by: "A window that opens and lets data pass in between (a slow reader), or probes that are not answered (a \
                 dead path).",
    next_step: "On the peer: what does the process do (its stack, its locks, its disk)? ss -tm there shows a full Recv-Q \
                for this connection.",
    do_not: "Do not raise send buffers here or retry on more connections: whatever is sent waits in front of the same \
             reader.",
    supersedes: &["send_buffer_small", "slow_reader", "blocked_writer"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let closed = sockets(observed, conversation, |socket| closed(socket).is_some());
        if closed.is_empty() {
            continue;
        }
        let longest = closed
            .iter()
            .filter_map(|socket| self::closed(&observed.sockets[*socket]))
            .max_by_key(|(first, last)| last.saturating_sub(*first));
        let Some((first, last)) = longest else {
            continue;
        };
        let waits = closed
            .iter()
            .filter_map(|socket| {
                let socket = &observed.sockets[*socket];
                let sampled = socket
                    .samples
                    .iter()
                    .filter_map(|(_, sample)| sample.send_queue_bytes);
                sampled.chain(socket.tcp.send_queue_bytes_max).max()
            })
            .max();
        let probes = observed.hosts[conversation.host].grew("TcpExt.TCPWinProbe");
        let us = u64::try_from(last.saturating_sub(first) / 1000).unwrap_or(0);
        let mut matched = Match::of(observed, index, closed, Confidence::High).with(format!(
            "the peer's window was 0 for at least {}, and nothing passed",
            seconds(us)
        ));
        if let Some(bytes) = waits {
            matched = matched.with(format!("up to {bytes} bytes waited in the send queue"));
        }
        if let Some(probes @ 1..) = probes {
            matched = matched.with(format!(
                "this host sent {probes} window probes (TCPWinProbe)"
            ));
        }
        (matched.first_ns, matched.last_ns) = (first, last);
        matches.push(matched);
    }
    matches
}

/// From when to when the window was seen closed, with nothing acknowledged in between.
fn closed(socket: &Socket) -> Option<(i64, i64)> {
    let waits = socket
        .waits
        .iter()
        .filter(|wait| wait.latest.why == WaitReason::PeerWindow);
    let waits = waits.map(|wait| (wait.from_ns, wait.to_ns));
    let seen = by_samples(socket)
        .into_iter()
        .chain(by_events(socket))
        .chain(waits);
    seen.filter(|(first, last)| last.saturating_sub(*first) / 1000 >= CLOSED_US)
        .max_by_key(|(first, last)| last.saturating_sub(*first))
}

fn by_samples(socket: &Socket) -> Option<(i64, i64)> {
    let mut longest: Option<(i64, i64)> = None;
    let mut now: Option<(i64, u64)> = None;
    for (at, sample) in &socket.samples {
        let Some(tcp) = &sample.tcp else { continue };
        let shut = tcp.snd_wnd_bytes == Some(0)
            && sample.send_queue_bytes.unwrap_or(0) > 0
            && sample.state.as_deref() == Some("ESTABLISHED");
        let acked = tcp.bytes_acked.unwrap_or(0);
        match now {
            Some((since, known)) if shut && known == acked => {
                if longest.is_none_or(|(first, last)| last - first < at - since) {
                    longest = Some((since, *at));
                }
            }
            _ => now = shut.then_some((*at, acked)),
        }
    }
    longest
}

/// The age of the last send at a send that found the window closed.
fn by_events(socket: &Socket) -> Option<(i64, i64)> {
    let closed = socket.events.iter().filter_map(|(at, event)| {
        let tcp = event.tcp.as_ref()?;
        let waits = tcp.send_queue_bytes? > 0 && tcp.unacked_segments == Some(0);
        let ago = i64::try_from(tcp.last_send_us_ago?)
            .ok()?
            .checked_mul(1000)?;
        (tcp.peer_window_bytes == Some(0) && waits && socket.open).then_some((at - ago, *at))
    });
    closed.max_by_key(|(first, last)| last.saturating_sub(*first))
}
