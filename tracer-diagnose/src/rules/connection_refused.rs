//! Nobody listens there, or somebody answers for it with RST.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::common::{ends, errors, resent, sockets};
use crate::rule::{Confidence, Layer, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Conversation, Observed, Role, Socket};
use tracer_model::event::{Cause, EventKind, RawName, TcpState};
use tracer_model::linux;

/// Health checks: refused at a steady pace, at most once a second, and never taken.
const STEADY_NS: i64 = 900_000_000;

/// Fewer refusals of a program by one address, at any of its ports, are answers that it looked for.
const FEW: u64 = 3;

pub static RULE: Rule = Rule {
    cause: "connection_refused",
    symptom: Symptom::Refused,
    layer: Some(Layer::Peer),
    title: "the destination refuses the connection",
    reason: "The request was answered at once: a SYN with RST, a datagram with ICMP port unreachable. The packet got \
             there, and the answer came back. So the path works, and no process listens on that port of that address \
             (or a firewall there answers in its place).",
    rests_on: "tcp_rcv_synsent_state_process() ends with ECONNREFUSED on RST; RFC 9293 section 3.10.7.1: a closed \
               port answers with RST. For UDP it is an ICMP port unreachable (RFC 1122, 4.1.3.1).",
    needs: &[EventKind::Connection],
    needs_samples: false,
    refuted_by: "SYNs that were sent again before the answer (the packets get lost), or refusals by this host's own \
                 firewall.",
    next_step: "On the destination: is the service running and listening on this address and port (ss -ltn)? If it \
                is, capture the RST there: without one leaving, a firewall in between makes it.",
    do_not: "Do not raise retry counts or time-outs: every attempt is answered at once, and more attempts only add load.",
    supersedes: &[],
    judge,
};

fn judge(observed: &Observed) -> Vec<Match> {
    let by_address = by_address(observed);
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let Some(refusals) = Refusals::of(observed, conversation, &by_address)
            .filter(|all| !all.is_probe && !all.steady)
        else {
            continue;
        };
        let found = refusals.sockets;
        let again = resent(observed, &found, &[Cause::Syn]);
        let code = linux::ECONNREFUSED;
        let ends = ends(observed, &found, |sign| {
            *sign == Sign::Ended(code.unsigned_abs())
        });
        let sends = errors(observed, &found, &[code]);
        let confidence = match (ends.count + sends.count, again.count) {
            (3.., 0) => Confidence::High,
            (_, 0) => Confidence::Medium,
            _ => Confidence::Low,
        };
        matches.push(
            Match::of(observed, index, found, confidence)
                .shown_by("connections were refused (ECONNREFUSED)", &ends)
                .shown_by("sends failed with ECONNREFUSED", &sends)
                .but(
                    again.count > 0,
                    format!("{} SYNs had to be sent again first", again.count),
                )
                .but(
                    refusals.taken,
                    "other connections to it were established in this time",
                )
                .timed(),
        );
    }
    matches
}

/// Sockets of refused requests that are no trouble, and why: a steady pace to somebody who never took one is that of a
/// health check, and a few refusals are answers that their program looked for.
pub fn probes(observed: &Observed) -> BTreeMap<usize, &'static str> {
    let by_address = by_address(observed);
    let all = observed.conversations.iter();
    let all: Vec<_> = all
        .filter_map(|one| Refusals::of(observed, one, &by_address))
        .filter(|all| all.is_probe)
        .collect();
    all.iter()
        .flat_map(|all| all.sockets.iter().map(|socket| (*socket, all.probe())))
        .collect()
}

/// Cases of requests that are refused at a fixed pace, by a program that is not known to ask for the answer alone.
pub fn at_fixed_pace(observed: &Observed) -> Vec<Match> {
    let by_address = by_address(observed);
    let mut matches = Vec::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        let refusals = Refusals::of(observed, conversation, &by_address);
        let Some(refusals) = refusals.filter(|all| !all.is_probe && all.steady) else {
            continue;
        };
        let found = refusals.sockets;
        let ends = ends(observed, &found, |sign| {
            *sign == Sign::Ended(linux::ECONNREFUSED.unsigned_abs())
        });
        let steps = i64::try_from(ends.count).unwrap_or(i64::MAX).max(2) - 1;
        let pace_ns = (ends.last_ns - ends.first_ns) / steps;
        matches.push(
            Match::of(observed, index, found, Confidence::Medium)
                .shown_by("connections were refused (ECONNREFUSED)", &ends)
                .with(format!(
                    "one each {:.1} s, as steady as a timer",
                    pace_ns as f64 / 1e9
                ))
                .but(
                    true,
                    "a health check that is meant to be refused looks the same",
                )
                .timed(),
        );
    }
    matches
}

/// Programs whose work it is to ask whether others answer.
const PROBERS: [&str; 8] = [
    "haproxy",
    "envoy",
    "keepalived",
    "kubelet",
    "ldirectord",
    "traefik",
    "consul",
    "blackbox_export",
];

fn asks_for_the_answer(conversation: &Conversation) -> bool {
    let comm = conversation.owner.comm.as_ref();
    comm.is_some_and(|comm| PROBERS.contains(&&*comm.lossy()))
}

struct Refusals {
    sockets: Vec<usize>,
    /// Of its program, by its address, at any port.
    to_address: u64,
    /// Were others taken?
    taken: bool,
    /// At a pace that is always the same, and none taken.
    steady: bool,
    is_probe: bool,
}

impl Refusals {
    fn probe(&self) -> &'static str {
        match self.to_address {
            ..FEW => "single requests that were refused: their program knows",
            _ => "requests refused at a steady pace, as of a health check",
        }
    }

    fn of(
        observed: &Observed,
        conversation: &Conversation,
        by_address: &ByAddress,
    ) -> Option<Self> {
        if conversation.role == Role::Server {
            return None;
        }
        let rst_seen = observed.coverage.has(EventKind::Reset);
        let found = sockets(observed, conversation, |socket| {
            was_refused(socket, rst_seen)
        });
        let all = || found.iter().map(|socket| &observed.sockets[*socket]);
        let taken = observed.sockets_of(conversation).any(|socket| socket.open);
        let times: Vec<i64> = all()
            .filter_map(|socket| socket.ended_with())
            .map(|(at, _)| at)
            .collect();
        let to_address = by_address.get(&program_and_address(conversation));
        let to_address = to_address.copied().unwrap_or(0);
        let steady = !taken && times.len() == found.len() && is_steady(&times);
        (!found.is_empty()).then_some(Self {
            is_probe: steady && asks_for_the_answer(conversation) || to_address < FEW,
            steady,
            to_address,
            sockets: found,
            taken,
        })
    }
}

/// How often which program was refused by which address, at any port.
type ByAddress = HashMap<(usize, Option<RawName>, Option<IpAddr>), u64>;

fn by_address(observed: &Observed) -> ByAddress {
    let rst_seen = observed.coverage.has(EventKind::Reset);
    let mut all = ByAddress::new();
    for conversation in &observed.conversations {
        let refused = observed
            .sockets_of(conversation)
            .filter(|socket| was_refused(socket, rst_seen))
            .map(|socket| socket.failed(linux::ECONNREFUSED).max(1));
        *all.entry(program_and_address(conversation)).or_default() += refused.sum::<u64>();
    }
    all
}

fn program_and_address(of: &Conversation) -> (usize, Option<RawName>, Option<IpAddr>) {
    (of.host, of.owner.comm.clone(), of.peer.address())
}

/// The kernel ended the request with ECONNREFUSED for a RST, or a send on a connected datagram socket was told so.
fn was_refused(socket: &Socket, rst_seen: bool) -> bool {
    let refused = linux::ECONNREFUSED.unsigned_abs();
    let by_rst = socket
        .transitions
        .iter()
        .any(|(_, change)| change.from == Some(TcpState::SynSent) && change.errno == Some(refused));
    match socket.proto.as_str() {
        "udp" | "udplite" | "icmp" | "raw" => socket.failed(linux::ECONNREFUSED) > 0,
        proto if proto.starts_with("unix") || proto == "netlink" => false,
        // Without a RST it was an ICMP message.
        _ => by_rst && !(rst_seen && socket.resets_received.is_empty()),
    }
}

/// At least four, nearly all in steps that are alike and no shorter than a second.
fn is_steady(times: &[i64]) -> bool {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    if steps.len() < 3 {
        return false;
    }
    let middle = steps[steps.len() / 2];
    let alike = |step: i64| (step - middle).abs() * 3 <= middle;
    let odd = steps.iter().filter(|step| !alike(**step)).count();
    middle >= STEADY_NS && odd * 5 <= steps.len()
}
