//! The trace: what was seen, in a file that survives what makes it interesting.
//!
//! A trace is a sequence of blocks and nothing else; `docs/trace-format.md` has every byte. From the inside
//! out: [`wire`] (integers), [`column`] (the same field of many events), [`tables`] (owners, flows and texts of
//! a block), [`events`] and [`note`] (what a block holds), [`layout`] (its header), [`block`] (the whole).

#![forbid(unsafe_code)]

pub mod block;
pub mod column;
pub mod events;
#[cfg(feature = "write")]
pub mod flight;
pub mod layout;
pub mod note;
pub mod reader;
pub mod start;
pub mod tables;
pub mod wire;
#[cfg(feature = "write")]
pub mod writer;

pub use block::{Block, Builder, Seal, Sealed};
pub use layout::Header;
pub use note::Note;
pub use wire::Malformed;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
