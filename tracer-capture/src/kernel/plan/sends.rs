//! Where the kernel has no tracepoint for the return of every send (before 6.3), or refuses its program: the
//! functions of the protocols, which together see every send once.

use tracer_common::event_kind;

use super::choose::choose;
use super::{Choice, Group, Kind, Need, Purpose, Variant, perf_tracepoint};
use crate::kernel::facts::{BtfFacts, Facts};

/// The program that sees the sends of all families that have no other.
pub(super) const OTHER_SEND: &str = "other_send";

/// The tracepoint that these groups stand in for.
pub(super) const TRACEPOINT: &str = "sock_send_length";

/// What can be done where neither is to be had.
pub(super) const REMEDY: &str = "a kernel or policy that allows fexit programs, or a kernel with the \
                      tracepoint sock_send_length (6.3 and later)";

const WITH_OWNER: &[Purpose] = &[
    Purpose::Event(event_kind::SEND_ERROR),
    Purpose::Event(event_kind::SEND),
    Purpose::Owner,
];
const WITHOUT_OWNER: &[Purpose] = &[
    Purpose::Event(event_kind::SEND_ERROR),
    Purpose::Event(event_kind::SEND),
];

macro_rules! group {
    ($name:literal, $function:literal/$args:literal, $program:literal, $serves:ident, $lost:literal) => {
        Group {
            name: $name,
            serves: $serves,
            kind: Kind::Fexit,
            attach: $function,
            need: Need::Required,
            variants: &[Variant {
                program: $program,
                args: $args,
                short_of_best: "",
            }],
            lost: $lost,
            remedy: REMEDY,
        }
    };
}

/// One group per function of a protocol.
pub static SENDS: &[Group] = &[
    group!(
        "send: IPv4",
        "inet_sendmsg" / 3,
        "inet_send",
        WITH_OWNER,
        "sends on IPv4 and raw IPv6 sockets, and their owners learnt when they send"
    ),
    group!(
        "send: IPv6",
        "inet6_sendmsg" / 3,
        "inet6_send",
        WITH_OWNER,
        "sends on IPv6 sockets, and their owners learnt when they send"
    ),
    group!(
        "sendfile: IP",
        "inet_sendpage" / 5,
        "inet_page",
        WITH_OWNER,
        "sends by sendfile and splice on IP sockets"
    ),
    group!(
        "send: unix stream",
        "unix_stream_sendmsg" / 3,
        "unix_send",
        WITHOUT_OWNER,
        "sends on unix stream sockets"
    ),
    group!(
        "sendfile: unix stream",
        "unix_stream_sendpage" / 5,
        "unix_page",
        WITHOUT_OWNER,
        "sends by sendfile and splice on unix stream sockets"
    ),
    group!(
        "send: unix datagram",
        "unix_dgram_sendmsg" / 3,
        "unix_dgram",
        WITHOUT_OWNER,
        "sends on unix datagram sockets"
    ),
    group!(
        "send: unix seqpacket",
        "unix_seqpacket_sendmsg" / 3,
        "unix_seq",
        WITHOUT_OWNER,
        "sends on unix seqpacket sockets"
    ),
    group!(
        "send: packet",
        "packet_sendmsg" / 3,
        "packet_send",
        WITHOUT_OWNER,
        "sends on packet sockets"
    ),
    group!(
        "send: packet (old type)",
        "packet_sendmsg_spkt" / 3,
        "packet_old",
        WITHOUT_OWNER,
        "sends on packet sockets of type SOCK_PACKET"
    ),
    group!(
        "send: netlink",
        "netlink_sendmsg" / 3,
        "netlink_send",
        WITHOUT_OWNER,
        "sends on netlink sockets"
    ),
];

/// Sends of all other families, best first: `sock_sendmsg` calls `__sock_sendmsg` where that exists.
pub static OTHER_SENDS: &[Group] = &[
    group!(
        "send: other families",
        "__sock_sendmsg" / 2,
        "other_send",
        WITHOUT_OWNER,
        "sends on sockets that are neither IP, unix, packet nor netlink (CAN, vsock, Bluetooth…)"
    ),
    group!(
        "send: other families",
        "sock_sendmsg" / 2,
        "other_send",
        WITHOUT_OWNER,
        "sends on sockets that are neither IP, unix, packet nor netlink (CAN, vsock, Bluetooth…)"
    ),
];

/// Functions that a kernel may lack without losing a send: `sendpage` went away when `sendmsg` learnt its work.
const MAY_BE_ABSENT: &[&str] = &["inet_sendpage", "unix_stream_sendpage"];

/// The ways to see the return of every send, best first. Each sees all of them, so one is taken: two would count
/// every send twice. Where a way is refused the next is tried, and the choice that was refused stays visible.
pub(super) fn choices(
    tracepoint: &'static Group,
    facts: &Facts,
    btf: &BtfFacts,
    is_wanted: impl Fn(&Group) -> bool,
) -> Vec<Choice> {
    let mut refused = Vec::new();
    if let Some([owner, event]) = perf_tracepoint::choices(facts, btf, &is_wanted) {
        if event.hook.is_some() {
            return vec![owner, event];
        }
        refused.extend(event.refused().is_some().then_some(event));
    }
    let typed = choose(tracepoint, facts, btf);
    if typed.hook.is_some() {
        refused.push(typed);
        return refused;
    }
    let functions: Vec<_> = SENDS
        .iter()
        .filter(|group| {
            btf.functions.contains_key(group.attach) || !MAY_BE_ABSENT.contains(&group.attach)
        })
        .chain(other_sends(btf))
        .filter(|group| is_wanted(group))
        .map(|group| choose(group, facts, btf))
        .collect();
    if functions.iter().all(|choice| choice.hook.is_none()) {
        // One loss for all of it.
        for choice in &mut refused {
            choice.covered = true;
        }
        refused.push(alone(typed, &functions));
        return refused;
    }
    stand_in(typed, functions, refused)
}

/// The functions see what the tracepoint would.
fn stand_in(
    mut typed: Choice,
    mut functions: Vec<Choice>,
    mut choices: Vec<Choice>,
) -> Vec<Choice> {
    typed.covered = true;
    if typed.refused().is_some() {
        choices.push(typed);
    } else if let Some(first) = functions.iter_mut().find(|choice| choice.hook.is_some()) {
        first.passed_over.splice(0..0, typed.passed_over);
    }
    choices.extend(functions);
    choices
}

/// The tracepoint's choice where no function does its work either: why not is said as well.
fn alone(mut typed: Choice, functions: &[Choice]) -> Choice {
    let refused = functions.iter().find_map(Choice::refused);
    let words = refused.and_then(|function| Some(function.refusal.as_ref()?.words()?));
    let lacking = functions.first().and_then(Choice::why_missing);
    let too = match (words, lacking) {
        (Some(words), _) => format!("the kernel refuses fexit programs: {words}"),
        // Without the tracepoint an older kernel is what is missing, and that says it all.
        (None, Some(why)) if typed.refused().is_some() => why.to_owned(),
        _ => return typed,
    };
    for candidate in &mut typed.passed_over {
        candidate.why = format!("{}, and {too}", candidate.why);
    }
    typed
}

/// The best function that is there; the last one when none is.
fn other_sends(btf: &BtfFacts) -> Option<&'static Group> {
    OTHER_SENDS
        .iter()
        .find(|group| btf.functions.contains_key(group.attach))
        .or(OTHER_SENDS.last())
}
