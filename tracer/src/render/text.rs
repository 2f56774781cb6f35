//! One line per event, for people: at most [`COLUMNS`] columns.
//!
//! What identifies the failure (errno, cause, reason, states) always stands; where a line would be too
//! long, further values are left out first, then the middles of endpoints. JSON has everything.

use std::fmt::Write as _;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};

use super::Clock;
use tracer_model::escape::{self, shorten, width};
use tracer_model::event::{Attribution, Event, EventKind, Flow, Owner};

mod what;
#[cfg(test)]
pub(super) use what::span;

/// No line of an event is wider.
pub const COLUMNS: usize = 109;
/// Narrower, nothing can be laid out.
const LEAST_COLUMNS: usize = 60;

static WIDTH: OnceLock<usize> = OnceLock::new();

/// Texts of this process go to a terminal of this width. It is said once.
pub fn fit(columns: u16) {
    _ = WIDTH.set(usize::from(columns).clamp(LEAST_COLUMNS, COLUMNS));
}

/// How wide a text may be: as wide as the terminal that it goes to, and never wider than [`COLUMNS`].
pub fn columns() -> usize {
    WIDTH.get().copied().unwrap_or(COLUMNS)
}

/// Width that the flow is padded to, so that what follows stands in a column for IPv4.
const FLOW: usize = 33;
/// Width that a comm is padded to, and the most it may take.
const COMM: (usize, usize) = (10, 15);
/// The most that what identifies the failure may take.
const WHAT: usize = 34;

/// Names of the columns, and what the marks beside a pid mean.
pub fn header(colour: bool) -> String {
    let dim = style(colour, Style::new().dimmed());
    let marks = "PID marks: c at connect, a at accept, l at listen, s seeded, ~ last known, \
                 +N other holders, ? unknown";
    let mut columns = String::new();
    _ = write!(
        columns,
        "{:<12} {:<10} {:>7}{:<2} ",
        "TIME", "EVENT", "PID", ""
    );
    _ = write!(
        columns,
        "{:<comm$}  {:<FLOW$}  WHAT",
        "COMM",
        "LOCAL → REMOTE",
        comm = COMM.0
    );
    format!("{dim}{marks}{dim:#}\n{dim}{columns}{dim:#}\n")
}

/// The line of an event.
pub fn event(event: &Event, clock: &Clock, colour: bool) -> String {
    let event_kind = event.kind();
    let time = clock
        .time_of_day(event.boot_ns)
        .unwrap_or_else(|| "--:--:--.---".to_owned());
    let who = if event_kind == EventKind::Lost {
        String::new()
    } else {
        owner(&event.owner)
    };
    let prefix = 12 + 1 + 10 + 1 + width(&who).max(WHO) + 2;

    let what = what::what(event);
    let first = shorten(&what.first, WHAT);
    let between = match &event.flow {
        Some(flow) => ends(flow, COLUMNS.saturating_sub(prefix + 2 + width(&first))),
        None => "-".to_owned(),
    };
    let padding = FLOW.min(COLUMNS.saturating_sub(prefix + 2 + width(&first)));
    let mut rest = String::new();
    let mut used = prefix + width(&between).max(padding) + 2 + width(&first);
    let place = event.owner.place_name();
    let place = place.map(|place| format!("({})", escape::name(place.as_bytes())));
    for value in place.iter().chain(&what.more) {
        let needed = 1 + width(value);
        if used + needed <= COLUMNS {
            used += needed;
            _ = write!(rest, " {value}");
        }
    }
    let colour = style(colour, colour_of(event_kind));
    let (who, between) = (pad(&who, WHO), pad(&between, padding));
    format!(
        "{time} {colour}{:<10}{colour:#} {who}  {between}  {colour}{first}{colour:#}{rest}\n",
        event_kind.name()
    )
}

/// Width of the owner's columns when nothing is longer than usual.
pub(super) const WHO: usize = 7 + 2 + 1 + COMM.0;

/// `   4242+2 batchd`: pid, the mark of its grade, comm.
pub(super) fn owner(owner: &Owner) -> String {
    let pid = match (owner.pid, owner.grade) {
        (Some(pid), _) => pid.to_string(),
        (None, Attribution::Kernel) => "-".to_owned(),
        (None, _) => "?".to_owned(),
    };
    let comm = owner
        .comm
        .as_ref()
        .map(|comm| escape::name(comm.as_bytes()));
    let comm = match (comm, owner.grade) {
        // As ps shows threads of the kernel.
        (Some(comm), Attribution::Kernel) => format!("[{comm}]"),
        (None, Attribution::Kernel) => "[kernel]".to_owned(),
        (Some(comm), _) => comm,
        (None, _) => "-".to_owned(),
    };
    format!("{pid:>7}{:<2} {}", mark(owner), shorten(&comm, COMM.1))
}

/// How the owner is known, beside its pid; nothing when it sent itself.
fn mark(owner: &Owner) -> String {
    match owner.grade {
        Attribution::AtSend | Attribution::Kernel => String::new(),
        Attribution::AtConnect => "c".to_owned(),
        Attribution::AtAccept => "a".to_owned(),
        Attribution::AtListen => "l".to_owned(),
        Attribution::Seeded => "s".to_owned(),
        Attribution::LastKnown => "~".to_owned(),
        Attribution::Unknown if owner.pid.is_none() => String::new(),
        Attribution::Unknown => "?".to_owned(),
        Attribution::Shared => {
            // The pid that is shown is one of the holders.
            let shown = owner
                .pid
                .is_some_and(|pid| owner.holders.iter().any(|holder| holder.pid == pid));
            match owner.holders.len().saturating_sub(usize::from(shown)) {
                0 => "+".to_owned(),
                others @ 1..=9 => format!("+{others}"),
                _ => "++".to_owned(),
            }
        }
    }
}

/// `10.0.0.1:43210 → 10.0.0.12:443` in at most `room` columns; the protocol stands before all but TCP.
pub(super) fn ends(flow: &Flow, room: usize) -> String {
    let text = |end: &tracer_model::event::Endpoint| end.text(escape::name);
    let proto = if flow.proto == "tcp" {
        String::new()
    } else {
        format!("{} ", flow.proto)
    };
    let (local, remote) = match (
        flow.local.as_ref().map(text),
        flow.remote.as_ref().map(text),
    ) {
        (None, None) => return shorten(&flow.proto, room).into_owned(),
        (None, Some(remote)) => return proto_and(&proto, &format!("→ {remote}"), room),
        (Some(local), remote) => (local, remote.unwrap_or_else(|| "-".to_owned())),
    };
    let whole = format!("{proto}{local} → {remote}");
    if width(&whole) <= room {
        return whole;
    }
    // The remote end says more: the local one gives way first, down to a third.
    let room_of_ends = room.saturating_sub(width(&proto) + 3);
    let room_of_local = room_of_ends
        .saturating_sub(width(&remote))
        .max(room_of_ends / 3)
        .min(width(&local));
    let local = shorten(&local, room_of_local);
    let remote = shorten(&remote, room_of_ends - room_of_local);
    proto_and(&proto, &format!("{local} → {remote}"), room)
}

fn proto_and(proto: &str, ends: &str, room: usize) -> String {
    let ends = shorten(ends, room.saturating_sub(width(proto)));
    shorten(&format!("{proto}{ends}"), room).into_owned()
}

/// Pads with spaces by columns, where `{:<N}` would pad by characters.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

fn style(colour: bool, style: Style) -> Style {
    if colour { style } else { Style::new() }
}

fn colour_of(event_kind: EventKind) -> Style {
    let colour = match event_kind {
        EventKind::Retransmit => AnsiColor::Yellow,
        EventKind::Drop | EventKind::Device => AnsiColor::Magenta,
        EventKind::Reset => AnsiColor::Cyan,
        EventKind::SendError | EventKind::Connection => AnsiColor::Red,
        EventKind::Waiting | EventKind::Blocked => AnsiColor::Blue,
        EventKind::Send => AnsiColor::Green,
        EventKind::Lost => return AnsiColor::Red.on_default().bold(),
    };
    colour.on_default()
}
