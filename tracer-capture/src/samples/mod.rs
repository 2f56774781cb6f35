//! What an operator would have looked at, beside the events: so that a trace stands alone as evidence.
//!
//! [`Sampler`] takes the counters of the network stack at an interval and gives what changed in them, and the
//! state of single sockets when asked. All of it is about the network namespace of the thread that opened it, except
//! for [`Softnet`]. Everything is opened while there are privileges, and none are needed later.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use std::path::Path;
//! use tracer_capture::samples::Sampler;
//!
//! let mut sampler = Sampler::open(Path::new("/"));
//! tracer_capture::sys::drop_privileges(&[])?;
//! assert!(sampler.sample(tracer_capture::sys::boot_clock_ns()).is_none(), "the first only takes the base");
//! // …an interval later, with the flows that had trouble:
//! let troubled = [];
//! if let Some(mut sample) = sampler.sample(tracer_capture::sys::boot_clock_ns()) {
//!     sample.sockets = sampler.sample_sockets(&troubled);
//!     let note = serde_json::to_string(&sample)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Changes`] hears of changes to links, addresses, routes and neighbours when they happen; wait for its
//! descriptor, and call [`Changes::drain`]. [`Inventory`] is the host as it was at the start.
//!
//! The types are what stands in a trace, and in `--format json`: docs/samples.md.

mod address;
mod changes;
mod counters;
mod drivers;
mod ethtool;
mod interfaces;
mod inventory;
mod link;
pub mod netlink;
mod qdisc;
mod route;
mod sampler;
mod sockets;
mod softnet;
mod sysctl;
mod tcp_info;

use std::path::Path;

pub use changes::Changes;
pub use inventory::{About, read as once};
pub use sampler::Sampler;
pub use sockets::ASKED;

/// The inode number of the calling thread's network namespace.
fn netns(root: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(root.join("proc/thread-self/ns/net"));
    metadata.ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests;
