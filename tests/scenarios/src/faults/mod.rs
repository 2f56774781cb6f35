//! Faults that an operator meets, each played for real and recorded into a trace, and states that only look like
//! faults. What a diagnosis must make of each stands in one place: `tests/traces/diagnose/expected.json`.
//!
//! The operator sits on host `a`: the recording sees that namespace alone. Host `b` and the router are "the network"
//! and "the peer".

mod app;
mod both;
mod disorder;
mod expected;
mod host;
mod judge;
mod memory;
mod path;
mod peer;
mod silent;
mod stage;

pub use expected::{Expected, Finding, expectations, folder};
pub use judge::{Other, Verdict, judge};
pub use stage::{Impossible, Recording, Stage};

/// One fault, or one innocent state.
pub struct Scenario {
    /// The name of its trace and of its expectation.
    pub name: &'static str,
    /// Programs that it cannot be played without.
    pub needs: &'static [&'static str],
    /// Makes the fault between [`Stage::record`] and [`Recording::end`], and panics when it could not be made.
    pub play: fn(&Stage),
}

/// All that can be played, in the order in which they are.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        path::ALL,
        disorder::ALL,
        peer::ALL,
        host::ALL,
        memory::ALL,
        app::ALL,
        both::ALL,
        silent::ALL,
    ]
    .into_iter()
    .flatten()
}
