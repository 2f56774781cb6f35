//! The table of neighbours is full.

use super::common::{dropped, failing};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::is_queue;
use crate::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::linux;

pub static RULE: Rule = Rule {
    cause: "neighbour_table_full",
    symptom: Symptom::Exhaustion,
    layer: Some(Layer::Kernel),
    title: "the table of neighbours of this host (ARP, neighbour discovery) is full",
    reason: "Packets were freed or sends failed because no entry could be made for the next hop: the table is at \
             its limit, whoever uses it, in all network namespaces together.",
    rests_on: "neigh_alloc() gives up above gc_thresh3 and counts table_fulls (/proc/net/stat/arp_cache, \
             ndisc_cache); senders see ENOBUFS, packets NEIGH_CREATEFAIL.",
    needs: &[EventKind::Drop, EventKind::SendError],
    needs_samples: true,
    refuted_by: "table_fulls that does not grow.",
    next_step: "ip -s neigh show | wc -l, against net.ipv4.neigh.default.gc_thresh3 (and net.ipv6): which interface \
             has so many neighbours, and need they all be on one link?",
    do_not: "Do not raise queue lengths or buffers: no packet gets that far.",
    supersedes: &["neighbour_failed", "udp_device_queue_full", "tcp_memory"],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let full = |socket: &Socket| {
        let host = &observed.hosts[socket.host];
        let within = |table| host.grew_within(table, socket.first_ns, socket.last_ns);
        ["arp_cache.table_fulls", "ndisc_cache.table_fulls"]
            .into_iter()
            .any(|table| within(table).is_some_and(|count| count > 0))
    };
    let failed = |_: &HostFacts, socket: &Socket| {
        let created = !socket
            .dropped(|reason| reason == "NEIGH_CREATEFAIL")
            .is_empty();
        full(socket)
            && (created || socket.failed(linux::ENOBUFS) > 0 && socket.dropped(is_queue).is_empty())
    };
    let matches = failing(observed, failed, &[linux::ENOBUFS], Confidence::High).into_iter();
    matches
        .map(|matched| {
            let created = dropped(observed, &matched.sockets, |reason| {
                reason == "NEIGH_CREATEFAIL"
            });
            matched
                .shown_by("packets dropped for want of a neighbour entry", &created)
                .with("the kernel counted that the table was full (table_fulls)")
                .timed()
        })
        .collect()
}
