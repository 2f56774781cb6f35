//! sendtrace: who cannot send, to whom, and why.
//!
//! The line that data walks: `kernel::ring` → [`decode`] → [`owner`] → [`render`]; [`commands`] compose it.
//! Imports go one way, and `cargo xtask lint` checks the borders.

pub mod cli;
pub mod commands;
pub mod exec;
pub mod export;
pub mod interrupt;
pub mod output;
pub mod render;
pub mod selftest;
