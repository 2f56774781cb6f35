//! Reads a packet: which way it went, its interface and its addresses.

use tracer_common::{Flow, direction};

use crate::{
    kernel::{Ptr, load, probe},
    socket::{AF_INET, AF_INET6, put_v4},
};

const ETH_P_IP: u16 = 0x0800u16.to_be();
const ETH_P_IPV6: u16 = 0x86ddu16.to_be();

/// Source and destination of a packet's headers, network byte order.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub family: u16,
    pub protocol: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
}

/// Reads IP addresses and ports; `None` when the headers are not there (yet). Two or three probe reads.
#[inline(always)]
pub fn addresses(skb: Ptr) -> Option<Addresses> {
    let head = load!(skb, skb_head: u64)?;
    let network = load!(skb, skb_network_header: u16)?;
    let transport = load!(skb, skb_transport_header: u16)?;
    let protocol = load!(skb, skb_protocol: u16)?;
    if network == 0 || transport == u16::MAX || transport <= network {
        return None;
    }
    let at = head + network as u64;
    let mut found = Addresses {
        family: 0,
        protocol: 0,
        source: [0; 16],
        destination: [0; 16],
        source_port: 0,
        destination_port: 0,
    };
    if protocol == ETH_P_IP {
        let header = probe::<[u32; 5]>(at)?;
        let first = header[0].to_be() >> 28;
        if first != 4 {
            return None;
        }
        found.family = AF_INET;
        found.protocol = (header[2].to_be() >> 16) as u8;
        put_v4(&mut found.source, header[3]);
        put_v4(&mut found.destination, header[4]);
    } else if protocol == ETH_P_IPV6 {
        let header = probe::<[u32; 10]>(at)?;
        let first = header[0].to_be() >> 28;
        if first != 6 {
            return None;
        }
        found.family = AF_INET6;
        found.protocol = (header[1].to_be() >> 8) as u8;
        found.source = crate::socket::v6_bytes([header[2], header[3], header[4], header[5]]);
        found.destination = crate::socket::v6_bytes([header[6], header[7], header[8], header[9]]);
    } else {
        return None;
    }
    if found.protocol == 6 || found.protocol == 17 {
        let ports = probe::<[u16; 2]>(head + transport as u64)?;
        found.source_port = ports[0];
        found.destination_port = ports[1];
    }
    Some(found)
}

/// Which way a packet that belongs to a local socket went. `skb_iif` is 0 until a packet is received; a
/// sent packet that has crossed a veth keeps its socket, so a received one is told by its addresses.
#[inline(always)]
pub fn direction(skb: Ptr, flow: &Flow, packet: &Option<Addresses>) -> u32 {
    if load!(skb, skb_iif: u32).unwrap_or(0) == 0 {
        return direction::SENT as u32;
    }
    match packet {
        None => direction::UNKNOWN as u32,
        Some(packet) if packet.protocol != 6 && packet.protocol != 17 => direction::UNKNOWN as u32,
        Some(packet) => {
            let sent = packet.source_port == flow.local_port;
            let received = packet.destination_port == flow.local_port;
            if sent == received {
                direction::UNKNOWN as u32
            } else if sent {
                direction::SENT as u32
            } else {
                direction::RECEIVED as u32
            }
        }
    }
}

/// Puts the packet's far end into a flow whose socket is not connected to one peer.
#[inline(always)]
pub fn complete(flow: &mut Flow, packet: &Addresses, direction: u32) {
    let received = direction == direction::RECEIVED as u32;
    if flow.family == 0 {
        flow.family = packet.family;
        flow.protocol = packet.protocol as u16;
    }
    // A v6 socket may carry v4 packets: those addresses are shown mapped, as the socket sees them.
    let mapped = flow.family == AF_INET6 && packet.family == AF_INET;
    let (local, remote) = if received {
        (&packet.destination, &packet.source)
    } else {
        (&packet.source, &packet.destination)
    };
    if mapped {
        map_v4(&mut flow.local, local);
        map_v4(&mut flow.remote, remote);
    } else {
        flow.local = *local;
        flow.remote = *remote;
    }
    if received {
        flow.local_port = packet.destination_port;
        flow.remote_port = packet.source_port;
    } else {
        flow.local_port = packet.source_port;
        flow.remote_port = packet.destination_port;
    }
}

#[inline(always)]
fn map_v4(to: &mut [u8; 16], v4: &[u8; 16]) {
    *to = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]];
}

/// Inode number of the network namespace of the packet's device, 0 without one.
#[inline(always)]
pub fn netns(skb: Ptr) -> u32 {
    let Some(dev) = load!(skb, skb_dev: Ptr) else { return 0 };
    match load!(dev, dev_net: Ptr) {
        Some(net) => load!(net, net_inum: u32).unwrap_or(0),
        None => 0,
    }
}

/// Index and name of a device.
#[inline(always)]
pub fn device(dev: Ptr) -> (u32, [u8; 16]) {
    let index = load!(dev, dev_ifindex: u32).unwrap_or(0);
    let name = load!(dev, dev_name: [u64; 2]).map_or([0; 16], |words| {
        let mut bytes = [0u8; 16];
        // SAFETY: 16 bytes each, alignment not assumed.
        unsafe { bytes.as_mut_ptr().cast::<[u64; 2]>().write_unaligned(words) };
        bytes
    });
    (index, name)
}

/// The packet's interface. `skb->dev` shares its place with other data once a packet sits in a receive
/// queue, so for a received packet the name only counts when it agrees with `skb_iif`.
#[inline(always)]
pub fn interface(skb: Ptr) -> (u32, [u8; 16]) {
    let received_on = load!(skb, skb_iif: u32).unwrap_or(0);
    let Some(dev) = load!(skb, skb_dev: Ptr) else { return (received_on, [0; 16]) };
    if dev.is_null() {
        return (received_on, [0; 16]);
    }
    let (index, name) = device(dev);
    if received_on != 0 && index != received_on {
        return (received_on, [0; 16]);
    }
    (index, name)
}
