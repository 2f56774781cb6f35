//! Where the kernel has no tracepoint for the return of every send (before 6.3): the functions of the
//! protocols, which together see every send once.

use tracer_common::signal;

use super::choose::choose;
use super::{Choice, Group, Kind, Need, Serves, Variant};
use crate::kernel::facts::BtfFacts;

/// The tracepoint that these groups stand in for.
pub(super) const TRACEPOINT: &str = "sock_send_length";

pub(super) const REMEDY: &str = "a kernel or policy that allows fexit programs, or a kernel with the \
                      tracepoint sock_send_length (6.3 and later)";

const WITH_OWNER: &[Serves] = &[
    Serves::Signal(signal::SEND_ERROR),
    Serves::Signal(signal::SEND),
    Serves::Owner,
];
const WITHOUT_OWNER: &[Serves] = &[
    Serves::Signal(signal::SEND_ERROR),
    Serves::Signal(signal::SEND),
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

/// The choices that take the place of the tracepoint's, which has no hook; itself, when none of them can run.
pub(super) fn instead(
    tracepoint: Choice,
    btf: &BtfFacts,
    is_wanted: impl Fn(&Group) -> bool,
) -> Vec<Choice> {
    let mut choices: Vec<_> = SENDS
        .iter()
        .filter(|group| {
            btf.functions.contains_key(group.attach) || !MAY_BE_ABSENT.contains(&group.attach)
        })
        .chain(other_sends(btf))
        .filter(|group| is_wanted(group))
        .map(|group| choose(group, btf))
        .collect();
    if choices.iter().all(|choice| choice.hook.is_none()) {
        return vec![tracepoint];
    }
    if let Some(first) = choices.iter_mut().find(|choice| choice.hook.is_some()) {
        first.passed_over.splice(0..0, tracepoint.passed_over);
    }
    choices
}

/// The best function that is there; the last one when none is.
fn other_sends(btf: &BtfFacts) -> Option<&'static Group> {
    OTHER_SENDS
        .iter()
        .find(|group| btf.functions.contains_key(group.attach))
        .or(OTHER_SENDS.last())
}

/// Does this group stand in for the tracepoint?
pub(super) fn is_stand_in(group: &Group) -> bool {
    SENDS.iter().chain(OTHER_SENDS).any(|one| one == group)
}
