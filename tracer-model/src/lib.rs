//! What sendtrace speaks of: events with an owner and a flow, totals, samples of the host, filters and triggers.
//!
//! Nothing here reads, writes or asks the host: what only a host can answer comes through a trait, and time is an
//! argument.

pub mod errno;
pub mod escape;
pub mod event;
pub mod filter;
#[cfg(any(test, feature = "testing"))]
pub mod made;
pub mod samples;
pub mod tally;
pub mod trigger;
pub mod values;
pub mod when;
