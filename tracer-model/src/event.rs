//! An event: a fact with an owner and a flow.
//!
//! Everything after decoding speaks these types, live and replayed alike. They hold no wire numbers and
//! no text made for people: rendering belongs to [`crate::render`]. A value that could not be read is
//! `None`, never 0.

mod detail;
mod flow;
mod kind;
mod owner;
mod place;
mod tally;
mod tcp;
mod waiting;

pub use detail::{
    Cause, Connection, Detail, Device, Direction, Lost, LostAt, Outcome, PacketDrop, Reset,
    Retransmit, SendError, SendOk, Trigger, transmit_code_name,
};
pub use flow::{Endpoint, Flow, proto_from_name, proto_name};
pub use kind::{EventKind, UnknownEventKind};
pub use owner::{Attribution, Holder, Kubernetes, Owner, RawName};
pub use place::{Container, Place};
pub use tally::{Counted, CountedKind, EventTotals, Totals};
pub use tcp::{CaState, Tcp, TcpState};
pub use waiting::{Blocked, SocketTimer, WaitReason, Waiting};

/// A failure to send, or the kernel's word about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, nanoseconds of CLOCK_BOOTTIME; of the last one when several were aggregated.
    pub boot_ns: u64,
    /// How many: above 1 when events of this kind on this flow were aggregated.
    pub count: u64,
    /// Whose socket it was.
    pub owner: Owner,
    /// Between whom; `None` when there was neither a socket nor a packet to tell.
    pub flow: Option<Flow>,
    /// What happened.
    pub detail: Detail,
    /// The TCP socket at the event.
    pub tcp: Option<Tcp>,
}

impl Event {
    /// What kind of event it is.
    pub const fn kind(&self) -> EventKind {
        self.detail.kind()
    }

    /// Events that were lost before they could be attributed.
    pub fn lost(boot_ns: u64, lost: Lost) -> Self {
        Self {
            boot_ns,
            count: 1,
            owner: Owner::default(),
            flow: None,
            detail: Detail::Lost(lost),
            tcp: None,
        }
    }
}
