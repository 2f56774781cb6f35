//! Numbers of Linux, whatever this runs on: they are in traces, and libc has those of the system at hand.

#![allow(missing_docs)]

// include/linux/socket.h
pub const AF_UNSPEC: i32 = 0;
pub const AF_UNIX: i32 = 1;
pub const AF_INET: i32 = 2;
pub const AF_INET6: i32 = 10;
pub const AF_NETLINK: i32 = 16;
pub const AF_PACKET: i32 = 17;
pub const AF_RDS: i32 = 21;
pub const AF_PPPOX: i32 = 24;
pub const AF_CAN: i32 = 29;
pub const AF_TIPC: i32 = 30;
pub const AF_BLUETOOTH: i32 = 31;
pub const AF_ALG: i32 = 38;
pub const AF_VSOCK: i32 = 40;
pub const AF_XDP: i32 = 44;

// include/linux/net.h
pub const SOCK_STREAM: i32 = 1;
pub const SOCK_DGRAM: i32 = 2;
pub const SOCK_RAW: i32 = 3;
pub const SOCK_SEQPACKET: i32 = 5;

// include/uapi/linux/in.h
pub const IPPROTO_ICMP: i32 = 1;
pub const IPPROTO_IGMP: i32 = 2;
pub const IPPROTO_TCP: i32 = 6;
pub const IPPROTO_UDP: i32 = 17;
pub const IPPROTO_DCCP: i32 = 33;
pub const IPPROTO_ICMPV6: i32 = 58;
pub const IPPROTO_SCTP: i32 = 132;
pub const IPPROTO_UDPLITE: i32 = 136;
pub const IPPROTO_MPTCP: i32 = 262;

// include/uapi/asm-generic/errno.h
pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EINTR: i32 = 4;
pub const EIO: i32 = 5;
pub const EAGAIN: i32 = 11;
pub const ENOMEM: i32 = 12;
pub const EACCES: i32 = 13;
pub const EBUSY: i32 = 16;
pub const EINVAL: i32 = 22;
pub const EPIPE: i32 = 32;
pub const ECOMM: i32 = 70;
pub const EDESTADDRREQ: i32 = 89;
pub const EMSGSIZE: i32 = 90;
pub const EOPNOTSUPP: i32 = 95;
pub const EAFNOSUPPORT: i32 = 97;
pub const EADDRINUSE: i32 = 98;
pub const EADDRNOTAVAIL: i32 = 99;
pub const ENETDOWN: i32 = 100;
pub const ENETUNREACH: i32 = 101;
pub const ECONNRESET: i32 = 104;
pub const ENOBUFS: i32 = 105;
pub const EISCONN: i32 = 106;
pub const ENOTCONN: i32 = 107;
pub const ETIMEDOUT: i32 = 110;
pub const ECONNREFUSED: i32 = 111;
pub const EHOSTDOWN: i32 = 112;
pub const EHOSTUNREACH: i32 = 113;
pub const EALREADY: i32 = 114;
pub const EINPROGRESS: i32 = 115;
/// What a call returns that a signal interrupted: the kernel makes EINTR of it, or calls again (include/linux/errno.h).
pub const ERESTARTSYS: i32 = 512;

#[cfg(all(test, target_os = "linux"))]
#[test]
fn they_are_those_of_the_c_library() {
    let all = [
        (AF_ALG, libc::AF_ALG),
        (AF_BLUETOOTH, libc::AF_BLUETOOTH),
        (AF_CAN, libc::AF_CAN),
        (AF_INET, libc::AF_INET),
        (AF_INET6, libc::AF_INET6),
        (AF_NETLINK, libc::AF_NETLINK),
        (AF_PACKET, libc::AF_PACKET),
        (AF_PPPOX, libc::AF_PPPOX),
        (AF_RDS, libc::AF_RDS),
        (AF_TIPC, libc::AF_TIPC),
        (AF_UNIX, libc::AF_UNIX),
        (AF_UNSPEC, libc::AF_UNSPEC),
        (AF_VSOCK, libc::AF_VSOCK),
        (AF_XDP, libc::AF_XDP),
        (EAGAIN, libc::EAGAIN),
        (EBUSY, libc::EBUSY),
        (ECOMM, libc::ECOMM),
        (ECONNREFUSED, libc::ECONNREFUSED),
        (ECONNRESET, libc::ECONNRESET),
        (EHOSTDOWN, libc::EHOSTDOWN),
        (EHOSTUNREACH, libc::EHOSTUNREACH),
        (EINTR, libc::EINTR),
        (EIO, libc::EIO),
        (EMSGSIZE, libc::EMSGSIZE),
        (ENETUNREACH, libc::ENETUNREACH),
        (ENOBUFS, libc::ENOBUFS),
        (ENOMEM, libc::ENOMEM),
        (EOPNOTSUPP, libc::EOPNOTSUPP),
        (EPERM, libc::EPERM),
        (EPIPE, libc::EPIPE),
        (ETIMEDOUT, libc::ETIMEDOUT),
        (IPPROTO_DCCP, libc::IPPROTO_DCCP),
        (IPPROTO_ICMP, libc::IPPROTO_ICMP),
        (IPPROTO_ICMPV6, libc::IPPROTO_ICMPV6),
        (IPPROTO_IGMP, libc::IPPROTO_IGMP),
        (IPPROTO_MPTCP, libc::IPPROTO_MPTCP),
        (IPPROTO_SCTP, libc::IPPROTO_SCTP),
        (IPPROTO_TCP, libc::IPPROTO_TCP),
        (IPPROTO_UDP, libc::IPPROTO_UDP),
        (IPPROTO_UDPLITE, libc::IPPROTO_UDPLITE),
        (SOCK_DGRAM, libc::SOCK_DGRAM),
        (SOCK_RAW, libc::SOCK_RAW),
        (SOCK_SEQPACKET, libc::SOCK_SEQPACKET),
        (SOCK_STREAM, libc::SOCK_STREAM),
    ];
    for (ours, theirs) in all {
        assert_eq!(ours, theirs);
    }
}
