//! Errnos that tell of the call itself: wrong arguments, wrong state, wrong kind of socket.

use super::entry::{Entry, Kind};
use crate::rule::Layer;

/// All of these are refused before anything is sent.
const NOT: &str = "Not the network and not the peer: it was refused before anything was sent.";

const fn errno(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Errno, word, means).to(Layer::App).not(NOT)
}

pub static TABLE: &[Entry] = &[
    errno("EINVAL", "Something about the call is not valid.")
        .from(
            "UDP: destination port 0, an address that is too short, more than the allowed number of GSO segments. A \
             route of type blackhole (fib_props). Control messages that are wrong (sock_cmsg_send(), ip_cmsg_send()). \
             Packet: shorter than a link header. Raw with IP_HDRINCL: a header that is wrong. A source address that \
             is none (multicast, 0.x), or that this host no longer has (older kernels).",
        )
        .next(
            "ip route get ADDRESS first: a blackhole route is the one case that is no mistake of the application. \
             Then the destination and requested_bytes of the event.",
        )
        .worse("Retrying: the same call gives the same answer."),
    errno("EFAULT", "The data (or the address) is not in memory that the process may read.")
        .from("copy_from_iter() and its kin in each protocol's sendmsg.")
        .next("A buffer that was freed or unmapped while another thread, or io_uring, still sends from it.")
        .worse("Retrying: it is a bug of the process, and may send wrong data the next time."),
    errno("EOPNOTSUPP", "This kind of socket cannot do that. ENOTSUP is the same number.")
        .from(
            "MSG_OOB on UDP, raw, unix datagram or netlink; a destination on an unconnected unix stream socket; \
             MSG_FASTOPEN while net.ipv4.tcp_fastopen does not allow it (tcp_sendmsg_fastopen()); a protocol without \
             sendmsg (sock_no_sendmsg()). Or ICMP source route failed.",
        )
        .next("The flags of the call; net.ipv4.tcp_fastopen.")
        .worse("Retrying: the answer stays the same."),
    errno("EAFNOSUPPORT", "The destination is an address of another family than the socket.")
        .from("udp_sendmsg(), raw_sendmsg() when the address is not AF_INET.")
        .next("A name that now resolves to IPv6, used with an IPv4 socket?")
        .worse("Retrying with the same address."),
    errno("EISCONN", "The socket is connected, and a destination (or fast open) was given nevertheless.")
        .from("unix_stream_sendmsg() with an address; MSG_FASTOPEN on a connected TCP socket (__inet_stream_connect()).")
        .next("Does the application send on a socket that another thread has connected already?")
        .worse("Opening one more connection beside it."),
    errno("EALREADY", "A fast open send is under way on this socket.")
        .from("tcp_sendmsg_fastopen() while the data of the first SYN is still queued; __inet_stream_connect().")
        .next("Wait until the socket is writable; then getsockopt SO_ERROR tells how the connect ended.")
        .worse("Calling again in a loop."),
    errno("EINPROGRESS", "A fast open send on a non-blocking socket has begun to connect; no failure.")
        .from("__inet_stream_connect() by way of tcp_sendmsg_fastopen().")
        .next("Wait until the socket is writable. Whether the connect fails is in the connection event that follows.")
        .worse("Taking it for an error and opening another connection."),
    errno("ENOENT", "The unix socket's path does not exist.")
        .from("unix_find_other() (kern_path()) for a datagram with a destination.")
        .next("Is the receiver (a log daemon, for one) running, and in the same mount namespace?")
        .worse("Retrying without a pause while the receiver starts."),
    errno("EPROTOTYPE", "The unix path is a socket of another type.")
        .from("unix_find_other(): a datagram to a stream socket, for one.")
        .next("Which type the receiver opens (ss -xl), and which the sender is configured for.")
        .worse("Retrying: the type stays."),
    errno("ETOOMANYREFS", "Too many file descriptors are on their way inside unix sockets.")
        .from("unix_attach_fds() by way of too_many_unix_fds(): more than RLIMIT_NOFILE of this user are in flight.")
        .next("A receiver of descriptors that does not read; the user's limit of open files.")
        .worse("Sending more of them."),
    errno("EBADF", "A descriptor in the control message is not open.")
        .from(
            "scm_fp_copy(): SCM_RIGHTS with a descriptor that is closed. A send on a closed descriptor gives EBADF \
             too, but ends before the socket: that one is not seen here.",
        )
        .next("Which thread closes descriptors that another still passes on.")
        .worse("Retrying: the number may by then be somebody else's file."),
    errno("ESRCH", "The process named in the control message does not exist.")
        .from("__scm_send(): SCM_CREDENTIALS with a pid that is gone, or of another pid namespace.")
        .next("Which pid the sender claims (ucred.pid), and in which namespace.")
        .worse("Retrying with the same pid."),
    errno("ENODATA", "An empty netlink message.")
        .from("netlink_sendmsg() for a length of 0.")
        .next("The caller's length; netlink messages have a header of at least 16 bytes.")
        .worse("Retrying with the same message."),
];
