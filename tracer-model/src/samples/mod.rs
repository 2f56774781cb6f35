//! What an operator would have looked at, beside the events: so that a trace stands alone as evidence.
//!
//! The types are what stands in a trace, and in `--format json`: docs/samples.md.

mod change;
mod interface;
mod inventory;
mod qdisc;
mod socket;
mod softnet;
mod tcp_info;
mod traffic;
mod zone;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use change::{
    Action, AddressChange, Change, ChangeKind, LinkChange, LostChanges, NeighbourChange, Route,
    RouteChange, neighbour_state,
};
pub use interface::{InterfaceSample, is_harm};
pub use inventory::{InterfaceFacts, Inventory};
pub use qdisc::QdiscSample;
pub use socket::{Found, Memory, SocketKey, SocketProto, SocketSample, Timer};
pub use softnet::{CpuSoftnet, Softnet};
pub use tcp_info::TcpInfo;
pub use traffic::{PeerTraffic, PortConnections, SocketWalk};
pub use zone::Zone;

/// Numbers by the kernel's own names.
pub type Counts = BTreeMap<String, u64>;

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
    /// Those that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<SocketSample>,
    /// What each process has sent to each host over TCP, in every network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Vec<PeerTraffic>>,
    /// The walks that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk: Option<SocketWalk>,
    /// How many of a part are not listed here although something may have happened there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: Counts,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}
