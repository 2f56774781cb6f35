//! The network delivers packets twice.

use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

const LEAST: u64 = 10;

pub static RULE: Rule = Rule {
    cause: "duplicate_delivery",
    symptom: Symptom::Waste,
    layer: Some(Layer::Network),
    title: "the network delivers packets twice",
    reason: "Peers report segments that came twice although this host had not sent them twice: something on the way \
             makes copies (a mirror port that leads back, a loop, a doubled link).",
    rests_on: "TcpExt.TCPDSACKRecv counts what peers report (RFC 2883), Tcp.RetransSegs what was sent again; for copies \
               that come in, TcpExt.TCPDSACKOldSent.",
    needs: &[EventKind::Retransmit],
    needs_samples: true,
    refuted_by: "About as many retransmits as reported duplicates: then they were sent twice by this host.",
    next_step: "Capture on this host and on the peer at the same time: where does the copy appear first? Look for \
                mirror sessions, switching loops and doubled links between the two.",
    do_not: "Do not tune TCP: it handles duplicates. Applications on UDP may not: look at those first.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let mut matches = Vec::new();
    for (host, facts) in observed.hosts.iter().enumerate() {
        let grew = |name: &str| facts.grew(name).unwrap_or(0);
        let twice = grew("TcpExt.TCPDSACKRecv").max(grew("TcpExt.TCPDSACKRecvSegs"));
        let resent = grew("Tcp.RetransSegs");
        let came = grew("TcpExt.TCPDSACKOldSent");
        let out = grew("Tcp.OutSegs");
        // Other network namespaces have counters of their own, which were not sampled; the sums of flows are of all.
        let flows = || observed.flows.iter().filter(|flow| flow.host == host);
        let by_flows: u64 = flows().filter_map(|flow| flow.duplicates).sum();
        let (twice, resent, out) = if by_flows > twice {
            (
                by_flows,
                flows().map(|flow| flow.retransmitted_segments).sum(),
                flows().map(|flow| flow.sent_segments).sum(),
            )
        } else {
            (twice, resent, out)
        };
        // A probe of the window or a keepalive is answered like a duplicate: a handful must not count.
        if twice < LEAST || resent * 3 >= twice || twice * 100 < out {
            continue;
        }
        let (first, last) = facts
            .grew_when("TcpExt.TCPDSACKRecv")
            .or(observed.span)
            .unwrap_or((0, 0));
        let confidence = if twice >= 3 * LEAST && resent * 10 < twice {
            Confidence::High
        } else {
            Confidence::Medium
        };
        let mut matched = Match::of_host(host, confidence, first, last).with(format!(
            "peers reported {twice} segments that came twice; only {resent} had been sent again"
        ));
        matched.explains = twice;
        if came >= LEAST {
            matched = matched.with(format!("{came} segments came twice to this host"));
        }
        matches.push(matched);
    }
    matches
}
