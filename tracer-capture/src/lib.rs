//! What only the host knows: facts about its kernel, the BPF programs and their rings, whose sockets they are, and the
//! counters beside the events.
//!
//! The only crate that knows aya, and that reads `/proc` and `/sys`, through a root path that tests replace.

#![deny(unsafe_code)]

pub mod bpf_faults;
pub mod decode;
pub mod host;
pub mod kernel;
pub mod names;
pub mod owner;
pub mod samples;
#[allow(unsafe_code)]
pub mod sys;
pub mod walk;
pub mod withholding;
