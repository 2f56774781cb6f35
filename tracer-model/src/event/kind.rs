//! The event kinds and their names in the output contract.

use std::fmt;
use std::str::FromStr;

use tracer_common::event_kind;

/// What kind of failure an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// TCP sent a segment again, or tried to.
    Retransmit,
    /// A send returned an error.
    SendError,
    /// A packet of a local socket was freed undelivered.
    Drop,
    /// A driver did not take a packet.
    Device,
    /// A TCP RST, sent or received.
    Reset,
    /// A connection that failed or died.
    Connection,
    /// A send that took some bytes, or all: no failure, and traced only when asked for.
    Send,
    /// Events that were lost on their way to the user; made by user space only.
    Lost,
    /// A socket that waits although nothing failed.
    Waiting,
    /// A send that returned without an error, but was blocked for long.
    Blocked,
}

impl EventKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Retransmit,
        Self::SendError,
        Self::Drop,
        Self::Device,
        Self::Reset,
        Self::Connection,
        Self::Send,
        Self::Lost,
        Self::Waiting,
        Self::Blocked,
    ];

    /// The name in the output and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "retransmit",
            Self::SendError => "send_error",
            Self::Drop => "drop",
            Self::Device => "device",
            Self::Reset => "reset",
            Self::Connection => "connection",
            Self::Send => "send",
            Self::Lost => "lost",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
        }
    }

    /// The number on the wire ([`tracer_common::event_kind`]); `None` for [`EventKind::Lost`], which no hook produces.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Retransmit => Some(event_kind::RETRANSMIT),
            Self::SendError => Some(event_kind::SEND_ERROR),
            Self::Drop => Some(event_kind::DROP),
            Self::Device => Some(event_kind::DEVICE),
            Self::Reset => Some(event_kind::RESET),
            Self::Connection => Some(event_kind::CONNECTION),
            Self::Send => Some(event_kind::SEND),
            Self::Waiting => Some(event_kind::WAITING),
            Self::Blocked => Some(event_kind::BLOCKED),
            Self::Lost => None,
        }
    }

    /// The event kind of a wire number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            event_kind::RETRANSMIT => Some(Self::Retransmit),
            event_kind::SEND_ERROR => Some(Self::SendError),
            event_kind::DROP => Some(Self::Drop),
            event_kind::DEVICE => Some(Self::Device),
            event_kind::RESET => Some(Self::Reset),
            event_kind::CONNECTION => Some(Self::Connection),
            event_kind::SEND => Some(Self::Send),
            event_kind::BLOCKED => Some(Self::Blocked),
            event_kind::WAITING => Some(Self::Waiting),
            _ => None,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no event kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEventKind(String);

impl fmt::Display for UnknownEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = EventKind::ALL.map(EventKind::name).join(", ");
        write!(
            f,
            "{:?} is not an event kind; the event kinds are {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownEventKind {}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|event_kind| event_kind.name().eq_ignore_ascii_case(word.trim()))
            .ok_or_else(|| UnknownEventKind(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_event_kind() {
        for event_kind in EventKind::ALL {
            assert_eq!(event_kind.name().parse(), Ok(event_kind));
            if let Some(number) = event_kind.number() {
                assert_eq!(EventKind::from_number(number), Some(event_kind));
            }
        }
        assert_eq!(EventKind::from_number(event_kind::COUNT as u32), None);
    }

    #[test]
    fn an_unknown_event_kind_is_told_the_valid_names() {
        let error = "retransmits".parse::<EventKind>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"retransmits\" is not an event kind; the event kinds are retransmit, send_error, drop, device, \
             reset, connection, send, lost, waiting, blocked"
        );
    }
}
