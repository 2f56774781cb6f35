//! sendtrace: who cannot send, to whom, and why.
//!
//! The program: command line, [`commands`], [`render`] and [`export`]. What it is about is in `tracer-model`, what
//! asks the host in `tracer-capture`, traces in `tracer-format`, rules in `tracer-diagnose`; docs/architecture.md.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
#[cfg(target_os = "linux")]
pub mod confine;
#[cfg(feature = "capture")]
pub mod exec;
#[deny(clippy::disallowed_methods)]
pub mod export;
pub mod interrupt;
pub mod output;
#[deny(clippy::disallowed_methods)]
pub mod render;
#[cfg(feature = "capture")]
pub mod selftest;
pub mod sink;
