//! This host first: what must have been excluded before the network or the peer is blamed. It is asked once for each
//! verdict on them, whatever the rule.

use super::rule::{Confidence, Layer, Match, Rule};
use super::sign::{Sign, is_decision};
use super::{HostFacts, Observed, Socket};
use tracer_model::event::EventKind;
use tracer_model::samples::{Action, ChangeKind};

/// What one question came to.
enum Answer {
    /// It is not so, as this evidence shows.
    Excluded(&'static str),
    /// It is so: the verdict does not hold.
    Refutes(String),
    /// It may be so: the verdict is less sure.
    Against(String),
    /// It could not be seen, and had to be.
    NotSeen(&'static str),
    /// It could not be seen, so the verdict is not sure.
    Open(&'static str),
    /// It could not be seen, and is as likely.
    Guess(&'static str),
    /// It could not be seen.
    NotKnown,
}
use Answer::{Against, Excluded, Guess, NotKnown, NotSeen, Open, Refutes};

type Question = fn(&Observed, &Case) -> Answer;

/// All of them, in the order in which a report lists them.
const QUESTIONS: &[Question] = &[
    loopback,
    dropped_on_arrival,
    dropped_without_socket,
    accept_queue,
    conntrack,
    addresses,
    links,
    memory,
    namespaces,
];

/// The verdict that is questioned.
struct Case<'a> {
    rule: &'static Rule,
    sockets: Vec<&'a Socket>,
    host: &'a HostFacts,
    first_ns: i64,
    last_ns: i64,
}

/// Questions every verdict on the network or the peer: what is refuted is taken away, and left to who explains it or
/// to `unknown`, with the reason why.
pub fn weigh(
    observed: &Observed,
    matches: &mut Vec<(&'static Rule, Match)>,
) -> Vec<(usize, String)> {
    let mut refuted = Vec::new();
    matches.retain_mut(|(rule, matched)| {
        if !matches!(rule.layer, Some(Layer::Network | Layer::Peer)) || matched.sockets.is_empty() {
            return true;
        }
        // The peer is another process of this host.
        let host = &observed.hosts[matched.host];
        let mut sockets = matched.sockets.iter();
        if rule.layer == Some(Layer::Peer)
            && sockets.all(|socket| is_here(host, &observed.sockets[*socket]))
        {
            matched.layer = Some(Layer::App);
        }
        let case = Case {
            rule,
            sockets: matched
                .sockets
                .iter()
                .map(|index| &observed.sockets[*index])
                .collect(),
            host: &observed.hosts[matched.host],
            first_ns: matched.first_ns,
            last_ns: matched.last_ns,
        };
        for question in QUESTIONS {
            match question(observed, &case) {
                NotKnown => {}
                Excluded(what) => matched.excluded.push(what.to_owned()),
                NotSeen(what) => matched.unseen.push(what.to_owned()),
                Open(what) => {
                    matched.confidence = matched.confidence.min(Confidence::Medium);
                    matched.against.push(what.to_owned());
                }
                Guess(what) => {
                    matched.confidence = Confidence::Low;
                    matched.against.push(what.to_owned());
                }
                Against(what) => {
                    matched.confidence = matched.confidence.less();
                    matched.against.push(what);
                }
                Refutes(what) => {
                    let sockets = matched.sockets.iter();
                    let why = format!("no {}: {what}", rule.cause);
                    refuted.extend(sockets.map(|socket| (*socket, why.clone())));
                    return false;
                }
            }
        }
        true
    });
    refuted
}

/// A finding that rests on one socket or event of the network or the peer is not sure, and one event never is.
pub fn earned(rule: &Rule, matched: &Match, observed: &Observed) -> Confidence {
    if matched.sockets.is_empty() {
        return matched.confidence;
    }
    let signs = matched.sockets.iter().flat_map(|index| {
        let socket = &observed.sockets[*index];
        socket
            .signs()
            .into_iter()
            .filter(|(sign, _)| (matched.claims)(sign))
    });
    let events: u64 = signs.map(|(_, sum)| sum.count).sum();
    let elsewhere = matches!(rule.layer, Some(Layer::Network | Layer::Peer));
    let alone = elsewhere && matched.sockets.len() < 2;
    if events < 2 || alone {
        matched.confidence.min(Confidence::Medium)
    } else {
        matched.confidence
    }
}

/// Is the other end on this host?
fn is_here(host: &HostFacts, socket: &Socket) -> bool {
    let remote = socket.remote_address();
    remote.is_some_and(|remote| {
        remote.is_loopback() || host.describes(socket) && host.has_address(remote)
    })
}

fn loopback(_: &Observed, case: &Case) -> Answer {
    let is_network = case.rule.layer == Some(Layer::Network);
    let here = case.sockets.iter();
    match here.filter(|socket| is_here(case.host, socket)).count() {
        0 => Excluded("loopback"),
        _ if is_network => {
            Refutes("the other end is on this host, and no network is involved".to_owned())
        }
        _ => Excluded("the network (the other end is on this host)"),
    }
}

/// Packets of these very sockets, or packets that nobody could be found for.
fn dropped_on_arrival(observed: &Observed, case: &Case) -> Answer {
    if !observed.coverage.has(EventKind::Drop) {
        return NotSeen("drops were not recorded: this host may have dropped the answers itself");
    }
    for socket in &case.sockets {
        for (sign, sum) in socket.signs() {
            if let Sign::DroppedIn(reason) = &sign
                && sign.on_purpose(socket).is_none()
            {
                return Refutes(format!(
                    "this host dropped {} packets that had arrived for these sockets ({reason})",
                    sum.count
                ));
            }
        }
    }
    Excluded("answers that this host dropped")
}

fn dropped_without_socket(observed: &Observed, case: &Case) -> Answer {
    let within = |(first, last): (i64, i64)| first <= case.last_ns && last >= case.first_ns;
    let stray = observed
        .stray_drops
        .iter()
        .find(|(reason, sum)| is_decision(reason) && within((sum.first_ns, sum.last_ns)));
    if let Some((reason, sum)) = stray {
        return Against(format!(
            "this host dropped {} packets meanwhile that belong to no known socket ({reason})",
            sum.count
        ));
    }
    let filtered = "TcpExt.IPReversePathFilter";
    match case.host.grew_within(filtered, case.first_ns, case.last_ns) {
        Some(count @ 1..) => Against(format!(
            "the reverse path filter of this host dropped {count} packets meanwhile (IPReversePathFilter)"
        )),
        Some(_) => Excluded("packets without a socket that this host dropped"),
        None => NotKnown,
    }
}

fn accept_queue(_: &Observed, case: &Case) -> Answer {
    let local = case.sockets.iter().any(|socket| {
        socket
            .remote_address()
            .is_some_and(|remote| case.host.has_address(remote))
    });
    let name = "TcpExt.ListenOverflows";
    match case.host.grew_within(name, case.first_ns, case.last_ns) {
        Some(count @ 1..) if local => Refutes(format!(
            "the other end is on this host, and an accept queue overflowed {count} times (ListenOverflows)"
        )),
        _ if local => NotKnown,
        _ => Excluded("the accept queues of this host"),
    }
}

fn conntrack(_: &Observed, case: &Case) -> Answer {
    match case.host.conntrack_full(case.first_ns, case.last_ns) {
        Some(words) => Refutes(words),
        None if case.host.gauge_max("nf_conntrack_count").is_some() => {
            Excluded("a full table of nf_conntrack")
        }
        None => NotKnown,
    }
}

fn addresses(_: &Observed, case: &Case) -> Answer {
    for socket in &case.sockets {
        if let Some(words) = case.host.address_removed(socket) {
            return Refutes(words);
        }
    }
    known(case, "addresses that were removed")
}

fn links(_: &Observed, case: &Case) -> Answer {
    let downs = super::rules::link_downs(case.host);
    for (interface, down) in &downs {
        let meanwhile = down.first_ns <= case.last_ns
            && down
                .up_ns
                .is_none_or(|up| up.max(down.last_ns) >= case.first_ns);
        let on_way = |socket: &&Socket| case.host.is_on_way(socket, interface);
        if meanwhile && case.sockets.iter().any(on_way) {
            return Against(format!(
                "{interface}, which these packets leave by, was down meanwhile"
            ));
        }
    }
    known(case, "links that were down")
}

/// Excluded, if changes of all these sockets' network namespace were recorded.
fn known(case: &Case, what: &'static str) -> Answer {
    let described = case
        .sockets
        .iter()
        .all(|socket| case.host.describes(socket));
    match case.host.once.netns.is_some() && described {
        true => Excluded(what),
        false => NotKnown,
    }
}

fn memory(_: &Observed, case: &Case) -> Answer {
    for name in ["TcpExt.TCPMemoryPressures", "TcpExt.TCPAbortOnMemory"] {
        if case
            .host
            .grew_within(name, case.first_ns, case.last_ns)
            .is_some_and(|count| count > 0)
        {
            return Against(format!(
                "TCP of this host was short of memory meanwhile ({name})"
            ));
        }
    }
    if case.host.samples.is_empty() {
        return NotSeen(
            "no counters of the host were sampled: its tables and memory may have been full",
        );
    }
    Excluded("the memory of TCP")
}

/// Does this verdict rest on answers that did not come?
fn rests_on_silence(rule: &Rule) -> bool {
    matches!(
        rule.cause,
        "syn_blackhole" | "path_blackhole" | "idle_timeout" | "path_loss" | "destination_loss"
    )
}

/// What a container sends is forwarded by its host, which may drop it there, where no socket is.
fn namespaces(_: &Observed, case: &Case) -> Answer {
    let forwarded = |socket: &&Socket| !case.host.describes(socket);
    match case.host.one_namespace {
        true if rests_on_silence(case.rule) && case.sockets.iter().any(forwarded) => Guess(
            "this host itself forwards what that network namespace sends, and what it dropped there was not recorded",
        ),
        true => Open(
            "only one network namespace was recorded: another one of this host may have dropped what it forwards",
        ),
        false => NotKnown,
    }
}

impl HostFacts {
    /// How far a counter grew in the samples that overlap this time; `None` when nothing was sampled.
    pub fn grew_within(&self, counter: &str, first_ns: i64, last_ns: i64) -> Option<u64> {
        let samples = self.samples.iter().filter(|one| {
            let begun = one.wall_ns - i64::try_from(one.sample.interval_ns).unwrap_or(0);
            begun <= last_ns && one.wall_ns >= first_ns
        });
        let counts = samples.filter_map(|one| one.sample.counters.as_ref());
        let mut grown = counts.map(|counts| counts.get(counter).copied().unwrap_or(0));
        let first = grown.next()?;
        Some(grown.fold(first, u64::saturating_add))
    }

    /// Was the table of connections full in this time, as its own counters say?
    pub fn conntrack_full(&self, first_ns: i64, last_ns: i64) -> Option<String> {
        let dropped = self
            .grew_within("nf_conntrack.drop", first_ns, last_ns)
            .unwrap_or(0);
        let early = self
            .grew_within("nf_conntrack.early_drop", first_ns, last_ns)
            .unwrap_or(0);
        let most = self.gauge_max("nf_conntrack_count").unwrap_or(0);
        (dropped > 0).then(|| {
            format!(
                "the table of nf_conntrack had no room for {dropped} packets (drop), and threw {early} entries away early; \
                 samples found up to {most} entries in it"
            )
        })
    }

    /// Was this socket's own address taken away before its trouble, or with it?
    pub fn address_removed(&self, socket: &Socket) -> Option<String> {
        let own = socket.local_address().filter(|_| self.describes(socket))?;
        self.changes.iter().find_map(|one| match &one.change.what {
            ChangeKind::Address(change) if change.action == Action::Del => {
                let address = change.address.split('/').next()?;
                let is_own = address.parse() == Ok(own) && one.wall_ns <= socket.last_ns;
                is_own.then(|| {
                    let interface = change.interface.as_deref().unwrap_or("an interface");
                    format!("the address {own} was removed from {interface}")
                })
            }
            _ => None,
        })
    }
}
