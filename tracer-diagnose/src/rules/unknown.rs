//! What no rule explains is said, with its evidence, and without a guess.

use std::collections::BTreeMap;

use super::tun_reader_slow::{is_refusal, is_tun};
use crate::account::{Entry, Fate};
use crate::explain;
use crate::rule::{Confidence, Match, Rule, Symptom};
use crate::sign::Sign;
use crate::{Observed, Sum};
use tracer_model::errno;
use tracer_model::event::EventKind;

pub static UNKNOWN: Rule = Rule {
    cause: "unknown",
    symptom: Symptom::Stall,
    layer: None,
    title: "sends failed, waited or had to be repeated, and no rule explains why",
    reason: "There is trouble, and its evidence fits no known cause well enough. A wrong cause would cost more time \
             than none.",
    rests_on: "What is left when all rules have judged.",
    needs: &[
        EventKind::Retransmit,
        EventKind::SendError,
        EventKind::Connection,
    ],
    needs_samples: false,
    refuted_by: "A rule that explains it.",
    next_step: "Look at the events (sendtrace replay, with --since and --until around the first one), and record \
                longer, with samples, and on the other end as well.",
    do_not: "Do not change several things at once: what helped would stay unknown.",
    supersedes: &[],
    judge: |_| Vec::new(),
};

/// Cases of what nothing explains, one for each conversation; `first` is the index of the first of them. `refuted` says
/// of sockets which verdict was taken away, and why.
pub fn rest(
    observed: &Observed,
    entries: &mut [Entry],
    refuted: &[(usize, String)],
    first: usize,
) -> Vec<Match> {
    let mut conversation_of = BTreeMap::new();
    for (index, conversation) in observed.conversations.iter().enumerate() {
        conversation_of.extend(conversation.sockets.iter().map(|socket| (*socket, index)));
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let (Fate::Unknown, Some(conversation)) =
            (&entry.fate, conversation_of.get(&entry.socket))
        {
            groups.entry(*conversation).or_default().push(index);
        }
    }
    let mut matches = Vec::new();
    for (conversation, group) in groups {
        matches.push(case(observed, conversation, &group, entries, refuted));
        for index in group {
            entries[index].fate = Fate::Explained(vec![first + matches.len() - 1]);
        }
    }
    for ((host, interface, name), sum) in &observed.stray_refusals {
        let by_reader = is_tun(&observed.hosts[*host], interface) && is_refusal(name);
        if name != "NETDEV_TX_BUSY" && !by_reader {
            let mut matched = Match::of_host(*host, Confidence::Low, sum.first_ns, sum.last_ns)
                .shown_by(
                    format!("packets without a socket that the device did not take ({name})"),
                    sum,
                );
            matched.symptom = Some(Symptom::Drop);
            matched.about = Some(interface.clone());
            matches.push(matched);
        }
    }
    matches
}

fn case(
    observed: &Observed,
    conversation: usize,
    group: &[usize],
    entries: &[Entry],
    refuted: &[(usize, String)],
) -> Match {
    let all = || group.iter().map(|index| &entries[*index]);
    let mut sockets: Vec<usize> = all().map(|entry| entry.socket).collect();
    sockets.dedup();
    let mut sums: BTreeMap<&Sign, Sum> = BTreeMap::new();
    for entry in all() {
        sums.entry(&entry.sign).or_default().merge(&entry.sum);
    }
    let mut matched = Match::of(observed, conversation, sockets, Confidence::Low);
    matched.explains = sums.values().map(|sum| sum.count).sum();
    let open = matched
        .sockets
        .iter()
        .any(|index| observed.sockets[*index].open);
    matched.symptom = sums
        .keys()
        .map(|sign| symptom(sign, open))
        .max_by_key(|symptom| weight(*symptom));
    for (sign, sum) in &sums {
        matched = matched.shown_by(sign.to_string(), sum);
    }
    for sign in sums.keys() {
        if let Some(words) = meaning(sign) {
            matched = matched.with(words);
        }
    }
    for (socket, why) in refuted {
        if matched.sockets.contains(socket) && !matched.against.contains(why) {
            matched.against.push(why.clone());
        }
    }
    matched.timed()
}

/// How it shows: what has ended is a disconnect, whatever the cause.
fn symptom(sign: &Sign, open: bool) -> Symptom {
    match sign {
        Sign::Ended(_) | Sign::ResetReceived if open => Symptom::Disconnect,
        Sign::SendFailed(_) | Sign::NeverOpened | Sign::Ended(_) | Sign::ResetReceived => {
            Symptom::Refused
        }
        Sign::DroppedOut(_) | Sign::DroppedIn(_) | Sign::Device(_) => Symptom::Drop,
        Sign::Resent(_)
        | Sign::Repaired
        | Sign::Unsent(_)
        | Sign::ResetSent
        | Sign::Waited(_)
        | Sign::Held(_)
        | Sign::Blocked => Symptom::Stall,
    }
}

const fn weight(symptom: Symptom) -> u8 {
    match symptom {
        Symptom::Disconnect => 3,
        Symptom::Refused => 2,
        Symptom::Drop => 1,
        _ => 0,
    }
}

/// What is known of the errno or reason.
fn meaning(sign: &Sign) -> Option<String> {
    let word = match sign {
        Sign::SendFailed(code) | Sign::Ended(code) => errno::name(*code)?.to_owned(),
        Sign::DroppedOut(reason) | Sign::DroppedIn(reason) => reason.clone(),
        Sign::Device(name) | Sign::Unsent(name) => name.clone(),
        _ => return None,
    };
    let entry = explain::of(&word).into_iter().next()?;
    Some(format!("{word}: {}", entry.means))
}
