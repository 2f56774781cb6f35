//! The signals and their names in the output contract.

use std::fmt;
use std::str::FromStr;

use tracer_common::signal;

/// What kind of failure an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
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
}

impl Signal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Retransmit,
        Self::SendError,
        Self::Drop,
        Self::Device,
        Self::Reset,
        Self::Connection,
        Self::Send,
        Self::Lost,
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
        }
    }

    /// The number on the wire ([`tracer_common::signal`]); `None` for [`Signal::Lost`], which no hook produces.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Retransmit => Some(signal::RETRANSMIT),
            Self::SendError => Some(signal::SEND_ERROR),
            Self::Drop => Some(signal::DROP),
            Self::Device => Some(signal::DEVICE),
            Self::Reset => Some(signal::RESET),
            Self::Connection => Some(signal::CONNECTION),
            Self::Send => Some(signal::SEND),
            Self::Lost => None,
        }
    }

    /// The signal of a wire number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            signal::RETRANSMIT => Some(Self::Retransmit),
            signal::SEND_ERROR => Some(Self::SendError),
            signal::DROP => Some(Self::Drop),
            signal::DEVICE => Some(Self::Device),
            signal::RESET => Some(Self::Reset),
            signal::CONNECTION => Some(Self::Connection),
            signal::SEND => Some(Self::Send),
            _ => None,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(String);

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Signal::ALL.map(Signal::name).join(", ");
        write!(f, "{:?} is not a signal; the signals are {names}", self.0)
    }
}

impl std::error::Error for UnknownSignal {}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|signal| signal.name().eq_ignore_ascii_case(word.trim()))
            .ok_or_else(|| UnknownSignal(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_signal() {
        for signal in Signal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
            if let Some(number) = signal.number() {
                assert_eq!(Signal::from_number(number), Some(signal));
            }
        }
        assert_eq!(Signal::from_number(signal::COUNT as u32), None);
    }

    #[test]
    fn an_unknown_signal_is_told_the_valid_names() {
        let error = "retransmits".parse::<Signal>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"retransmits\" is not a signal; the signals are retransmit, send_error, drop, device, \
             reset, connection, send, lost"
        );
    }
}
