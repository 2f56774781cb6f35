//! Diagnosis: from evidence to symptom, layer, cause, next step. Pure: no clock, no I/O.
//!
//! [`Observer`] takes what was recorded, in the order of time, and sums it up as [`Observed`]: sockets,
//! conversations, and the host beside them. [`rules`] is the table of all rules, one file each; a rule judges the
//! whole of what was observed and gives verdicts. [`judge`] makes findings of them: what a more specific rule
//! explains is not explained twice, and what no rule explains is said to be unknown. [`Report`] is what a renderer
//! is given.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

mod account;
pub mod applog;
mod coverage;
pub mod diff;
mod exclusions;
pub mod explain;
mod finding;
mod flows;
mod host;
mod observed;
mod observer;
mod rank;
mod report;
pub mod rule;
pub mod rules;
mod sign;
mod socket;
mod sum;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod way;

pub use account::{Entry, Fate, LeftOut};
pub use coverage::Coverage;
pub use finding::{Evidence, Finding, Subject};
pub use flows::{FlowSum, Held};
pub use host::{HostFacts, TimedChange, TimedSample};
pub use observed::{Conversation, Observed, Peer};
pub use observer::Observer;
pub use rank::{Judgement, judge};
pub use report::{Report, Verdict};
pub use sign::Sign;
pub use socket::{FlowSegments, Pause, Role, Socket, TcpRange, Wait};
pub use sum::Sum;
pub use tables::{
    DropRow, ErrorRow, HourCounts, Hours, Tables, Talker, TimelineEntry, TimelineEvent,
};

#[cfg(test)]
mod tests;
