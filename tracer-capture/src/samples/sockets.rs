//! The sockets of troubled flows, each asked for by its addresses (sock_diag(7)): never a walk over all.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::netlink::{Attributes, Netlink, text, u8_at, u32_at};
use super::tcp_info;
use tracer_model::event::TcpState;
use tracer_model::samples::{Found, Memory, SocketKey, SocketProto, SocketSample, Timer};

/// So many sockets are asked for at most in one sample.
pub const ASKED: usize = 64;

// linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CONG: u16 = 4;
const INET_DIAG_SKMEMINFO: u16 = 7;
const NO_COOKIE: u64 = u64::MAX;
/// `struct inet_diag_msg`.
const FIXED: usize = 72;

/// Asks for one socket.
pub fn sample(netlink: &mut Netlink, key: &SocketKey, own_netns: Option<u64>) -> SocketSample {
    let mut sample = SocketSample {
        proto: match key.proto {
            SocketProto::Tcp => "tcp",
            SocketProto::Udp => "udp",
        }
        .to_owned(),
        local: key.local.to_string(),
        remote: key.remote.to_string(),
        socket: key.cookie,
        ..SocketSample::default()
    };
    if let (Some(its), Some(own)) = (key.netns, own_netns)
        && u64::from(its) != own
    {
        sample.found = Found::OtherNetns;
        return sample;
    }
    match ask(netlink, key, key.cookie.unwrap_or(NO_COOKIE)) {
        Ok(body) => fill(body, key, &mut sample),
        // No socket, or one with another cookie: `inet_diag_find_one_icsk` and `sock_diag_check_cookie` differ in
        // how they say it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) => {
            sample.found = match key.cookie {
                Some(_) => what_is_there(netlink, key),
                None => Found::NotFound,
            }
        }
        Err(error) => sample.why = Some(error.to_string()),
    }
    sample
}

/// What is at these addresses, where the socket itself is not.
fn what_is_there(netlink: &mut Netlink, key: &SocketKey) -> Found {
    let there = ask(netlink, key, NO_COOKIE).ok();
    match there.and_then(|body| u8_at(body, 1)) {
        Some(TCP_TIME_WAIT) => Found::TimeWait,
        // Nobody is connected: the listener was found.
        Some(TCP_LISTEN) | None => Found::NotFound,
        Some(_) => Found::Other,
    }
}

const TCP_TIME_WAIT: u8 = 6;
const TCP_LISTEN: u8 = 10;

fn ask<'a>(netlink: &'a mut Netlink, key: &SocketKey, cookie: u64) -> io::Result<&'a [u8]> {
    netlink.ask(SOCK_DIAG_BY_FAMILY, &request(key, cookie))
}

/// `struct inet_diag_req_v2`.
fn request(key: &SocketKey, cookie: u64) -> Vec<u8> {
    let bit = |attribute: u16| 1_u8 << (attribute - 1);
    let family = if key.local.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let (protocol, extensions) = match key.proto {
        SocketProto::Tcp => (
            libc::IPPROTO_TCP,
            bit(INET_DIAG_INFO) | bit(INET_DIAG_CONG) | bit(INET_DIAG_SKMEMINFO),
        ),
        SocketProto::Udp => (libc::IPPROTO_UDP, bit(INET_DIAG_SKMEMINFO)),
    };
    let mut request = vec![family as u8, protocol as u8, extensions, 0];
    request.extend(u32::MAX.to_ne_bytes());
    // For UDP the kernel has them the other way round, "for historical reasons" (`udp_dump_one`).
    let ends = match key.proto {
        SocketProto::Tcp => [&key.local, &key.remote],
        SocketProto::Udp => [&key.remote, &key.local],
    };
    for end in ends {
        request.extend(end.port().to_be_bytes());
    }
    for end in ends.map(SocketAddr::ip) {
        let mut address = [0; 16];
        match end {
            IpAddr::V4(v4) => address[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => address.copy_from_slice(&v6.octets()),
        }
        request.extend(address);
    }
    let scope = |end: &SocketAddr| match end {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    request.extend(scope(&key.remote).max(scope(&key.local)).to_ne_bytes());
    // Two words, the lower one first (`sock_diag_save_cookie`).
    request.extend((cookie as u32).to_ne_bytes());
    request.extend(((cookie >> 32) as u32).to_ne_bytes());
    request
}

/// `struct inet_diag_msg` and its attributes.
fn fill(body: &[u8], key: &SocketKey, sample: &mut SocketSample) {
    let Some(state) = u8_at(body, 1).filter(|_| body.len() >= FIXED) else {
        sample.why = Some("the answer of the kernel is too short".to_owned());
        return;
    };
    // Without a connection the kernel falls back on whoever listens (`__inet_lookup`).
    if state == TCP_LISTEN && key.remote.port() != 0 {
        sample.found = Found::NotFound;
        return;
    }
    sample.found = if state == TCP_TIME_WAIT {
        Found::TimeWait
    } else {
        Found::Yes
    };
    sample.state = TcpState::from_number(state.into()).map(|state| state.name().to_owned());
    sample.timer = u8_at(body, 2).and_then(timer_name).map(|kind| Timer {
        kind: kind.to_owned(),
        expires_ms: u32_at(body, 52).unwrap_or_default(),
        retrans: u8_at(body, 3).unwrap_or_default(),
    });
    sample.recv_queue_bytes = u32_at(body, 56);
    sample.send_queue_bytes = u32_at(body, 60);
    sample.uid = u32_at(body, 64);
    // A socket that no process holds any more has none.
    sample.inode = u32_at(body, 68).filter(|inode| *inode != 0);
    for (attribute, value) in Attributes::after(body, FIXED) {
        match attribute {
            INET_DIAG_INFO => sample.tcp = Some(tcp_info::parse(value)),
            INET_DIAG_CONG => sample.congestion = Some(text(value)),
            INET_DIAG_SKMEMINFO => sample.memory = memory(value),
            _ => {}
        }
    }
}

/// As ss(8) writes them.
fn timer_name(number: u8) -> Option<&'static str> {
    match number {
        1 => Some("on"),
        2 => Some("keepalive"),
        3 => Some("timewait"),
        4 => Some("persist"),
        _ => None,
    }
}

fn memory(value: &[u8]) -> Option<Memory> {
    let word = |at: usize| u32_at(value, 4 * at);
    Some(Memory {
        rmem_alloc_bytes: word(0)?,
        rcvbuf_bytes: word(1)?,
        wmem_alloc_bytes: word(2)?,
        sndbuf_bytes: word(3)?,
        fwd_alloc_bytes: word(4)?,
        wmem_queued_bytes: word(5)?,
        optmem_bytes: word(6)?,
        backlog_bytes: word(7)?,
        drops: word(8),
    })
}

#[cfg(test)]
mod tests;
