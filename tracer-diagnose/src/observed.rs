//! What was observed: sockets, the conversations that they belong to, and the hosts that recorded.

use std::collections::BTreeMap;
use std::fmt;

use super::{Coverage, FlowSum, HostFacts, Role, Socket, Sum};
use tracer_model::event::{Cause, Counted, Endpoint, Owner};

/// Everything that a rule may look at.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub hosts: Vec<HostFacts>,
    /// In the order in which they were first seen.
    pub sockets: Vec<Socket>,
    /// In the order of their first sockets.
    pub conversations: Vec<Conversation>,
    /// What the recorder counted instead of listing it, with the index of its host.
    pub counted: Vec<(usize, Counted)>,
    /// What each process sent to each host over TCP, as far as it was sampled.
    pub flows: Vec<FlowSum>,
    /// Packets that were dropped and belong to no socket that is known, by reason.
    pub stray_drops: BTreeMap<String, Sum>,
    /// What a device did not take of packets that belong to no socket that is known, by host, interface and name.
    pub stray_refusals: BTreeMap<(usize, String, String), Sum>,
    /// Of the first and last thing that was seen, nanoseconds of the wall clock; `None` when nothing was.
    pub span: Option<(i64, i64)>,
    pub coverage: Coverage,
}

/// One process and one destination: `batchd` and 10.0.0.12:443. Of connections from outside: one process, its port,
/// and one remote address.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub host: usize,
    pub owner: Owner,
    pub proto: String,
    pub role: Role,
    pub peer: Peer,
    /// Indices into [`Observed::sockets`], in the order in which they were first seen.
    pub sockets: Vec<usize>,
}

/// The other end of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A destination.
    Remote(Endpoint),
    /// Who connects to a port of this host: the remote address without its port.
    Client { remote: Endpoint, local_port: u16 },
    /// The events do not say.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(remote) => f.write_str(&remote.lossy()),
            Self::Client { remote, local_port } => {
                write!(f, "{} (to port {local_port} here)", remote.lossy())
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Peer {
    /// The remote end without a port; `None` when it is no address.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Remote(Endpoint::Inet(address)) => Some(address.ip()),
            Self::Remote(Endpoint::Address(address))
            | Self::Client {
                remote: Endpoint::Address(address),
                ..
            } => Some(*address),
            _ => None,
        }
    }
}

impl Observed {
    /// The sockets of a conversation.
    pub fn sockets_of<'a>(
        &'a self,
        conversation: &'a Conversation,
    ) -> impl Iterator<Item = &'a Socket> {
        conversation
            .sockets
            .iter()
            .map(|index| &self.sockets[*index])
    }

    /// Length of what was observed, nanoseconds; 0 when nothing was.
    pub fn span_ns(&self) -> i64 {
        self.span
            .map_or(0, |(first, last)| last.saturating_sub(first))
    }

    /// Retransmits of one cause in a conversation.
    pub fn resent(&self, conversation: &Conversation, cause: Cause) -> Sum {
        Sum::of(
            self.sockets_of(conversation)
                .filter_map(|socket| socket.retransmits.get(&cause)),
        )
    }

    /// Errors with this errno in a conversation.
    pub fn errors(&self, conversation: &Conversation, errno: i32) -> Sum {
        Sum::of(
            self.sockets_of(conversation)
                .filter_map(|socket| socket.errors.get(&errno.unsigned_abs())),
        )
    }

    /// What calls for an explanation in a conversation: see [`Socket::trouble`].
    pub fn trouble(&self, conversation: &Conversation) -> u64 {
        self.sockets_of(conversation).map(Socket::trouble).sum()
    }

    /// Rows of what was counted, of the owner and remote end of a conversation.
    pub fn counted_of<'a>(
        &'a self,
        conversation: &'a Conversation,
    ) -> impl Iterator<Item = &'a Counted> {
        let rows = self.counted.iter();
        rows.filter(|(host, row)| {
            let owner = row.owner.as_ref();
            let remote = row.flow.as_ref().and_then(|flow| flow.remote.as_ref());
            *host == conversation.host
                && owner.is_some_and(|owner| same(owner, &conversation.owner))
                && match (&conversation.peer, remote) {
                    (Peer::Remote(peer), Some(remote)) => peer == remote,
                    (Peer::Client { remote: peer, .. }, Some(Endpoint::Inet(address))) => {
                        *peer == Endpoint::Address(address.ip())
                    }
                    (Peer::Unknown, None) => {
                        let proto = row.flow.as_ref().map(|flow| &*flow.proto);
                        proto == Some(conversation.proto.as_str())
                    }
                    _ => false,
                }
        })
        .map(|(_, row)| row)
    }
}

/// Are they the same process?
pub fn same(a: &Owner, b: &Owner) -> bool {
    a.pid.is_some() && a.pid == b.pid && a.started_boot_ns == b.started_boot_ns
}
