//! Sockets with somebody at the other end, who never reads: what is sent fits into the receive buffer.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, accept4, bind, connect,
    getsockname, listen, socketpair,
};
use scenarios::paths::End;

use crate::sys;

pub const V4: &str = "127.0.0.1:0";
pub const V6: &str = "[::1]:0";

/// A socket that is connected, and the names of both ends.
pub struct Pair {
    pub socket: OwnedFd,
    /// Kept open: without it sends would fail.
    pub other: OwnedFd,
    pub proto: &'static str,
    pub local: End,
    pub remote: End,
}

impl Pair {
    /// As a report wants it.
    pub fn flow(&self) -> (&'static str, End, End) {
        (self.proto, self.local.clone(), self.remote.clone())
    }
}

pub fn end(address: SocketAddr) -> End {
    End::Is(address.to_string())
}

/// TCP over loopback, from this address.
pub fn tcp(address: &str) -> Result<Pair> {
    let listener = TcpListener::bind(address)?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    Ok(Pair {
        other: listener.accept()?.0.into(),
        socket: stream.into(),
        proto: "tcp",
        local: end(local),
        remote: end(remote),
    })
}

/// Connected UDP over loopback.
pub fn udp(address: &str) -> Result<Pair> {
    let [socket, other] = [UdpSocket::bind(address)?, UdpSocket::bind(address)?];
    socket.connect(other.local_addr()?)?;
    let (local, remote) = (socket.local_addr()?, other.local_addr()?);
    Ok(Pair {
        socket: socket.into(),
        other: other.into(),
        proto: "udp",
        local: end(local),
        remote: end(remote),
    })
}

/// MPTCP over loopback; the error is that of socket(2) where the kernel has none.
pub fn mptcp() -> nix::Result<Pair> {
    let open = || sys::socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP);
    let any: SockaddrStorage = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    let (listener, client) = (open()?, open()?);
    bind(listener.as_raw_fd(), &any)?;
    listen(&listener, Backlog::new(1)?)?;
    let name = |fd: &OwnedFd| getsockname::<SockaddrStorage>(fd.as_raw_fd());
    let to = name(&listener)?;
    connect(client.as_raw_fd(), &to)?;
    let other = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    Ok(Pair {
        other: scenarios::sys::adopt(other),
        proto: "mptcp",
        local: End::Is(name(&client)?.to_string()),
        remote: End::Is(to.to_string()),
        socket: client,
    })
}

/// A pair of unix sockets without names.
pub fn unix(kind: SockType) -> Result<Pair> {
    let (socket, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    Ok(Pair {
        socket,
        other,
        proto: match kind {
            SockType::Stream => "unix_stream",
            SockType::Datagram => "unix_dgram",
            _ => "unix_seqpacket",
        },
        local: End::Unnamed,
        remote: End::Unnamed,
    })
}
