//! Sends that fail.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use scenarios::paths::{End, SendReport, Sends};

use crate::sockets::{V4, end};
use crate::{Job, call, calls, sockets, sys};

/// Nobody may send more often than this while it waits for its failures.
const LIMIT: usize = 2000;

/// Runs one path.
pub fn run(failure: &str, job: Job) -> Result<SendReport> {
    match failure {
        "UDP refused" => refused(job),
        "EFAULT" => bad_address(job),
        "EAGAIN" => would_block(job),
        "UDP unreachable" => unreachable(job),
        "TCP fast open" => calls::connections(job, nobody()),
        _ => bail!("unknown failure {failure:?}"),
    }
}

/// An address where nobody listens, and of which no other path can have learnt a cookie for fast open.
fn nobody() -> End {
    End::Is("127.0.0.2:9".to_owned())
}

/// A send to a closed port is answered by ICMP, and the next one fails for it.
fn refused(job: Job) -> Result<SendReport> {
    let socket = UdpSocket::bind(V4)?;
    socket.connect("127.0.0.2:9")?;
    let flow = ("udp", end(socket.local_addr()?), nobody());
    let fd = OwnedFd::from(socket);
    until(job, -i64::from(libc::ECONNREFUSED), |data| {
        sys::send(&fd, data, 0)
    })
    .map(|calls| SendReport::of(flow, calls))
}

/// The memory cannot be read: on a stream and on datagrams.
fn bad_address(job: Job) -> Result<SendReport> {
    let pairs = [sockets::tcp(V4)?, sockets::udp(V4)?];
    Ok(SendReport {
        sends: pairs
            .iter()
            .map(|pair| {
                let calls = job.each(|data| sys::send_nothing(&pair.socket, data.len()));
                Sends::of(pair.flow(), calls)
            })
            .collect(),
        ..SendReport::default()
    })
}

/// Fills the buffers of a connection, then goes on.
fn would_block(job: Job) -> Result<SendReport> {
    let listener = TcpListener::bind(V4)?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let (local, remote) = (end(stream.local_addr()?), end(stream.peer_addr()?));
    let fd = OwnedFd::from(stream);
    let small = 4096i32.to_ne_bytes();
    sys::set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &small)?;
    let large = Job {
        size: job.size + 20_000,
        ..job
    };
    until(large, -i64::from(libc::EAGAIN), |data| {
        sys::send(&fd, data, libc::MSG_DONTWAIT)
    })
    .map(|calls| SendReport::of(("tcp", local, remote), calls))
}

fn unreachable(job: Job) -> Result<SendReport> {
    let socket = UdpSocket::bind(V4)?;
    let local = end(socket.local_addr()?);
    // TEST-NET-3: no route leads there.
    let remote = End::Is("203.0.113.9:9".to_owned());
    let (fd, to) = (OwnedFd::from(socket), calls::inet(&remote)?);
    let calls = job.each(|data| sys::sendto(&fd, data, &to, 0));
    Ok(SendReport::of(("udp", local, remote), calls))
}

/// Sends until as many as the job wants failed in this way.
fn until(
    job: Job,
    wanted: i64,
    send: impl Fn(&[u8]) -> i64,
) -> Result<Vec<scenarios::paths::Call>> {
    let mut calls = Vec::new();
    let mut failed = 0;
    while failed < job.count {
        let data = job.data(calls.len());
        let result = send(&data);
        failed += usize::from(result == wanted);
        calls.push(call(&data, result));
        if calls.len() > LIMIT {
            bail!("only {failed} of {LIMIT} sends failed with {wanted}");
        }
    }
    Ok(calls)
}
