//! What runs inside of the virtual machines of `cargo xtask vm`, and the words it shares with the host.
//!
//! `guest` is `/init` of such a machine: it mounts, loads modules, and runs the steps of a manifest. On the
//! host's own kernel it runs the same steps without the rest. `restrict` runs one command with abilities
//! taken away. [`protocol`] is all that the host side needs to know.

pub mod boot;
pub mod kernel_log;
pub mod protocol;
pub mod restrict;
pub mod steps;
mod sys;
