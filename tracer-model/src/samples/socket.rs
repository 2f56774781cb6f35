//! A socket as it was at a sample, and which one it is.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::TcpInfo;
use crate::event::{Endpoint, Flow};

/// Which socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey {
    pub proto: SocketProto,
    pub local: SocketAddr,
    /// The scope of a link-local address is the interface that the socket is bound to.
    pub remote: SocketAddr,
    /// Its cookie, `bpf_get_socket_cookie`: without it, another socket with the same addresses is not told apart.
    pub cookie: Option<u64>,
    /// Inode number of its network namespace; `None`: taken to be the own one.
    pub netns: Option<u32>,
}

/// The protocols that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum SocketProto {
    Tcp,
    Udp,
}

impl SocketKey {
    /// The socket of a flow; `None` for protocols other than TCP and UDP, and without both ends.
    pub fn of(flow: &Flow) -> Option<Self> {
        let proto = match flow.proto.as_ref() {
            "tcp" => SocketProto::Tcp,
            "udp" => SocketProto::Udp,
            _ => return None,
        };
        let (Some(Endpoint::Inet(local)), Some(Endpoint::Inet(remote))) =
            (&flow.local, &flow.remote)
        else {
            return None;
        };
        Some(Self {
            proto,
            local: *local,
            remote: *remote,
            cookie: flow.socket,
            netns: flow.netns,
        })
    }
}

/// What became of a socket that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Found {
    /// It is there.
    Yes,
    /// Only the rest of a connection with these addresses is there: older kernels do not say of which.
    TimeWait,
    /// Another socket has these addresses now: this one is closed.
    Other,
    /// No socket with these addresses: closed, or bound to an interface.
    NotFound,
    /// It lives in another network namespace, which is not looked into.
    OtherNetns,
    /// The kernel did not answer, and anything that a newer tool says.
    #[default]
    Unknown,
}

impl From<String> for Found {
    fn from(name: String) -> Self {
        match name.as_str() {
            "yes" => Self::Yes,
            "time_wait" => Self::TimeWait,
            "other" => Self::Other,
            "not_found" => Self::NotFound,
            "other_netns" => Self::OtherNetns,
            _ => Self::Unknown,
        }
    }
}

/// A socket as it was at the sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketSample {
    /// `tcp`, `udp`.
    pub proto: String,
    pub local: String,
    pub remote: String,
    /// The cookie that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<u64>,
    pub found: Found,
    /// What the kernel refused with, where `found` is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// As events name it: `ESTABLISHED`. All from here on is `None` unless the socket was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Received and not read: Recv-Q of `ss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_queue_bytes: Option<u32>,
    /// Not acknowledged, or not sent yet: Send-Q of `ss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_queue_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<Timer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The congestion control: `cubic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpInfo>,
}

/// The timer that runs on a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timer {
    /// `on` (retransmit), `keepalive`, `timewait`, `persist` (probes of a closed window), as `ss -o` writes it.
    pub kind: String,
    pub expires_ms: u32,
    /// How often it has expired in vain.
    pub retrans: u8,
}

/// `SK_MEMINFO_…` of linux/sock_diag.h, what `ss -m` shows as `skmem`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub rmem_alloc_bytes: u32,
    pub rcvbuf_bytes: u32,
    pub wmem_alloc_bytes: u32,
    pub sndbuf_bytes: u32,
    pub fwd_alloc_bytes: u32,
    pub wmem_queued_bytes: u32,
    pub optmem_bytes: u32,
    pub backlog_bytes: u32,
    /// Packets that this socket dropped since it was made; `None` before 4.8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops: Option<u32>,
}
