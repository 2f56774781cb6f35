//! The flow of a socket or packet.

use crate::wire;

/// Local and remote end of a socket, as the kernel keeps them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// `bpf_get_socket_cookie`: the id that `ss -e` prints as `sk:`; 0 where there is no full socket.
    pub cookie: u64,
    /// Inode of the socket's file (`socket:[N]`), read only where there is no cookie; 0 when the socket has no
    /// file (closed, or not accepted yet).
    pub inode: u64,
    /// Address family, `AF_*`; 0 when there is neither socket nor packet to tell.
    pub family: u16,
    /// `sk_protocol`: IPPROTO_* for IP sockets, the netlink family for netlink, 0 for unix.
    pub protocol: u16,
    /// `sk_type`: SOCK_STREAM, SOCK_DGRAM…; 0 when there is no full socket.
    pub sock_type: u16,
    pub pad: u16,
    /// Inode number of the network namespace, as in `/proc/PID/ns/net`.
    pub netns: u32,
    /// Port, network byte order; for netlink the low half of `local` holds the port id instead.
    pub local_port: u16,
    /// Port, network byte order.
    pub remote_port: u16,
    /// IPv4 in the first four bytes, or IPv6; for netlink the port id (`nl_pid`, host order) in the first four.
    pub local: [u8; 16],
    /// As `local`; for a packet socket the interface index (host order) in the first four bytes.
    pub remote: [u8; 16],
}

wire!(Flow = 64);

/// The protocol of a socket where `sk_protocol` is a byte. IPPROTO_MPTCP (262) does not fit into one: RHEL 8 keeps
/// IPPROTO_MPTCP_KERN (66) instead, which no other kernel with a byte gives to a socket, raw ones aside.
pub const fn protocol_of_byte(byte: u8) -> u16 {
    match byte {
        66 => 262,
        _ => byte as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mptcp_socket_is_known_where_its_protocol_does_not_fit_into_a_byte() {
        assert_eq!(protocol_of_byte(66), 262);
        assert_eq!([0, 6, 17, 255].map(protocol_of_byte), [0, 6, 17, 255]);
    }
}
