//! Sends by system calls that succeed.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockType, SockaddrIn, bind, getsockname, sendto};
use scenarios::paths::{Call, End, SendReport, Sends};

use crate::sockets::{Pair, V4, V6, end};
use crate::{Job, call, sockets, sys};

const LOOPBACK_INDEX: i32 = 1;
/// A protocol number for experiments: nobody takes these frames.
const ETH_P_EXPERIMENT: u16 = 0x88b5;

/// Runs one path.
pub fn run(path: &str, job: Job) -> Result<SendReport> {
    let Some((kind, how)) = path.rsplit_once(' ') else {
        bail!("unknown path {path:?}");
    };
    match (kind, how) {
        ("UDP", "sendmsg") => return apart(job, false),
        ("UDP", "sendmmsg") => return apart(job, true),
        ("TCP fast", "open") => return fast_open(job),
        ("raw", _) => return raw(job),
        ("packet", _) => return packet(job),
        ("netlink", _) => return netlink(job),
        _ => {}
    }
    let pair = match kind {
        "TCP" => sockets::tcp(V4)?,
        "TCP v6" => sockets::tcp(V6)?,
        "UDP" => sockets::udp(V4)?,
        "UDP v6" => sockets::udp(V6)?,
        "unix" | "unix stream" => sockets::unix(SockType::Stream)?,
        "unix dgram" => sockets::unix(SockType::Datagram)?,
        "unix seqpacket" => sockets::unix(SockType::SeqPacket)?,
        "MPTCP" => match sockets::mptcp() {
            Ok(pair) => pair,
            Err(errno) => {
                return Ok(SendReport::unsupported(format!(
                    "socket(IPPROTO_MPTCP): {errno}"
                )));
            }
        },
        "kTLS" => {
            let pair = sockets::tcp(V4)?;
            if let Err(why) = encrypt(&pair) {
                return Ok(SendReport::unsupported(why));
            }
            pair
        }
        _ => bail!("unknown path {path:?}"),
    };
    let calls = over(&pair, how, job)?;
    Ok(SendReport::of(pair.flow(), calls))
}

fn over(pair: &Pair, how: &str, job: Job) -> Result<Vec<Call>> {
    let fd = &pair.socket;
    Ok(match how {
        "write" => job.each(|data| sys::write(fd, data)),
        "writev" => job.each(|data| sys::writev(fd, data)),
        "pwritev2" => job.each(|data| sys::pwritev2(fd, data)),
        "send" => job.each(|data| sys::send(fd, data, 0)),
        "sendto" => {
            let to = inet(&pair.remote)?;
            job.each(|data| sys::sendto(fd, data, &to, 0))
        }
        "sendmsg" => job.each(|data| sys::sendmsg(fd, data, None)),
        "sendmmsg" => all_at_once(fd, job, &vec![None; job.count]),
        "MSG_ZEROCOPY" => {
            scenarios::sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
            job.each(|data| sys::send(fd, data, libc::MSG_ZEROCOPY))
        }
        "sendfile" => {
            let file = OwnedFd::from(file_of(job.size + job.count)?);
            job.each(|data| sys::sendfile(fd, &file, data.len()))
        }
        "splice" => {
            let (from, into) = nix::unistd::pipe()?;
            job.each(|data| {
                let filled = sys::write(&into, data);
                assert_eq!(filled, data.len() as i64, "a pipe takes a page");
                sys::splice(fd, &from, data.len())
            })
        }
        // One datagram, put together from all of them, leaves when the cork is pulled.
        "corked" => {
            let cork =
                |on| scenarios::sys::set_option(fd.as_fd(), libc::IPPROTO_UDP, libc::UDP_CORK, on);
            cork(1)?;
            let calls = job.each(|data| sys::send(fd, data, 0));
            cork(0)?;
            calls
        }
        _ => bail!("unknown call {how:?}"),
    })
}

fn all_at_once(fd: &OwnedFd, job: Job, to: &[Option<&libc::sockaddr_in>]) -> Vec<Call> {
    let data: Vec<_> = (0..job.count).map(|index| job.data(index)).collect();
    let messages: Vec<_> = data
        .iter()
        .map(Vec::as_slice)
        .zip(to.iter().copied())
        .collect();
    let results = sys::sendmmsg(fd, &messages);
    data.iter()
        .zip(results)
        .map(|(data, result)| call(data, result))
        .collect()
}

/// One socket, not connected: each datagram has another destination, which its event may not mix up.
fn apart(job: Job, at_once: bool) -> Result<SendReport> {
    let socket = UdpSocket::bind(V4)?;
    let receivers = (0..job.count)
        .map(|_| UdpSocket::bind(V4))
        .collect::<Result<Vec<_>, _>>()?;
    let local = end(socket.local_addr()?);
    let remotes = receivers
        .iter()
        .map(|receiver| Ok(end(receiver.local_addr()?)))
        .collect::<Result<Vec<_>>>()?;
    let names = remotes.iter().map(inet).collect::<Result<Vec<_>>>()?;
    let fd = OwnedFd::from(socket);
    let calls = if at_once {
        all_at_once(&fd, job, &names.iter().map(Some).collect::<Vec<_>>())
    } else {
        let mut names = names.iter();
        job.each(|data| sys::sendmsg(&fd, data, names.next()))
    };
    Ok(SendReport {
        sends: calls
            .into_iter()
            .zip(remotes)
            .map(|(call, remote)| Sends::of(("udp", local.clone(), remote), vec![call]))
            .collect(),
        ..SendReport::default()
    })
}

/// A connection per send: the first asks for a cookie and waits, the others take their data along in the SYN.
fn fast_open(job: Job) -> Result<SendReport> {
    // Of this network namespace: 1 for those who connect, 2 for those who listen.
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3").context("tcp_fastopen")?;
    let listener = TcpListener::bind(V4)?;
    scenarios::sys::set_option(listener.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 64)?;
    let remote = end(listener.local_addr()?);
    connections(job, remote)
}

/// sendto(MSG_FASTOPEN) on a fresh socket for each.
pub fn connections(job: Job, remote: End) -> Result<SendReport> {
    let to = inet(&remote)?;
    let mut report = SendReport::default();
    let mut open = Vec::new();
    for index in 0..job.count {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
        let local = End::Is(getsockname::<SockaddrIn>(socket.as_raw_fd())?.to_string());
        let data = job.data(index);
        let result = sys::sendto(&socket, &data, &to, libc::MSG_FASTOPEN);
        let flow = ("tcp", local, remote.clone());
        report
            .sends
            .push(Sends::of(flow, vec![call(&data, result)]));
        open.push(socket);
    }
    Ok(report)
}

/// ICMP echo replies, which nobody answers.
fn raw(job: Job) -> Result<SendReport> {
    let socket = sys::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
    let to = inet(&End::Is("127.0.0.1:0".to_owned()))?;
    let calls = job.each(|data| {
        let mut packet = data.to_vec();
        packet[..8].fill(0);
        sys::sendto(&socket, &packet, &to, 0)
    });
    let at = |address: &str| End::Is(address.to_owned());
    Ok(SendReport::of(
        ("raw", at("0.0.0.0"), at("127.0.0.1")),
        calls,
    ))
}

fn packet(job: Job) -> Result<SendReport> {
    let socket = sys::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
    let to = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_EXPERIMENT.to_be(),
        sll_ifindex: LOOPBACK_INDEX,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let calls = job.each(|data| sys::sendto(&socket, data, &to, 0));
    // The program may only look up names of interfaces in its own namespace.
    let remote = End::Is(format!("ifindex {LOOPBACK_INDEX}"));
    Ok(SendReport::of(("packet", End::Unnamed, remote), calls))
}

fn netlink(job: Job) -> Result<SendReport> {
    let open = || sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_USERSOCK);
    let (socket, other) = (open()?, open()?);
    let port = |fd: &OwnedFd| -> Result<u32> {
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(getsockname::<NetlinkAddr>(fd.as_raw_fd())?.pid())
    };
    let (local, remote) = (port(&socket)?, port(&other)?);
    let to = NetlinkAddr::new(remote, 0);
    let calls = job.each(|data| sys::of(sendto(socket.as_raw_fd(), data, &to, MsgFlags::empty())));
    let at = |port| End::Is(format!("pid {port}"));
    Ok(SendReport::of(("netlink", at(local), at(remote)), calls))
}

/// Puts TLS 1.2 with AES-GCM into the kernel, with a key of zeros, for sending alone.
fn encrypt(pair: &Pair) -> Result<(), String> {
    const TLS_TX: i32 = 1;
    let fail = |what: &str| {
        let what = what.to_owned();
        move |errno: Errno| format!("{what}: {errno}")
    };
    sys::set_option(&pair.socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls")
        .map_err(fail("setsockopt(TCP_ULP, tls)"))?;
    // struct tls12_crypto_info_aes_gcm_128: version, cipher, IV, key, salt, sequence number.
    let mut info = [0u8; 40];
    info[..2].copy_from_slice(&0x0303u16.to_ne_bytes());
    info[2..4].copy_from_slice(&51u16.to_ne_bytes());
    sys::set_option(&pair.socket, libc::SOL_TLS, TLS_TX, &info)
        .map_err(fail("setsockopt(TLS_TX, AES-GCM-128)"))
}

/// A file in memory with this many bytes.
fn file_of(len: usize) -> Result<File> {
    let name = c"sent";
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(&vec![b'x'; len])?;
    Ok(file)
}

/// The kernel's form of an IPv4 end.
pub fn inet(end: &End) -> Result<libc::sockaddr_in> {
    let End::Is(text) = end else {
        bail!("an end without a name");
    };
    let SocketAddr::V4(address) = text.parse()? else {
        bail!("{text} is not IPv4");
    };
    Ok(libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    })
}
