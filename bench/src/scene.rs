//! What is measured: for each traffic, the programs that it runs and what they do then.

use crate::traffic::{self, Prepare};

/// How many individual events the programs may list per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// All of them.
    Unlimited,
    /// One, so that the rest is aggregated.
    One,
}

impl Rate {
    pub const fn per_second(self) -> u64 {
        match self {
            Self::Unlimited => u64::MAX,
            Self::One => 1,
        }
    }
}

/// What the programs do with what they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Nothing: it is no event.
    Ignores,
    /// Lists an event in its ring.
    Lists,
    /// Counts an event.
    Counts,
}

/// Traffic, and the programs to look at while it runs.
pub struct Scene {
    pub prepare: Prepare,
    pub rate: Rate,
    /// How often it is played in a round.
    pub takes: usize,
    pub rows: &'static [Row],
}

/// One line of the table.
pub struct Row {
    pub what: &'static str,
    /// Purpose of the program, a name of `tracer_capture::kernel::plan::GROUPS`.
    pub purpose: &'static str,
    pub does: Does,
    /// Events of the program's kind in each of its runs; above 1 where another program adds to them.
    pub events_per_run: f64,
    /// Half of the runs are those of this row, which are taken out.
    pub beside: Option<&'static str>,
    /// At most this, nanoseconds.
    pub aim_ns: Option<f64>,
}

/// Takes of a scene that is over in a millisecond or two.
const TAKES: usize = 7;

/// An event with its full snapshot.
const EVENT_NS: Option<f64> = Some(400.0);
const SEND_NS: Option<f64> = Some(25.0);
const TRANSMIT_NS: Option<f64> = Some(5.0);

const SEND: &str = "result of a send";
const DROP: &str = "dropped packet";
const RETRANSMIT: &str = "retransmit";
const SENT: &str = "reset sent";
const RECEIVED: &str = "reset received";
const STATE: &str = "connection state";

const CONNECTING: &str = "connect: the socket's first owner";

const fn row(what: &'static str, purpose: &'static str, does: Does, aim_ns: Option<f64>) -> Row {
    let events_per_run = if matches!(does, Does::Ignores) {
        0.0
    } else {
        1.0
    };
    Row {
        what,
        purpose,
        does,
        events_per_run,
        beside: None,
        aim_ns,
    }
}

/// A reset whose other half is an event as well.
const fn reset(what: &'static str, purpose: &'static str) -> Row {
    Row {
        events_per_run: 2.0,
        ..row(what, purpose, Does::Lists, EVENT_NS)
    }
}

pub static SCENES: &[Scene] = &[
    Scene {
        prepare: traffic::udp_sends,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[
            row("successful send, UDP", SEND, Does::Ignores, SEND_NS),
            row("transmit OK", "transmit error", Does::Ignores, TRANSMIT_NS),
        ],
    },
    Scene {
        prepare: traffic::tcp_sends,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row("successful send, TCP", SEND, Does::Ignores, SEND_NS)],
    },
    Scene {
        prepare: traffic::oversized,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(
            "failed send listed: EMSGSIZE, UDP",
            SEND,
            Does::Lists,
            EVENT_NS,
        )],
    },
    Scene {
        prepare: traffic::shut_down,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(
            "failed send listed: EPIPE, TCP",
            SEND,
            Does::Lists,
            EVENT_NS,
        )],
    },
    Scene {
        prepare: traffic::full_buffer,
        rate: Rate::Unlimited,
        takes: 5,
        rows: &[row(
            "failed send counted: EAGAIN, TCP",
            SEND,
            Does::Counts,
            None,
        )],
    },
    Scene {
        prepare: traffic::unheard,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row("drop without a local socket", DROP, Does::Counts, None)],
    },
    Scene {
        prepare: traffic::no_room,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(
            "drop listed: no room to receive",
            DROP,
            Does::Lists,
            EVENT_NS,
        )],
    },
    Scene {
        prepare: traffic::unsent,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[
            row("drop listed: on its way out", DROP, Does::Lists, EVENT_NS),
            row(
                "failed send listed: EPERM, UDP",
                SEND,
                Does::Lists,
                EVENT_NS,
            ),
        ],
    },
    Scene {
        prepare: traffic::lossy,
        rate: Rate::Unlimited,
        takes: 1,
        rows: &[row("retransmit listed", RETRANSMIT, Does::Lists, EVENT_NS)],
    },
    Scene {
        prepare: traffic::resets,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[
            reset("reset sent, listed", SENT),
            reset("reset received, listed", RECEIVED),
        ],
    },
    Scene {
        prepare: traffic::whole_lives,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(
            "state change that is no event",
            STATE,
            Does::Ignores,
            None,
        )],
    },
    Scene {
        prepare: traffic::connecting,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(CONNECTING, STATE, Does::Ignores, None)],
    },
    Scene {
        prepare: traffic::given_up,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[row(
            "connection given up, listed",
            STATE,
            Does::Lists,
            EVENT_NS,
        )],
    },
    Scene {
        prepare: traffic::refused,
        rate: Rate::Unlimited,
        takes: TAKES,
        rows: &[
            reset("refusal sent: RST of a closed port", SENT),
            Row {
                events_per_run: 0.5,
                beside: Some(CONNECTING),
                ..row("connection refused, listed", STATE, Does::Lists, EVENT_NS)
            },
        ],
    },
    Scene {
        prepare: traffic::oversized,
        rate: Rate::One,
        takes: TAKES,
        rows: &[row(
            "failed send over the rate: EMSGSIZE",
            SEND,
            Does::Counts,
            None,
        )],
    },
    Scene {
        prepare: traffic::no_room,
        rate: Rate::One,
        takes: TAKES,
        rows: &[row("drop over the rate", DROP, Does::Counts, None)],
    },
    Scene {
        prepare: traffic::lossy,
        rate: Rate::One,
        takes: 1,
        rows: &[row(
            "retransmit over the rate",
            RETRANSMIT,
            Does::Counts,
            None,
        )],
    },
];
