//! From cases to findings: what is explained twice is said once, and the most of the trouble comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Case, Confidence, Rule};
use super::rules::{ALL, UNKNOWN};
use super::{Finding, Observed, Peer, Subject};
use tracer_model::event::{Endpoint, Flow};

/// So many programs with the same finding are told together.
const CROWD: usize = 4;

/// Judges with every rule; the finding that explains most of the trouble comes first.
pub fn findings(observed: &Observed) -> Vec<Finding> {
    let mut cases: Vec<(&'static Rule, Case)> = Vec::new();
    for rule in ALL {
        cases.extend((rule.judge)(observed).into_iter().map(|case| (*rule, case)));
    }
    step_back(observed, &mut cases);
    let explained: BTreeSet<usize> = cases
        .iter()
        .flat_map(|(_, case)| case.sockets.iter().copied())
        .collect();
    let rest = super::rules::unknown::rest(observed, &explained);
    cases.extend(rest.into_iter().map(|case| (&UNKNOWN, case)));
    let mut findings = merge(observed, cases);
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
fn step_back(observed: &Observed, cases: &mut Vec<(&'static Rule, Case)>) {
    let mut taken: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (rule, case) in cases.iter() {
        if case.confidence == Confidence::Low {
            continue;
        }
        for cause in rule.over {
            let sockets = taken.entry(cause).or_default();
            sockets.extend(case.sockets.iter().copied());
        }
    }
    cases.retain_mut(|(rule, case)| {
        let Some(taken) = taken.get(rule.cause) else {
            return true;
        };
        if case.sockets.is_empty() {
            return true;
        }
        let before = case.sockets.len();
        case.sockets.retain(|socket| !taken.contains(socket));
        if case.sockets.len() < before {
            let left = case.sockets.iter().map(|index| &observed.sockets[*index]);
            case.explains = left.map(super::Socket::trouble).sum();
            case.conversations.retain(|conversation| {
                let sockets = &observed.conversations[*conversation].sockets;
                sockets.iter().any(|socket| case.sockets.contains(socket))
            });
        }
        !case.sockets.is_empty()
    });
}

/// Cases of one cause, program and destination are one finding.
fn merge(observed: &Observed, cases: Vec<(&'static Rule, Case)>) -> Vec<Finding> {
    let mut by_id: BTreeMap<String, (&'static Rule, Case)> = BTreeMap::new();
    for (rule, case) in crowds(observed, cases) {
        let id = id(observed, rule, &case);
        match by_id.get_mut(&id) {
            None => _ = by_id.insert(id, (rule, case)),
            Some((_, known)) => known.join(case),
        }
    }
    let finding = |(id, (rule, case)): (String, (&'static Rule, Case))| {
        let not_observed = observed.coverage.missing(rule.needs, rule.needs_samples);
        let confidence = if not_observed.is_empty() {
            case.confidence
        } else {
            case.confidence.less()
        };
        Finding {
            id,
            rule,
            symptom: case.symptom.unwrap_or(rule.symptom),
            confidence,
            subject: subject(observed, &case),
            explains: case.explains,
            share: 0.0,
            first_ns: case.first_ns,
            last_ns: case.last_ns,
            evidence: case.evidence,
            against: case.against,
            not_observed,
        }
    };
    by_id.into_iter().map(finding).collect()
}

/// What hits many programs at one destination is one finding, not one for each.
fn crowds(observed: &Observed, cases: Vec<(&'static Rule, Case)>) -> Vec<(&'static Rule, Case)> {
    let key = |rule: &Rule, case: &Case| match case.conversations.as_slice() {
        [one] => Some((
            rule.cause,
            case.host,
            observed.conversations[*one].peer.clone(),
        )),
        _ => None,
    };
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for (rule, case) in &cases {
        if let Some(key) = key(rule, case) {
            *sizes.entry(key).or_default() += 1;
        }
    }
    let mut joined: BTreeMap<_, (&'static Rule, Case)> = BTreeMap::new();
    let mut rest = Vec::new();
    for (rule, case) in cases {
        match key(rule, &case).filter(|key| sizes.get(key).is_some_and(|size| *size >= CROWD)) {
            None => rest.push((rule, case)),
            Some(key) => match joined.get_mut(&key) {
                Some((_, known)) => known.join(case),
                None => _ = joined.insert(key, (rule, case)),
            },
        }
    }
    rest.extend(joined.into_values());
    rest
}

fn id(observed: &Observed, rule: &Rule, case: &Case) -> String {
    let worst = worst(observed, case);
    let owner = worst.map(|conversation| &conversation.owner);
    let comm = owner.and_then(|owner| owner.comm.as_ref());
    let who = comm.map_or("-".into(), |comm| comm.lossy());
    let peer = match (&case.about, case.conversations.as_slice(), worst) {
        (Some(about), _, _) => about.clone(),
        (None, _, Some(conversation)) if one_peer(observed, case) => conversation.peer.to_string(),
        (None, _, Some(conversation)) if one_address(observed, case) => conversation
            .peer
            .address()
            .map_or("-".to_owned(), |address| address.to_string()),
        (None, [], _) => observed
            .hosts
            .get(case.host)
            .map_or("-".to_owned(), |host| host.name.clone()),
        _ => "several".to_owned(),
    };
    format!("{}:{who}:{peer}", rule.cause)
}

fn worst<'a>(observed: &'a Observed, case: &Case) -> Option<&'a super::Conversation> {
    let all = case.conversations.iter();
    let all = all.map(|index| &observed.conversations[*index]);
    all.max_by_key(|conversation| observed.trouble(conversation))
}

fn peers<'a>(observed: &'a Observed, case: &'a Case) -> impl Iterator<Item = &'a Peer> {
    let all = case.conversations.iter();
    all.map(|index| &observed.conversations[*index].peer)
}

fn one_peer(observed: &Observed, case: &Case) -> bool {
    let mut all = peers(observed, case);
    let first = all.next();
    first.is_some() && all.all(|peer| Some(peer) == first)
}

fn one_address(observed: &Observed, case: &Case) -> bool {
    let mut all = peers(observed, case).map(Peer::address);
    let first = all.next().flatten();
    first.is_some() && all.all(|address| address == first)
}

fn subject(observed: &Observed, case: &Case) -> Subject {
    let conversations: Vec<_> = case
        .conversations
        .iter()
        .map(|index| &observed.conversations[*index])
        .collect();
    let worst = worst(observed, case);
    let processes: BTreeSet<_> = conversations
        .iter()
        .map(|one| (one.owner.pid, one.owner.started_boot_ns))
        .collect();
    let one_peer = one_peer(observed, case);
    let address = worst
        .filter(|_| one_address(observed, case))
        .and_then(|conversation| conversation.peer.address());
    let flow = worst.map(|conversation| {
        let only = match case.sockets.as_slice() {
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
            (Peer::Client { local_port, .. }, None) => case
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
        host: case.host,
        owner: worst.map(|conversation| conversation.owner.clone()),
        flow,
        peer: match (one_peer, address) {
            (true, _) => worst.map(|conversation| conversation.peer.clone()),
            (false, Some(address)) => Some(Peer::Remote(Endpoint::Address(address))),
            (false, None) => None,
        },
        conversations: conversations.len(),
        processes: processes.len(),
        sockets: case.sockets.len(),
        about: case.about.clone(),
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
