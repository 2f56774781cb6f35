//! What sendtrace speaks of: events with an owner and a flow, totals, samples of the host, filters and triggers.
//!
//! Nothing here reads, writes or asks the host: what only a host can answer comes through a trait, and time is an
//! argument.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

pub mod errno;
pub mod escape;
pub mod event;
pub mod filter;
pub mod linux;
pub mod samples;
pub mod tally;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trigger;
pub mod values;
pub mod when;
