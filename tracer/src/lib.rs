//! sendtrace: who cannot send, to whom, and why.
//!
//! The line that data walks: `kernel::ring` → [`decode`] → [`owner`] → [`render`]; [`commands`] compose it.
//! Imports go one way, and `cargo xtask lint` checks the borders.

pub mod cli;
pub mod commands;
pub mod decode;
pub mod exec;
pub mod export;
pub mod host;
pub mod interrupt;
pub mod kernel;
pub mod names;
pub mod output;
pub mod owner;
pub mod render;
pub mod samples;
pub mod selftest;
pub mod sys;
