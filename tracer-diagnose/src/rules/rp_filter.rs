//! The reverse path filter of this host drops what comes in.

use super::common::{BEYOND, dropped_here};
use crate::Observed;
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use tracer_model::event::EventKind;

pub static RULE: Rule = Rule {
    cause: "rp_filter",
    symptom: Symptom::Drop,
    layer: Some(Layer::Kernel),
    title: "this host drops the answers itself: its reverse path filter does not expect them on that interface",
    reason: "Packets for these sockets arrived, and the kernel dropped them because its own route back to their \
             source leads through another interface. The network delivered them.",
    rests_on: "fib_validate_source() and ip_route_use_hint() free with IP_RPFILTER and count \
             TcpExt.IPReversePathFilter (net.ipv4.conf.*.rp_filter, RFC 3704).",
    needs: &[EventKind::Drop],
    needs_samples: false,
    refuted_by: "IPReversePathFilter that does not grow.",
    next_step: "ip route get ADDRESS, and the interface on which the answers arrive: are there two ways? Set \
             rp_filter of that interface to 2 (loose), or give the answers the same way as the requests (policy \
             routing).",
    do_not: "Do not switch rp_filter off for all interfaces: it protects against forged sources. Do not look at \
             the network: the answers came.",
    supersedes: BEYOND,
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let what = "by the reverse path filter (IP_RPFILTER)";
    let mut matches = dropped_here(
        observed,
        |_, reason| reason == "IP_RPFILTER",
        what,
        Confidence::High,
    );
    for matched in &mut matches {
        let host = &observed.hosts[matched.host];
        if let Some(count @ 1..) = host.grew("TcpExt.IPReversePathFilter") {
            let words = format!("TcpExt.IPReversePathFilter grew by {count}");
            matched.evidence.push(crate::Evidence::fact(words));
        }
    }
    matches
}
