//! The headers of an event's packet: IPv4 (RFC 791) or IPv6 (RFC 8200), and TCP (RFC 9293) or UDP (RFC 768).
//!
//! What is not known is 0: sequence numbers, windows, flags other than those that the event itself says. Only the
//! length of a retransmitted payload is known, never its bytes: such a packet is shorter than it was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::direction;
use tracer_model::event::{Cause, Detail, Direction, Endpoint, Event, Flow};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Of the hop limit nothing is known; 0 would make Wireshark warn.
const TTL: u8 = 64;

/// Flags of TCP.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A packet.
pub struct Packet {
    /// Headers.
    pub bytes: Vec<u8>,
    /// Length of the packet as it was, with its payload.
    pub original_bytes: u32,
}

/// The packet of an event; `None` without a TCP or UDP flow that has an address.
pub fn packet(event: &Event) -> Option<Packet> {
    let flow = event.flow.as_ref()?;
    let protocol = match flow.proto.as_ref() {
        // The subflows of MPTCP are TCP.
        "tcp" | "mptcp" => TCP,
        "udp" => UDP,
        _ => return None,
    };
    let (local, remote) = ends(flow)?;
    let (from, to) = match direction(event) {
        Direction::Sent => (local, remote),
        Direction::Received => (remote, local),
    };
    let header_bytes = if protocol == TCP { 20 } else { 8 };
    let ip_header: u64 = if from.0.is_ipv4() { 20 } else { 40 };
    // The length fields of both have 16 bits; that of IPv4 counts its own header.
    let room = if from.0.is_ipv4() {
        65_535 - 20
    } else {
        65_535
    };
    let length = (header_bytes + payload(event)).min(room);
    let mut transport = match protocol {
        TCP => tcp(from.1, to.1, flags(&event.detail)),
        _ => udp(from.1, to.1, length as u16),
    };
    let sum = checksum(&[
        &pseudo_header(from.0, to.0, protocol, length as u32),
        &transport,
    ]);
    let at = if protocol == TCP { 16 } else { 6 };
    // For UDP 0 means that there is none.
    let sum = if sum == 0 && protocol == UDP {
        u16::MAX
    } else {
        sum
    };
    transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, protocol, length as u16),
        (from, to) => ipv6(mapped(from), mapped(to), protocol, length as u16),
    };
    bytes.extend(transport);
    Some(Packet {
        bytes,
        original_bytes: (ip_header + length) as u32,
    })
}

/// Both ends, of one family; an end that is not known is the unspecified address.
fn ends(flow: &Flow) -> Option<((IpAddr, u16), (IpAddr, u16))> {
    let end = |end: &Option<Endpoint>| match end {
        Some(Endpoint::Inet(address)) => Some((address.ip(), address.port())),
        Some(Endpoint::Address(address)) => Some((*address, 0)),
        _ => None,
    };
    let (local, remote) = (end(&flow.local), end(&flow.remote));
    let is_v4 = |end: Option<(IpAddr, u16)>| end.map(|(ip, _)| ip.is_ipv4());
    let unspecified: IpAddr = match is_v4(remote).or(is_v4(local))? {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (local, remote) = (
        local.unwrap_or((unspecified, 0)),
        remote.unwrap_or((unspecified, 0)),
    );
    // A socket that is bound to :: sends IPv4 too.
    let of_family = |(ip, port): (IpAddr, u16)| match ip.is_unspecified() {
        true => (unspecified, port),
        false => (ip, port),
    };
    let (local, remote) = (of_family(local), of_family(remote));
    if local.0.is_ipv4() == remote.0.is_ipv4() {
        return Some((local, remote));
    }
    let v6 = |(ip, port): (IpAddr, u16)| (IpAddr::V6(mapped(ip)), port);
    Some((v6(local), v6(remote)))
}

/// Bytes behind the headers, where they are known: of one retransmitted packet, not of a sum of several.
fn payload(event: &Event) -> u64 {
    match &event.detail {
        Detail::Retransmit(retransmit) if event.count == 1 => retransmit.bytes.unwrap_or(0),
        _ => 0,
    }
}

fn flags(detail: &Detail) -> u8 {
    match detail {
        Detail::Reset(_) => RST,
        Detail::Retransmit(retransmit) => match retransmit.cause {
            Cause::Syn => SYN,
            Cause::SynAck => SYN | ACK,
            // All segments of a connection that stands carry one.
            _ => ACK,
        },
        _ => 0,
    }
}

fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&from.to_be_bytes());
    header[2..4].copy_from_slice(&to.to_be_bytes());
    // The header's length in words of 32 bits.
    header[12] = 5 << 4;
    header[13] = flags;
    header
}

fn udp(from: u16, to: u16, length: u16) -> Vec<u8> {
    [from, to, length, 0].map(u16::to_be_bytes).concat()
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: u16) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.saturating_add(20).to_be_bytes());
    header[8] = TTL;
    header[9] = protocol;
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: u16) -> Vec<u8> {
    let mut header = vec![0; 40];
    header[0] = 6 << 4;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header[6] = protocol;
    header[7] = TTL;
    header[8..24].copy_from_slice(&from.octets());
    header[24..40].copy_from_slice(&to.octets());
    header
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend(mapped(from).octets());
            header.extend(mapped(to).octets());
        }
    }
    // The sum is the same for the layouts of both families.
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

/// The Internet checksum (RFC 1071), of a payload of zeros too: they add nothing. Parts have even lengths.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
