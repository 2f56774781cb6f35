//! From cases to findings: what is explained twice is said once, and the most of the trouble comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Confidence, Match, Rule};
use super::rules::{ALL, UNKNOWN};
use super::{Finding, Observed, Peer, Subject};
use tracer_model::event::{Endpoint, Flow};

/// From this many programs on, the same finding is reported once for all of them.
const CROWD: usize = 4;

/// Judges with every rule; the finding that explains most of the trouble comes first.
pub fn findings(observed: &Observed) -> Vec<Finding> {
    let mut matches: Vec<(&'static Rule, Match)> = Vec::new();
    for rule in ALL {
        matches.extend(
            (rule.judge)(observed)
                .into_iter()
                .map(|matched| (*rule, matched)),
        );
    }
    step_back(observed, &mut matches);
    let explained: BTreeSet<usize> = matches
        .iter()
        .flat_map(|(_, matched)| matched.sockets.iter().copied())
        .collect();
    let rest = super::rules::unknown::rest(observed, &explained);
    matches.extend(rest.into_iter().map(|matched| (&UNKNOWN, matched)));
    let mut findings = merge(observed, matches);
    let all: u64 = observed.sockets.iter().map(super::Socket::trouble).sum();
    for finding in &mut findings {
        finding.share = finding.explains as f64 / all.max(finding.explains).max(1) as f64;
    }
    findings.sort_by(|a, b| {
        (b.explains, b.confidence)
            .cmp(&(a.explains, a.confidence))
            .then_with(|| a.first_ns.cmp(&b.first_ns))
            .then_with(|| a.id.cmp(&b.id))
    });
    findings
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
    matches.retain_mut(|(rule, matched)| {
        let Some(taken) = taken.get(rule.cause) else {
            return true;
        };
        if matched.sockets.is_empty() {
            return true;
        }
        let before = matched.sockets.len();
        matched.sockets.retain(|socket| !taken.contains(socket));
        if matched.sockets.len() < before {
            let left = matched
                .sockets
                .iter()
                .map(|index| &observed.sockets[*index]);
            matched.explains = left.map(super::Socket::trouble).sum();
            matched.conversations.retain(|conversation| {
                let sockets = &observed.conversations[*conversation].sockets;
                sockets
                    .iter()
                    .any(|socket| matched.sockets.contains(socket))
            });
        }
        !matched.sockets.is_empty()
    });
}

/// Cases of one cause, program and destination are one finding.
fn merge(observed: &Observed, matches: Vec<(&'static Rule, Match)>) -> Vec<Finding> {
    let mut by_id: BTreeMap<String, (&'static Rule, Match)> = BTreeMap::new();
    for (rule, matched) in crowds(observed, matches) {
        let id = id(observed, rule, &matched);
        match by_id.get_mut(&id) {
            None => _ = by_id.insert(id, (rule, matched)),
            Some((_, known)) => known.join(matched),
        }
    }
    let finding = |(id, (rule, matched)): (String, (&'static Rule, Match))| {
        let not_observed = observed.coverage.missing(rule.needs, rule.needs_samples);
        let confidence = if not_observed.is_empty() {
            matched.confidence
        } else {
            matched.confidence.less()
        };
        Finding {
            id,
            rule,
            symptom: matched.symptom.unwrap_or(rule.symptom),
            confidence,
            subject: subject(observed, &matched),
            explains: matched.explains,
            share: 0.0,
            first_ns: matched.first_ns,
            last_ns: matched.last_ns,
            evidence: matched.evidence,
            against: matched.against,
            not_observed,
        }
    };
    by_id.into_iter().map(finding).collect()
}

/// What hits many programs at one destination is one finding, not one for each.
fn crowds(
    observed: &Observed,
    matches: Vec<(&'static Rule, Match)>,
) -> Vec<(&'static Rule, Match)> {
    let key = |rule: &Rule, matched: &Match| match matched.conversations.as_slice() {
        [one] => Some((
            rule.cause,
            matched.host,
            observed.conversations[*one].peer.clone(),
        )),
        _ => None,
    };
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for (rule, matched) in &matches {
        if let Some(key) = key(rule, matched) {
            *sizes.entry(key).or_default() += 1;
        }
    }
    let mut joined: BTreeMap<_, (&'static Rule, Match)> = BTreeMap::new();
    let mut rest = Vec::new();
    for (rule, matched) in matches {
        match key(rule, &matched).filter(|key| sizes.get(key).is_some_and(|size| *size >= CROWD)) {
            None => rest.push((rule, matched)),
            Some(key) => match joined.get_mut(&key) {
                Some((_, known)) => known.join(matched),
                None => _ = joined.insert(key, (rule, matched)),
            },
        }
    }
    rest.extend(joined.into_values());
    rest
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
        .map(|one| (one.owner.pid, one.owner.started_boot_ns))
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
    Subject {
        host: matched.host,
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
