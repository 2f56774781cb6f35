//! TCP as a whole has used up its memory.

use super::common::{errors, of_host};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "tcp_memory",
    symptom: Symptom::Exhaustion,
    layer: Some(Layer::Kernel),
    title: "TCP has used up the memory that this host gives to it",
    reason: "The pages of all TCP sockets together reached the limits of net.ipv4.tcp_mem: from the middle one on the \
             kernel cuts buffers, above the highest it refuses memory and closes orphans. Every connection of the host \
             suffers, whoever used the memory.",
    rests_on: "__sk_mem_raise_allocated() and tcp_out_of_memory(); TCP.mem of /proc/net/sockstat against \
               net.ipv4.tcp_mem (pages); TcpExt.TCPMemoryPressures, TCPAbortOnMemory, PruneCalled.",
    needs: &[EventKind::SendError],
    needs_samples: true,
    refuted_by: "TCP.mem far below the limits while sends failed.",
    next_step: "ss -tm, sorted by what they hold: who has large Recv-Q or Send-Q that do not drain? Fix that reader. Only \
                then raise tcp_mem.",
    do_not: "Do not raise tcp_wmem and tcp_rmem: larger buffers use the same memory up sooner.",
    supersedes: &["send_buffer_small"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (host, facts) in observed.hosts.iter().enumerate() {
        let pressures = facts.grew("TcpExt.TCPMemoryPressures").unwrap_or(0);
        let aborts = facts.grew("TcpExt.TCPAbortOnMemory").unwrap_or(0);
        let used = facts.gauge_max("TCP.mem");
        let mut limits = facts
            .sysctl_words("net.ipv4.tcp_mem")
            .map(str::parse::<u64>);
        let middle = limits.nth(1).and_then(Result::ok);
        let full = used
            .zip(middle)
            .is_some_and(|(used, middle)| used >= middle);
        if !full && pressures == 0 && aborts == 0 {
            continue;
        }
        let (conversations, sockets) = of_host(observed, host, |socket| {
            socket.failed(linux::ENOMEM)
                + socket.failed(linux::ENOBUFS)
                + socket.failed(linux::EAGAIN)
                > 0
                && socket.proto == "tcp"
        });
        let (first, last) = facts
            .grew_when("TcpExt.TCPMemoryPressures")
            .or(observed.span)
            .unwrap_or((0, 0));
        let confidence = if full && pressures > 0 || aborts > 0 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mut matched = Match::of_host(host, confidence, first, last)
            .shown_by(
                "sends failed for want of memory or room",
                &errors(
                    observed,
                    &sockets,
                    &[linux::ENOMEM, linux::ENOBUFS, linux::EAGAIN],
                ),
            )
            .with(format!(
                "TCP came under memory pressure {pressures} times (TCPMemoryPressures)"
            ));
        if let Some((used, middle)) = used.zip(middle) {
            matched = matched.with(format!(
                "TCP held up to {used} pages; pressure begins at {middle}"
            ));
        }
        if aborts > 0 {
            matched = matched.with(format!(
                "{aborts} connections were closed for want of memory"
            ));
        }
        matched.explains = sockets
            .iter()
            .map(|socket| observed.sockets[*socket].trouble())
            .sum::<u64>()
            .max(pressures)
            .max(1);
        matched.conversations = conversations;
        matched.sockets = sockets;
        matches.push(matched);
    }
    matches
}
