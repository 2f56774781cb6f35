//! Between whom: the ends of a socket or packet.

use crate::linux;
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::RawName;

/// One end. How it reads: [`Endpoint::text`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// Address and port: `10.0.0.1:443`, `[::1]:443`. A v4-mapped IPv6 address is kept as IPv4.
    Inet(SocketAddr),
    /// An address where there are no ports: raw and ping sockets.
    Address(IpAddr),
    /// `sun_path` of a unix socket without its padding; an abstract name starts with NUL, shown as `@`.
    Unix(RawName),
    /// A netlink port id: `pid 4242`, or `kernel` for 0.
    Netlink(u32),
    /// The interface of a packet socket: its name, or `ifindex 3`.
    Interface {
        /// Index in its network namespace.
        index: u32,
        /// Its name, where it could be looked up.
        name: Option<RawName>,
    },
}

impl Endpoint {
    /// The end as text; `name` turns the bytes that somebody chose into text.
    pub fn text(&self, name: impl Fn(&[u8]) -> String) -> String {
        match self {
            Self::Inet(address) => address.to_string(),
            Self::Address(address) => address.to_string(),
            Self::Unix(path) => match path.as_bytes() {
                [0, rest @ ..] => format!("@{}", name(rest)),
                // A relative path may start with the mark of abstract names.
                bytes @ [b'@', ..] => format!("./{}", name(bytes)),
                bytes => name(bytes),
            },
            Self::Netlink(0) => "kernel".to_owned(),
            Self::Netlink(port) => format!("pid {port}"),
            Self::Interface {
                name: Some(raw), ..
            } => name(raw.as_bytes()),
            Self::Interface { index, name: None } => format!("ifindex {index}"),
        }
    }

    /// The end with U+FFFD for bytes that are not UTF-8, as JSON carries it. Not fit for a terminal.
    pub fn lossy(&self) -> String {
        self.text(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Local and remote end of a socket, or of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// As [`proto_name`] gives it.
    pub proto: Cow<'static, str>,
    /// `None`: unnamed, or not known.
    pub local: Option<Endpoint>,
    /// `None`: not connected, or not known.
    pub remote: Option<Endpoint>,
    /// Inode number of the network namespace, as in `/proc/PID/ns/net`.
    pub netns: Option<u32>,
    /// `bpf_get_socket_cookie`: what `ss -e` prints as `sk:` (there in hexadecimal).
    pub socket: Option<u64>,
}

impl Flow {
    /// What it takes in memory beyond its own size, bytes.
    pub fn heap_bytes(&self) -> usize {
        let of_end = |end: &Option<Endpoint>| match end {
            Some(
                Endpoint::Unix(name)
                | Endpoint::Interface {
                    name: Some(name), ..
                },
            ) => name.as_bytes().len(),
            _ => 0,
        };
        self.proto.len() + of_end(&self.local) + of_end(&self.remote)
    }
}

/// A socket's cookie alone tells flows apart nearly always, and is hashed for every event.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.socket {
            Some(socket) => state.write_u64(socket),
            None => (&self.local, &self.remote, self.netns).hash(state),
        }
    }
}

/// The name of a protocol: `tcp` and `udp` for IPv4 and IPv6 alike, `unix_stream`, `netlink`…; `ip_N` for an
/// IP protocol and `af_N` for a family without a name. `sock_type` is 0 where there is no full socket.
pub fn proto_name(family: u16, sock_type: u16, protocol: u16) -> Cow<'static, str> {
    let name = match (i32::from(family), i32::from(sock_type)) {
        (linux::AF_INET | linux::AF_INET6, linux::SOCK_RAW) => "raw",
        (linux::AF_INET | linux::AF_INET6, _) => match i32::from(protocol) {
            linux::IPPROTO_TCP => "tcp",
            linux::IPPROTO_UDP => "udp",
            linux::IPPROTO_MPTCP => "mptcp",
            linux::IPPROTO_ICMP | linux::IPPROTO_ICMPV6 => "icmp",
            linux::IPPROTO_IGMP => "igmp",
            linux::IPPROTO_DCCP => "dccp",
            linux::IPPROTO_SCTP => "sctp",
            linux::IPPROTO_UDPLITE => "udplite",
            other => return format!("ip_{other}").into(),
        },
        (linux::AF_UNIX, linux::SOCK_STREAM) => "unix_stream",
        (linux::AF_UNIX, linux::SOCK_DGRAM) => "unix_dgram",
        (linux::AF_UNIX, linux::SOCK_SEQPACKET) => "unix_seqpacket",
        (linux::AF_UNIX, _) => "unix",
        (linux::AF_NETLINK, _) => "netlink",
        (linux::AF_PACKET, _) => "packet",
        (linux::AF_RDS, _) => "rds",
        (linux::AF_PPPOX, _) => "pppox",
        (linux::AF_CAN, _) => "can",
        (linux::AF_TIPC, _) => "tipc",
        (linux::AF_BLUETOOTH, _) => "bluetooth",
        (linux::AF_ALG, _) => "alg",
        (linux::AF_VSOCK, _) => "vsock",
        (AF_KCM, _) => "kcm",
        (AF_QIPCRTR, _) => "qipcrtr",
        (AF_SMC, _) => "smc",
        (linux::AF_XDP, _) => "xdp",
        (other, _) => return format!("af_{other}").into(),
    };
    name.into()
}

/// The name of a protocol as a trace carries it: without an allocation where nearly all events are.
pub fn proto_from_name(name: String) -> Cow<'static, str> {
    let usual = [
        "tcp",
        "udp",
        "mptcp",
        "icmp",
        "raw",
        "unix_stream",
        "unix_dgram",
        "netlink",
        "packet",
    ];
    let known = usual.into_iter().find(|known| *known == name);
    known.map_or_else(|| name.into(), Cow::Borrowed)
}

// include/linux/socket.h; the C library's headers name them only in part.
const AF_KCM: i32 = 41;
const AF_QIPCRTR: i32 = 42;
const AF_SMC: i32 = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_carry_the_names_that_users_know() {
        let cases = [
            ((2, 1, 6), "tcp"),
            ((10, 1, 6), "tcp"),
            ((10, 0, 6), "tcp"),
            ((2, 2, 17), "udp"),
            ((2, 1, 262), "mptcp"),
            ((2, 2, 1), "icmp"),
            ((10, 2, 58), "icmp"),
            ((2, 3, 1), "raw"),
            ((10, 3, 255), "raw"),
            ((2, 1, 132), "sctp"),
            ((2, 2, 136), "udplite"),
            ((2, 0, 47), "ip_47"),
            ((1, 1, 0), "unix_stream"),
            ((1, 2, 0), "unix_dgram"),
            ((1, 5, 0), "unix_seqpacket"),
            ((16, 3, 0), "netlink"),
            ((17, 3, 768), "packet"),
            ((29, 2, 6), "can"),
            ((40, 1, 0), "vsock"),
            ((99, 1, 0), "af_99"),
        ];
        for ((family, sock_type, protocol), name) in cases {
            assert_eq!(proto_name(family, sock_type, protocol), name);
        }
    }

    #[test]
    fn each_kind_of_end_reads_as_its_own_tools_print_it() {
        let cases = [
            (Endpoint::Inet(([10, 0, 0, 1], 443).into()), "10.0.0.1:443"),
            (
                Endpoint::Inet(([0, 0, 0, 0, 0, 0, 0, 1], 443).into()),
                "[::1]:443",
            ),
            (Endpoint::Address([10, 0, 0, 1].into()), "10.0.0.1"),
            (Endpoint::Unix("/run/log".into()), "/run/log"),
            (Endpoint::Unix("\0name".into()), "@name"),
            (Endpoint::Unix("@name".into()), "./@name"),
            (Endpoint::Netlink(0), "kernel"),
            (Endpoint::Netlink(4242), "pid 4242"),
            (
                Endpoint::Interface {
                    index: 3,
                    name: None,
                },
                "ifindex 3",
            ),
            (
                Endpoint::Interface {
                    index: 3,
                    name: Some("eth0".into()),
                },
                "eth0",
            ),
        ];
        for (endpoint, text) in cases {
            assert_eq!(endpoint.lossy(), text);
        }
    }
}
