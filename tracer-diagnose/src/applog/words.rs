//! The evidence in words: what failed, what came before it on the same socket, and where the retry went.

use std::fmt::Write as _;

use super::matching::{BEFORE_NS, Found};
use super::parse::Entry;
use super::socket_index::{Fact, FactKind, SocketFacts, SocketIndex};
use tracer_model::errno;
use tracer_model::event::{Cause, Direction, Endpoint};

/// What came so long before cannot have led to it: no timer is longer (TCP_RTO_MAX, 120 s), nanoseconds.
const LED_TO_NS: i64 = 130_000_000_000;
/// A line is written a moment after its error; more is said, nanoseconds.
const MOMENT_NS: i64 = 100_000_000;
/// Events that are named as evidence at most.
const EVENTS: usize = 8;

/// The events behind a fact: those of the time-outs that led to it, and itself.
pub fn evidence(socket: &SocketFacts, fact: &Fact) -> Vec<u64> {
    let before = socket.between(fact.wall_ns.saturating_sub(LED_TO_NS), fact.wall_ns);
    let mut events: Vec<u64> = before
        .rev()
        .filter(|one| *one == fact || leads(&one.what))
        .take(EVENTS)
        .map(|one| one.boot_ns)
        .collect();
    events.reverse();
    events.dedup();
    events
}

/// May it be why something failed later?
const fn leads(what: &FactKind) -> bool {
    matches!(
        what,
        FactKind::Timeout(..) | FactKind::Reset(_) | FactKind::Dropped(_) | FactKind::Device(_)
    )
}

/// The words of a line.
pub fn of(
    entry: &Entry,
    wall_ns: i64,
    found: &Found,
    before: Option<usize>,
    socket_index: &SocketIndex,
) -> String {
    let mut words = match &entry.id {
        Some((name, id)) => format!("{name}={id} "),
        None => String::new(),
    };
    let told = entry.errno.map(errno::display);
    match found {
        Found::Nothing => {
            if let Some(told) = &told {
                _ = write!(words, "says {told}: ");
            }
            _ = write!(words, "no kernel evidence within {}", span(BEFORE_NS));
        }
        Found::Ambiguous { sockets, all } => {
            if let Some(told) = &told {
                _ = write!(words, "says {told}: ");
            }
            let names: Vec<_> = sockets
                .iter()
                .map(|index| ends(&socket_index.sockets[*index]))
                .collect();
            _ = write!(
                words,
                "{all} sockets fit, which one cannot be told: {}",
                names.join(", ")
            );
            if *all > sockets.len() {
                words.push_str(", …");
            }
        }
        Found::Socket {
            index,
            events,
            exact,
        } => {
            let socket = &socket_index.sockets[*index];
            // The last of the events is the one that was matched.
            let fact = socket
                .facts
                .iter()
                .rev()
                .find(|fact| Some(&fact.boot_ns) == events.last());
            if let Some(fact) = fact {
                let said = match exact {
                    true => exactly(entry, wall_ns, socket, fact),
                    false => nearly(told.as_deref(), wall_ns, socket, fact),
                };
                words.push_str(&said);
            }
        }
    }
    if let Some(retry) = retry(entry, found, before, socket_index) {
        _ = write!(words, "; {retry}");
    }
    if let Some(peer) = entry.peer.as_ref().filter(|peer| peer.address.is_none()) {
        _ = write!(
            words,
            " (the destination {} is a name, and was not compared)",
            peer.text
        );
    }
    words
}

/// The kernel told the same error.
fn exactly(entry: &Entry, wall_ns: i64, socket: &SocketFacts, fact: &Fact) -> String {
    let name = fact
        .what
        .errno()
        .or(entry.errno)
        .map_or_else(Default::default, errno::display);
    let mut words = match &fact.what {
        FactKind::Ended(_, true) => format!("could not connect ({name})"),
        FactKind::Ended(_, false) => format!("lost its connection ({name})"),
        _ => format!("failed with {name}"),
    };
    let led = socket.between(fact.wall_ns.saturating_sub(LED_TO_NS), fact.wall_ns);
    let led = led.rev().find(|one| *one != fact && leads(&one.what));
    match led {
        Some(led) => {
            let passed = span(fact.wall_ns - led.wall_ns);
            _ = write!(
                words,
                " {passed} after {} on this socket",
                happened(&led.what)
            );
        }
        None => words.push_str(", with no trouble on this socket before"),
    }
    let late = wall_ns.saturating_sub(fact.wall_ns);
    if late >= MOMENT_NS.max(entry.time.precision_ns) {
        _ = write!(words, ", {} before this line", span(late));
    }
    words
}

/// The kernel told something else about the one socket that fits.
fn nearly(told: Option<&str>, wall_ns: i64, socket: &SocketFacts, fact: &Fact) -> String {
    let mut words = match told {
        Some(told) => format!("says {told}, which the kernel did not tell it; but "),
        None => String::new(),
    };
    let near = socket.between(wall_ns.saturating_sub(BEFORE_NS), fact.wall_ns);
    let passed = wall_ns.saturating_sub(fact.wall_ns).max(0);
    _ = write!(
        words,
        "{} on its socket, {} before this line",
        happened(&fact.what),
        span(passed)
    );
    let more = near.count().saturating_sub(1);
    if more > 0 {
        _ = write!(
            words,
            ", and {more} more events in the {} before",
            span(BEFORE_NS)
        );
    }
    words
}

/// Where a retry went, as far as the same request was seen before.
fn retry(
    entry: &Entry,
    found: &Found,
    before: Option<usize>,
    socket_index: &SocketIndex,
) -> Option<String> {
    let (number, most) = entry.retry.filter(|(number, _)| *number > 0)?;
    let name = match most {
        Some(most) => format!("retry {number}/{most}"),
        None => format!("retry {number}"),
    };
    let Found::Socket { index, .. } = found else {
        return Some(name);
    };
    let kind = match socket_index.sockets[*index].proto.as_str() {
        "tcp" | "mptcp" => "connection",
        _ => "socket",
    };
    Some(match before {
        Some(before) if before == *index => format!("{name} went out on the same {kind}"),
        Some(_) => format!("{name} went out on a new {kind}"),
        None => name,
    })
}

fn happened(what: &FactKind) -> String {
    match what {
        FactKind::Failed(errno, _) => format!("a send failed with {}", errno::display(*errno)),
        FactKind::Ended(errno, _) => {
            format!("the connection ended with {}", errno::display(*errno))
        }
        FactKind::Timeout(attempt, cause) => {
            let timer = match cause {
                Cause::Syn => "SYN time-out",
                Cause::SynAck => "SYN-ACK time-out",
                _ => "RTO",
            };
            match attempt {
                0 | 1 => format!("the first {timer}"),
                attempt => format!("the {} {timer} in a row", ordinal(*attempt)),
            }
        }
        FactKind::Resent => "a retransmit".to_owned(),
        FactKind::Reset(Direction::Received) => "a RST was received".to_owned(),
        FactKind::Reset(Direction::Sent) => "a RST was sent".to_owned(),
        FactKind::Dropped(Some(reason)) => format!("a packet was dropped here ({reason})"),
        FactKind::Dropped(None) => "a packet was dropped here".to_owned(),
        FactKind::Device(name) => format!("the device did not take a packet ({name})"),
    }
}

fn ordinal(number: u32) -> String {
    const NAMES: [&str; 10] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth",
    ];
    let index = usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_sub(1));
    match index.and_then(|index| NAMES.get(index)) {
        Some(name) => (*name).to_owned(),
        None => format!("{number}th"),
    }
}

/// `uploader/4242, 10.0.0.1:5 → 10.0.0.12:443`; not fit for a terminal.
pub fn whose(socket: &SocketFacts) -> String {
    let comm = socket.owner.comm.as_ref();
    let comm = comm.map_or_else(|| "unknown".into(), |comm| comm.lossy());
    match socket.owner.pid {
        Some(pid) => format!("{comm}/{pid}, {}", ends(socket)),
        None => format!("{comm}, {}", ends(socket)),
    }
}

/// `10.0.0.1:5 → 10.0.0.12:443`; not fit for a terminal.
fn ends(socket: &SocketFacts) -> String {
    let text = |end: &Option<Endpoint>| end.as_ref().map_or("?".to_owned(), Endpoint::lossy);
    format!("{} → {}", text(&socket.local), text(&socket.remote))
}

/// A span of time in the unit that suits.
fn span(ns: i64) -> String {
    let s = ns as f64 / 1e9;
    match s {
        s if s < 0.001 => "less than 1 ms".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if (s - s.round()).abs() < 0.05 => format!("{s:.0} s"),
        s => format!("{s:.1} s"),
    }
}
