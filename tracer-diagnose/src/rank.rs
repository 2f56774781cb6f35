//! From cases to findings: what is explained twice is said once, and the most harm comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{self, Entry, Fate, LeftOut};
use super::rule::{Confidence, Layer, Match, Rule};
use super::rules::{ALL, UNKNOWN};
use super::{Finding, Observed, Peer, Subject, exclusions};
use tracer_model::event::{Endpoint, Flow};

/// From this many addresses or programs on, the same cause is one finding for all of them.
const CROWD: usize = 4;

/// What a recording comes to.
pub struct Judgement {
    /// The one with most harm first.
    pub findings: Vec<Finding>,
    /// What is no trouble, on purpose.
    pub left_out: Vec<LeftOut>,
    /// Every sign of trouble, with what became of it.
    pub entries: Vec<Entry>,
}

/// Judges with every rule, and accounts for every sign of trouble.
pub fn judge(observed: &Observed) -> Judgement {
    let mut cases: Vec<(&'static Rule, Match)> = Vec::new();
    for rule in ALL {
        let matches = (rule.judge)(observed).into_iter();
        cases.extend(matches.map(|matched| (*rule, matched)));
    }
    leave(observed, &mut cases, |_, socket| {
        account::is_kernels_own(&observed.sockets[socket])
    });
    let refuted = exclusions::weigh(observed, &mut cases);
    step_back(observed, &mut cases);
    for (rule, matched) in &mut cases {
        matched.confidence = exclusions::earned(rule, matched, observed);
    }
    let mut entries = account::entries(observed, &cases);
    let unknown = super::rules::unknown::rest(observed, &mut entries, &refuted, cases.len());
    cases.extend(unknown.into_iter().map(|matched| (&UNKNOWN, matched)));
    give_harm(&mut cases, &entries);
    let mut findings = merge(observed, cases);
    let all: f64 = entries
        .iter()
        .filter(|entry| matches!(entry.fate, Fate::Explained(_)))
        .map(|entry| entry.harm)
        .sum();
    for finding in &mut findings {
        finding.share = if all > 0.0 { finding.harm / all } else { 0.0 };
    }
    findings.sort_by(|a, b| {
        // A guess never stands above what is known.
        let low = |finding: &Finding| finding.confidence == Confidence::Low;
        low(a)
            .cmp(&low(b))
            .then_with(|| b.harm.total_cmp(&a.harm))
            .then_with(|| (b.confidence, b.explains).cmp(&(a.confidence, a.explains)))
            .then_with(|| a.first_ns.cmp(&b.first_ns))
            .then_with(|| a.id.cmp(&b.id))
    });
    Judgement {
        findings,
        left_out: account::left_out(&entries),
        entries,
    }
}

/// What several cases explain is an equal part of each.
fn give_harm(cases: &mut [(&'static Rule, Match)], entries: &[Entry]) {
    for entry in entries {
        if let Fate::Explained(by) = &entry.fate {
            for case in by {
                cases[*case].1.harm += entry.harm / by.len() as f64;
            }
        }
    }
}

/// Where a rule says more about a socket than another, the other one leaves it.
fn step_back(observed: &Observed, matches: &mut Vec<(&'static Rule, Match)>) {
    let mut taken: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (rule, matched) in matches.iter() {
        if matched.confidence == Confidence::Low {
            continue;
        }
        for cause in rule.supersedes {
            let sockets = taken.entry(cause).or_default();
            sockets.extend(matched.sockets.iter().copied());
        }
    }
    leave(observed, matches, |rule, socket| {
        taken
            .get(rule.cause)
            .is_some_and(|taken| taken.contains(&socket))
    });
}

/// Takes sockets out of the cases about them; a case that is left without any goes.
fn leave(
    observed: &Observed,
    matches: &mut Vec<(&'static Rule, Match)>,
    leaves: impl Fn(&Rule, usize) -> bool,
) {
    matches.retain_mut(|(rule, matched)| {
        let before = matched.sockets.len();
        matched.sockets.retain(|socket| !leaves(rule, *socket));
        if matched.sockets.len() < before {
            let left = matched.sockets.iter();
            let left = left.map(|index| &observed.sockets[*index]);
            matched.explains = left.map(super::Socket::trouble).sum();
            matched.conversations.retain(|conversation| {
                let sockets = &observed.conversations[*conversation].sockets;
                sockets
                    .iter()
                    .any(|socket| matched.sockets.contains(socket))
            });
        }
        before == 0 || !matched.sockets.is_empty()
    });
}

/// Cases of one cause and program towards one address are one finding, whatever the ports, processes and hosts; from
/// a number of addresses or of programs on, all of them are.
fn merge(observed: &Observed, cases: Vec<(&'static Rule, Match)>) -> Vec<Finding> {
    let program = |matched: &Match| {
        let conversation = worst(observed, matched)?;
        conversation
            .owner
            .comm
            .as_ref()
            .map(|comm| comm.lossy().into_owned())
    };
    let place = |rule: &Rule, matched: &Match| {
        let worst = worst(observed, matched)?;
        let address = worst.peer.address().map(|address| address.to_string());
        let place = address.unwrap_or_else(|| worst.peer.to_string());
        // What this host or the network does to one protocol it does to others; who answers differs.
        let apart = matches!(rule.layer, Some(Layer::App | Layer::Peer));
        Some((apart.then(|| worst.proto.clone()), place))
    };
    let key = |(rule, matched): &(&'static Rule, Match)| {
        (
            rule.cause,
            matched.about.clone(),
            program(matched),
            place(rule, matched),
        )
    };
    let cases = join(cases, key, 2);
    let cases = join(
        cases,
        |(rule, matched)| (rule.cause, matched.about.clone(), program(matched)),
        CROWD,
    );
    let cases = join(
        cases,
        |(rule, matched)| (rule.cause, matched.about.clone(), place(rule, matched)),
        CROWD,
    );
    let finding = |(rule, matched): (&'static Rule, Match)| {
        let mut not_observed = observed.coverage.missing(rule.needs, rule.needs_samples);
        for one in &matched.unseen {
            if !not_observed.contains(one) {
                not_observed.push(one.clone());
            }
        }
        let confidence = if not_observed.is_empty() {
            matched.confidence
        } else {
            matched.confidence.less()
        };
        Finding {
            id: id(observed, rule, &matched),
            rule,
            symptom: matched.symptom.unwrap_or(rule.symptom),
            layer: matched.layer.or(rule.layer),
            confidence,
            subject: subject(observed, &matched),
            explains: matched.explains,
            harm: matched.harm,
            share: 0.0,
            first_ns: matched.first_ns,
            last_ns: matched.last_ns,
            evidence: matched.evidence,
            against: matched.against,
            excluded: matched.excluded,
            not_observed,
        }
    };
    let mut findings: Vec<Finding> = cases.into_iter().map(finding).collect();
    // Two that have nothing else to tell them apart.
    findings.sort_by(|a, b| a.id.cmp(&b.id));
    findings
}

/// Joins cases that are alike, where there are so many of them.
fn join<K: Ord>(
    cases: Vec<(&'static Rule, Match)>,
    key: impl Fn(&(&'static Rule, Match)) -> K,
    least: usize,
) -> Vec<(&'static Rule, Match)> {
    let mut groups: BTreeMap<K, Vec<(&'static Rule, Match)>> = BTreeMap::new();
    for case in cases {
        groups.entry(key(&case)).or_default().push(case);
    }
    let mut all = Vec::new();
    for group in groups.into_values() {
        if group.len() < least {
            all.extend(group);
            continue;
        }
        let mut group = group.into_iter();
        if let Some((rule, mut first)) = group.next() {
            group.for_each(|(_, other)| first.join(other));
            all.push((rule, first));
        }
    }
    all
}

fn id(observed: &Observed, rule: &Rule, matched: &Match) -> String {
    let worst = worst(observed, matched);
    let owner = worst.map(|conversation| &conversation.owner);
    let comm = owner.and_then(|owner| owner.comm.as_ref());
    let who = comm.map_or("-".into(), |comm| comm.lossy());
    let peer = match (&matched.about, matched.conversations.as_slice(), worst) {
        (Some(about), _, _) => about.clone(),
        (None, _, Some(conversation)) if one_peer(observed, matched) => {
            conversation.peer.to_string()
        }
        (None, _, Some(conversation)) if one_address(observed, matched) => conversation
            .peer
            .address()
            .map_or("-".to_owned(), |address| address.to_string()),
        (None, [], _) => observed
            .hosts
            .get(matched.host)
            .map_or("-".to_owned(), |host| host.name.clone()),
        _ => "several".to_owned(),
    };
    format!("{}:{who}:{peer}", rule.cause)
}

fn worst<'a>(observed: &'a Observed, matched: &Match) -> Option<&'a super::Conversation> {
    let all = matched.conversations.iter();
    let all = all.map(|index| &observed.conversations[*index]);
    all.max_by_key(|conversation| observed.trouble(conversation))
}

fn peers<'a>(observed: &'a Observed, matched: &'a Match) -> impl Iterator<Item = &'a Peer> {
    let all = matched.conversations.iter();
    all.map(|index| &observed.conversations[*index].peer)
}

fn one_peer(observed: &Observed, matched: &Match) -> bool {
    let mut all = peers(observed, matched);
    let first = all.next();
    first.is_some() && all.all(|peer| Some(peer) == first)
}

fn one_address(observed: &Observed, matched: &Match) -> bool {
    let mut all = peers(observed, matched).map(Peer::address);
    let first = all.next().flatten();
    first.is_some() && all.all(|address| address == first)
}

fn subject(observed: &Observed, matched: &Match) -> Subject {
    let conversations: Vec<_> = matched
        .conversations
        .iter()
        .map(|index| &observed.conversations[*index])
        .collect();
    let worst = worst(observed, matched);
    let processes: BTreeSet<_> = conversations
        .iter()
        .map(|one| (one.host, one.owner.pid, one.owner.started_boot_ns))
        .collect();
    let one_peer = one_peer(observed, matched);
    let address = worst
        .filter(|_| one_address(observed, matched))
        .and_then(|conversation| conversation.peer.address());
    let flow = worst.map(|conversation| {
        let only = match matched.sockets.as_slice() {
            [one] => Some(&observed.sockets[*one]),
            _ => None,
        };
        let remote = match &conversation.peer {
            _ if !one_peer => address.map(Endpoint::Address),
            Peer::Remote(remote) => Some(remote.clone()),
            Peer::Client { remote, .. } => Some(remote.clone()),
            Peer::Unknown => None,
        };
        let local = match (&conversation.peer, only) {
            (_, Some(socket)) => socket.local.clone(),
            (Peer::Client { local_port, .. }, None) => matched
                .sockets
                .first()
                .and_then(|index| observed.sockets[*index].local.as_ref())
                .and_then(|local| with_port(local, *local_port)),
            _ => None,
        };
        Flow {
            proto: tracer_model::event::proto_from_name(conversation.proto.clone()),
            local,
            remote: only.and_then(|socket| socket.remote.clone()).or(remote),
            netns: conversation
                .sockets
                .first()
                .and_then(|index| observed.sockets[*index].netns),
            socket: only.and_then(|socket| socket.cookie),
        }
    });
    let mut hosts: Vec<usize> = conversations.iter().map(|one| one.host).collect();
    hosts.push(matched.host);
    hosts.sort_unstable();
    hosts.dedup();
    Subject {
        host: worst.map_or(matched.host, |conversation| conversation.host),
        hosts,
        owner: worst.map(|conversation| conversation.owner.clone()),
        flow,
        peer: match (one_peer, address) {
            (true, _) => worst.map(|conversation| conversation.peer.clone()),
            (false, Some(address)) => Some(Peer::Remote(Endpoint::Address(address))),
            (false, None) => None,
        },
        conversations: conversations.len(),
        processes: processes.len(),
        sockets: matched.sockets.len(),
        about: matched.about.clone(),
    }
}

fn with_port(endpoint: &Endpoint, port: u16) -> Option<Endpoint> {
    match endpoint {
        Endpoint::Inet(address) => Some(Endpoint::Inet(std::net::SocketAddr::new(
            address.ip(),
            port,
        ))),
        _ => None,
    }
}
