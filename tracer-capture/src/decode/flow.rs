//! The ends of a wire flow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer_common::{DestinationPath, Flow as WireFlow, head_flag};

use super::Names;
use tracer_model::event::{Endpoint, Flow, RawName, proto_name};

/// The flow of a record; `None` where there was neither a socket nor a packet. `flags` are those of the
/// record's head, `path` the unix address that goes with it.
pub fn flow(
    wire: &WireFlow,
    flags: u32,
    path: &DestinationPath,
    names: &dyn Names,
) -> Option<Flow> {
    let family = i32::from(wire.family);
    if family == libc::AF_UNSPEC {
        return None;
    }
    let (local, remote) = match family {
        libc::AF_INET | libc::AF_INET6 => {
            let ports = has_ports(wire);
            let local = inet(family, &wire.local, wire.local_port, ports);
            let remote = inet(family, &wire.remote, wire.remote_port, ports);
            // Port 0: not bound yet, or closed and given back.
            let bound = !ports || wire.local_port != 0;
            // A failed connect by fast open clears the port and leaves the address: half a destination is
            // none, unless the caller asked for port 0.
            let whole = !ports || wire.remote_port != 0 || flags & head_flag::NAMED_REMOTE != 0;
            (
                Some(local).filter(|_| bound),
                Some(remote).filter(|end| whole && !is_unspecified(end)),
            )
        }
        libc::AF_UNIX => (None, unix(path)),
        libc::AF_NETLINK => {
            let (local, remote) = (first_word(&wire.local), first_word(&wire.remote));
            // Port 0 is the kernel where one sends to, but a socket without a port where one sends from.
            (
                Some(local).filter(|port| *port != 0).map(Endpoint::Netlink),
                Some(Endpoint::Netlink(remote)),
            )
        }
        libc::AF_PACKET => (None, packet(wire, names)),
        _ => (None, None),
    };
    Some(Flow {
        proto: proto_name(wire.family, wire.sock_type, wire.protocol),
        local,
        remote: remote.filter(|_| flags & head_flag::NO_REMOTE == 0),
        netns: (wire.netns != 0).then_some(wire.netns),
        socket: (wire.cookie != 0).then_some(wire.cookie),
    })
}

/// Raw and ping sockets keep a protocol or an identifier where the others keep a port.
fn has_ports(wire: &WireFlow) -> bool {
    i32::from(wire.sock_type) != libc::SOCK_RAW
        && matches!(
            i32::from(wire.protocol),
            libc::IPPROTO_TCP
                | libc::IPPROTO_UDP
                | libc::IPPROTO_MPTCP
                | libc::IPPROTO_DCCP
                | libc::IPPROTO_SCTP
                | libc::IPPROTO_UDPLITE
        )
}

fn inet(family: i32, bytes: &[u8; 16], port: u16, ports: bool) -> Endpoint {
    let [a, b, c, d, ..] = *bytes;
    let address = if family == libc::AF_INET {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()
    };
    if ports {
        Endpoint::Inet(SocketAddr::new(address, u16::from_be(port)))
    } else {
        Endpoint::Address(address)
    }
}

/// All zero, as the kernel keeps the remote end of a socket that is not connected.
fn is_unspecified(end: &Endpoint) -> bool {
    match end {
        Endpoint::Inet(address) => address.ip().is_unspecified() && address.port() == 0,
        Endpoint::Address(address) => address.is_unspecified(),
        _ => false,
    }
}

fn unix(path: &DestinationPath) -> Option<Endpoint> {
    let len = usize::try_from(path.len)
        .unwrap_or(usize::MAX)
        .min(path.path.len());
    match &path.path[..len] {
        // The length of an abstract name counts: NULs in it and at its end are part of it.
        abstract_name @ [0, _, ..] => Some(Endpoint::Unix(RawName::new(abstract_name))),
        bytes => RawName::from_padded(bytes).map(Endpoint::Unix),
    }
}

fn packet(wire: &WireFlow, names: &dyn Names) -> Option<Endpoint> {
    let index = first_word(&wire.remote);
    (index != 0).then(|| Endpoint::Interface {
        index,
        name: names.interface(wire.netns, index).map(RawName::from),
    })
}

fn first_word(bytes: &[u8; 16]) -> u32 {
    let [a, b, c, d, ..] = *bytes;
    u32::from_ne_bytes([a, b, c, d])
}
