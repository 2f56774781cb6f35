//! Reads a packet: which way it went, its interface and its addresses.

use tracer_common::{Flow, direction};

use crate::{
    kernel::{Ptr, Words, load, load_ptr, probe, put},
    socket::{AF_INET, AF_INET6, SOCK_RAW, mapped_v4, v4},
};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const ETH_P_IP: u16 = 0x0800u16.to_be();
const ETH_P_IPV6: u16 = 0x86ddu16.to_be();

/// Source and destination of a packet's headers, network byte order.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub family: u16,
    pub protocol: u8,
    pub source: Words,
    pub destination: Words,
    pub source_port: u16,
    pub destination_port: u16,
}

impl Addresses {
    /// Nothing read: family 0.
    pub const NONE: Self = Self {
        family: 0,
        protocol: 0,
        source: [0; 4],
        destination: [0; 4],
        source_port: 0,
        destination_port: 0,
    };

    /// Whether the headers were there.
    #[inline(always)]
    pub fn known(&self) -> bool {
        self.family != 0
    }

    /// Are these the headers that the socket's own packet has? Not around a packet in a tunnel, and the ports
    /// are not in a fragment. A raw socket makes any headers.
    #[inline(always)]
    pub fn are_of(&self, flow: &Flow, direction: u32) -> bool {
        if !self.known() || direction == direction::UNKNOWN as u32 {
            return false;
        }
        if flow.sock_type == SOCK_RAW {
            return true;
        }
        let near = if direction == direction::RECEIVED as u32 {
            self.destination_port
        } else {
            self.source_port
        };
        self.protocol as u16 == flow.protocol
            && (!self.has_ports() || flow.local_port == 0 || near == flow.local_port)
    }

    #[inline(always)]
    fn has_ports(&self) -> bool {
        self.protocol == IPPROTO_TCP || self.protocol == IPPROTO_UDP
    }
}

/// Reads IP addresses and ports, in two or three probe reads; nothing where the headers are not there (yet).
/// Always a whole value, never an `Option`: on the way of a `None` the compiler leaves registers that the
/// verifier refuses.
#[inline(always)]
pub fn addresses(skb: Ptr) -> Addresses {
    let mut found = Addresses::NONE;
    let head = load!(skb, skb_head: u64).unwrap_or(0);
    let network = load!(skb, skb_network_header: u16).unwrap_or(0);
    let transport = load!(skb, skb_transport_header: u16).unwrap_or(0);
    let protocol = load!(skb, skb_protocol: u16).unwrap_or(0);
    if network == 0 || transport == u16::MAX || transport <= network {
        return found;
    }
    let at = head + network as u64;
    if protocol == ETH_P_IP {
        let header = probe::<[u32; 5]>(at).unwrap_or([0; 5]);
        // A fragment after the first has payload where the ports would be.
        if header[0].to_be() >> 28 == 4 && header[1].to_be() & 0x1fff == 0 {
            found.family = AF_INET;
            found.protocol = (header[2].to_be() >> 16) as u8;
            found.source = v4(header[3]);
            found.destination = v4(header[4]);
        }
    } else if protocol == ETH_P_IPV6 {
        let header = probe::<[u32; 10]>(at).unwrap_or([0; 10]);
        if header[0].to_be() >> 28 == 6 {
            found.family = AF_INET6;
            found.protocol = (header[1].to_be() >> 8) as u8;
            found.source = [header[2], header[3], header[4], header[5]];
            found.destination = [header[6], header[7], header[8], header[9]];
        }
    }
    if found.has_ports() {
        let ports = probe::<[u16; 2]>(head + transport as u64).unwrap_or([0; 2]);
        found.source_port = ports[0];
        found.destination_port = ports[1];
    }
    found
}

/// Which way a packet that belongs to a local socket went. `skb_iif` is 0 until a packet is received; a
/// sent packet that has crossed a veth keeps its socket, so a received one is identified by its addresses.
#[inline(always)]
pub fn direction(skb: Ptr, flow: &Flow, packet: &Addresses) -> u32 {
    if load!(skb, skb_iif: u32).unwrap_or(0) == 0 {
        return direction::SENT as u32;
    }
    let sent = packet.source_port == flow.local_port;
    let received = packet.destination_port == flow.local_port;
    if !packet.known() || !packet.has_ports() || sent == received {
        direction::UNKNOWN as u32
    } else if sent {
        direction::SENT as u32
    } else {
        direction::RECEIVED as u32
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
        (packet.destination, packet.source)
    } else {
        (packet.source, packet.destination)
    };
    if mapped {
        put(&mut flow.local, mapped_v4(local[0]));
        put(&mut flow.remote, mapped_v4(remote[0]));
    } else {
        put(&mut flow.local, local);
        put(&mut flow.remote, remote);
    }
    if !packet.has_ports() {
        return;
    }
    if received {
        flow.local_port = packet.destination_port;
        flow.remote_port = packet.source_port;
    } else {
        flow.local_port = packet.source_port;
        flow.remote_port = packet.destination_port;
    }
}

/// Inode number of the network namespace of the packet's device, 0 without one.
#[inline(always)]
pub fn netns(skb: Ptr) -> u32 {
    let Some(dev) = load_ptr!(skb, skb_dev) else {
        return 0;
    };
    match load_ptr!(dev, dev_net) {
        Some(net) => load!(net, net_inum: u32).unwrap_or(0),
        None => 0,
    }
}

/// Index and name of a device.
#[inline(always)]
pub fn device(dev: Ptr) -> (u32, Words) {
    let index = load!(dev, dev_ifindex: u32).unwrap_or(0);
    (index, load!(dev, dev_name: Words).unwrap_or([0; 4]))
}

/// The packet's interface. `skb->dev` shares its place with other data once a packet sits in a receive
/// queue, so for a received packet the name only counts when it agrees with `skb_iif`.
#[inline(always)]
pub fn interface(skb: Ptr) -> (u32, Words) {
    let received_on = load!(skb, skb_iif: u32).unwrap_or(0);
    let Some(dev) = load_ptr!(skb, skb_dev) else {
        return (received_on, [0; 4]);
    };
    let (index, name) = device(dev);
    if received_on != 0 && index != received_on {
        return (received_on, [0; 4]);
    }
    (index, name)
}
