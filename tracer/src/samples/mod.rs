//! What an operator would have looked at, beside the events: so that a trace stands alone as evidence.
//!
//! [`Sampler`] takes the counters of the network stack at an interval and gives what changed in them, and the
//! state of single sockets when asked. All of it is about the network namespace of the thread that opened it, except
//! for [`Softnet`]. Everything is opened while there are privileges, and none are needed later.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use std::path::Path;
//! use tracer::samples::Sampler;
//!
//! let mut sampler = Sampler::open(Path::new("/"));
//! tracer::sys::drop_privileges(&[])?;
//! assert!(sampler.sample(tracer::sys::boot_clock_ns()).is_none(), "the first only takes the base");
//! // …an interval later, with the flows that had trouble:
//! let troubled = [];
//! if let Some(mut sample) = sampler.sample(tracer::sys::boot_clock_ns()) {
//!     sample.sockets = sampler.sample_sockets(&troubled);
//!     let note = serde_json::to_string(&sample)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Changes`] hears of changes to links, addresses, routes and neighbours when they happen; wait for its
//! descriptor, and call [`Changes::drain`]. [`Once`] is the host as it was at the start.
//!
//! The types are what stands in a trace, and in `--format json`: docs/samples.md.

mod address;
mod change;
mod changes;
mod counters;
mod drivers;
mod ethtool;
mod interfaces;
mod link;
mod netlink;
mod once;
mod qdisc;
mod route;
mod sampler;
mod sockets;
mod softnet;
mod sysctl;
mod tcp_info;
mod zone;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use change::{
    Action, AddressChange, Change, LinkChange, LostChanges, NeighbourChange, Route, RouteChange,
    What,
};
pub use changes::Changes;
pub use counters::Counts;
pub use interfaces::{InterfaceSample, is_harm};
pub use once::{About, InterfaceFacts, Once};
pub use qdisc::QdiscSample;
pub use sampler::Sampler;
pub use sockets::{ASKED, Found, Memory, SocketKey, SocketProto, SocketSample, Timer};
pub use softnet::{CpuSoftnet, Softnet};
pub use tcp_info::TcpInfo;
pub use zone::Zone;

/// What happened in an interval. A part that is `None` could not be read, and [`Sample::unread`] says why; a
/// part that is empty was read, and nothing had changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// The end of the interval, CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// Its length; time in suspend counts.
    pub interval_ns: u64,
    /// Inode number of the network namespace that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    /// What grew in `/proc/net/snmp`, `netstat` and `snmp6`: `Tcp.RetransSegs`, `TcpExt.TCPTimeouts`,
    /// `Ip6OutNoRoutes`, as `nstat` would say if it kept the dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counts>,
    /// Values at the end of the interval: `Tcp.CurrEstab`, and `/proc/net/sockstat` and `sockstat6`: `TCP.inuse`,
    /// `TCP.mem` (pages).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gauges: Option<Counts>,
    /// Names of `counters` that went backwards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<InterfaceSample>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softnet: Option<Softnet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdiscs: Option<Vec<QdiscSample>>,
    /// Those that were asked for ([`Sampler::sample_sockets`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<SocketSample>,
    /// How many of a part are not listed here although something may have happened there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: Counts,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
}

/// The inode number of the calling thread's network namespace.
fn netns(root: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(root.join("proc/thread-self/ns/net"));
    metadata.ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests;
