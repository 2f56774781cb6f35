//! The ways into the send of a socket: 47 that the kernel has, and what is compared on each.
//!
//! Every path runs in a process of its own (`src/bin/sender`), which says what the kernel told it: how many
//! sends, of which size, with which result, on which flow. The tracer watched them all. [`compare`] holds one
//! against the other: one event per send, no more, no less, and nothing in it that is not so.

mod compare;
mod judge;
mod losses;
mod sender;

use serde::{Deserialize, Serialize};

pub use compare::{Comparison, Fault, FaultKind, compare, is_of};
pub use judge::judge;
pub use losses::Losses;
pub use sender::Sender;

/// One way into the send of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// As the sender knows it, and as tables show it.
    pub name: &'static str,
    /// Whether a kernel may be without it (by age, by configuration or by policy).
    pub optional: bool,
}

const fn always(name: &'static str) -> Path {
    Path {
        name,
        optional: false,
    }
}

const fn optional(name: &'static str) -> Path {
    Path {
        name,
        optional: true,
    }
}

/// All of them. TCP fast open stands twice: as a send that succeeds, and as one that is refused.
pub const PATHS: [Path; 48] = [
    always("TCP write"),
    always("TCP writev"),
    always("TCP pwritev2"),
    always("TCP send"),
    always("TCP sendto"),
    always("TCP sendmsg"),
    always("TCP sendmmsg"),
    always("TCP MSG_ZEROCOPY"),
    always("TCP sendfile"),
    always("TCP splice"),
    optional("io_uring send"),
    optional("io_uring send, async"),
    optional("io_uring sendmsg"),
    optional("io_uring write"),
    optional("io_uring writev"),
    optional("io_uring splice"),
    optional("io_uring send_zc"),
    optional("io_uring sendmsg_zc"),
    always("TCP v6 send"),
    always("TCP v6 write"),
    always("TCP fast open"),
    optional("MPTCP send"),
    optional("kTLS send"),
    optional("kTLS sendfile"),
    always("UDP send"),
    always("UDP sendmsg"),
    always("UDP sendmmsg"),
    always("UDP write"),
    always("UDP sendfile"),
    always("UDP corked"),
    always("UDP v6 send"),
    always("unix stream send"),
    always("unix dgram send"),
    always("unix seqpacket send"),
    always("unix write"),
    always("unix sendfile"),
    always("raw send"),
    always("packet send"),
    always("netlink send"),
    always("failing: UDP refused"),
    always("failing: EFAULT"),
    always("failing: EAGAIN"),
    always("failing: UDP unreachable"),
    always("failing: TCP fast open"),
    optional("kernel: NBD"),
    optional("kernel: NFS 3 over TCP"),
    optional("kernel: NFS 3 over UDP"),
    optional("kernel: NFS 4"),
];

/// What a sender says after its sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendReport {
    /// What this kernel lacks, with the errno of the attempt; then there are no sends.
    pub unsupported: Option<String>,
    /// Something that the table should say beside the result.
    pub note: Option<String>,
    pub sends: Vec<Sends>,
}

/// Sends on one flow by one sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sends {
    pub by: By,
    /// As the contract's `flow.proto`.
    pub proto: String,
    pub local: End,
    pub remote: End,
    pub calls: Vec<Call>,
}

/// Whose send it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// The process, in its main thread.
    Process,
    /// The process, in some thread of it.
    AnyThread,
    /// The kernel itself, in whatever context it was running.
    Kernel,
}

/// One end of a flow. In an event it may be null instead, but never something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It has no name: null.
    Unnamed,
    /// The contract's text.
    Is(String),
}

/// One send on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Bytes that the caller wanted to send.
    pub requested: u64,
    /// Bytes taken, or the negative errno.
    pub result: i64,
}

impl SendReport {
    /// Sends of the process itself on one flow.
    pub fn of(flow: (&str, End, End), calls: Vec<Call>) -> Self {
        Self {
            sends: vec![Sends::of(flow, calls)],
            ..Self::default()
        }
    }

    /// The kernel cannot do this.
    pub fn unsupported(why: impl Into<String>) -> Self {
        Self {
            unsupported: Some(why.into()),
            ..Self::default()
        }
    }

    /// How many sends there were.
    pub fn count(&self) -> usize {
        self.sends.iter().map(|sends| sends.calls.len()).sum()
    }
}

impl Sends {
    /// Sends of the process itself.
    pub fn of((proto, local, remote): (&str, End, End), calls: Vec<Call>) -> Self {
        Self {
            by: By::Process,
            proto: proto.to_owned(),
            local,
            remote,
            calls,
        }
    }

    /// The same sends, by somebody else.
    pub fn by(self, by: By) -> Self {
        Self { by, ..self }
    }
}
