//! The protocol between the self-test and its processes, requests and replies: one line of JSON each way.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One request. Sockets have names that the requester chose; none of them ever blocks.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Opens a TCP socket at this address.
    Tcp { name: String, at: SocketAddr },
    /// Opens a UDP socket at this address.
    Udp { name: String, at: SocketAddr },
    /// Opens a unix datagram socket without a name.
    Unix { name: String },
    /// Listens.
    Listen { name: String },
    /// Connects, and waits this long for an answer; without waiting, EINPROGRESS is as good as done.
    Connect {
        name: String,
        to: SocketAddr,
        wait_ms: u16,
    },
    /// Accepts the next connection of a listener, and waits for it.
    Accept { listener: String, name: String },
    /// `TCP_USER_TIMEOUT`.
    UserTimeout { name: String, ms: u32 },
    /// `SO_RCVBUF`.
    ReceiveBuffer { name: String, bytes: u32 },
    /// `SO_SNDBUF`.
    SendBuffer { name: String, bytes: u32 },
    /// Sends once, to the peer or to an address.
    Send {
        name: String,
        bytes: u32,
        to: Option<SocketAddr>,
    },
    /// Sends once, to an abstract unix address.
    SendUnix {
        name: String,
        bytes: u32,
        to: Option<String>,
    },
    /// Sends that many datagrams; answers how many failed.
    Burst {
        name: String,
        bytes: u32,
        to: SocketAddr,
        count: u32,
    },
    /// Sends until that many sends would have blocked; answers how many sends there were.
    Fill {
        name: String,
        bytes: u32,
        would_block: u32,
    },
    /// Receives all that is there; answers how many datagrams or pieces.
    Drain { name: String },
    /// Waits until the socket has an error to report.
    AwaitError { name: String },
    /// Waits until the socket has something to read.
    AwaitInput { name: String },
    /// Closes both directions, keeps the socket.
    Shutdown { name: String },
    /// Closes with a RST.
    Abort { name: String },
    /// Segments retransmitted in this network namespace, as the kernel counts (`TcpRetransSegs`).
    RetransmittedSegments,
}

/// The answer.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Done,
    Number(u64),
    /// The errno of the system call that failed.
    Errno(i32),
    /// It did not happen in time.
    Timeout,
    /// The request makes no sense here.
    Refused,
}
