//! An RPC server that knows just enough to be asked: it answers NULL and MNT, and refuses all else.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MOUNT: u32 = 100_005;
const MNT: u32 = 1;
const NULL: u32 = 0;
const AUTH_UNIX: u32 = 1;
const NFS3ERR_STALE: u32 = 70;
const NFS4ERR_MINOR_VERS_MISMATCH: u32 = 10021;
/// "This is the last fragment" in a record mark.
const LAST: u32 = 1 << 31;

/// What one client sent, and what it got.
pub struct Exchange {
    pub proto: &'static str,
    pub client: SocketAddr,
    /// Bytes of each call as it was sent: record mark included.
    pub calls: Vec<usize>,
    pub replies: Vec<usize>,
}

/// A server on one port of loopback, over TCP and UDP.
pub struct Server {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Exchange>>>,
}

impl Server {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let datagrams = UdpSocket::bind(address)?;
        let calls = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut serving = Serving {
            listener,
            datagrams,
            connections: Vec::new(),
            exchanges: BTreeMap::new(),
            calls: Arc::clone(&calls),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                serving.turn()?;
            }
            Ok(serving.exchanges.into_values().collect())
        });
        Ok(Self {
            address,
            calls,
            stop,
            thread,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many calls have arrived.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }

    pub fn stop(self) -> Result<Vec<Exchange>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the server does not panic")
    }
}

struct Serving {
    listener: TcpListener,
    datagrams: UdpSocket,
    connections: Vec<TcpStream>,
    exchanges: BTreeMap<(&'static str, SocketAddr), Exchange>,
    calls: Arc<AtomicUsize>,
}

impl Serving {
    /// Waits a moment for something to do, and does it.
    fn turn(&mut self) -> Result<()> {
        let fds = [self.listener.as_fd(), self.datagrams.as_fd()];
        let streams = self.connections.iter().map(AsFd::as_fd);
        let mut fds: Vec<_> = fds
            .into_iter()
            .chain(streams)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        poll(&mut fds, PollTimeout::from(20u8)).context("poll")?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready[0] {
            self.connections.push(self.listener.accept()?.0);
        }
        if ready[1] {
            self.datagram()?;
        }
        // From the end, so that the numbers of those before stay what they were.
        for index in (0..ready.len() - 2).rev() {
            if ready[index + 2] && !self.record(index)? {
                self.connections.remove(index);
            }
        }
        Ok(())
    }

    fn datagram(&mut self) -> Result<()> {
        let mut call = vec![0; 65536];
        let (len, client) = self.datagrams.recv_from(&mut call)?;
        let reply = answer(&call[..len])?;
        // Counted before it is answered: when the mount returns, the count is complete.
        self.note("udp", client, len, reply.len());
        let sent = self.datagrams.send_to(&reply, client)?;
        ensure!(sent == reply.len(), "a reply was cut to {sent} bytes");
        Ok(())
    }

    /// One call of a connection; false when it has ended.
    fn record(&mut self, index: usize) -> Result<bool> {
        let mut stream = &self.connections[index];
        let mut mark = [0; 4];
        match stream.read_exact(&mut mark) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error).context("a record mark"),
        }
        let mark = u32::from_be_bytes(mark);
        ensure!(mark & LAST != 0, "a call in several fragments");
        let mut call = vec![0; (mark & !LAST) as usize];
        stream.read_exact(&mut call).context("a call")?;
        let body = answer(&call)?;
        let mut reply = (LAST | body.len() as u32).to_be_bytes().to_vec();
        reply.extend(body);
        let client = stream.peer_addr()?;
        self.note("tcp", client, call.len() + 4, reply.len());
        let sent = (&self.connections[index])
            .write(&reply)
            .context("a reply")?;
        ensure!(sent == reply.len(), "a reply was cut to {sent} bytes");
        Ok(true)
    }

    fn note(&mut self, proto: &'static str, client: SocketAddr, call: usize, reply: usize) {
        let exchange = self
            .exchanges
            .entry((proto, client))
            .or_insert_with(|| Exchange {
                proto,
                client,
                calls: Vec::new(),
                replies: Vec::new(),
            });
        exchange.calls.push(call);
        exchange.replies.push(reply);
        self.calls.fetch_add(1, Ordering::Release);
    }
}

/// RFC 5531: transaction, CALL, version 2, program, version, procedure; the reply is accepted, without
/// verifier, successful, and then the procedure's own.
fn answer(call: &[u8]) -> Result<Vec<u8>> {
    let word = |index: usize| -> Result<u32> {
        match call.get(index * 4..index * 4 + 4) {
            Some(&[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d])),
            _ => bail!("a call of {} bytes", call.len()),
        }
    };
    let (program, version, procedure) = (word(3)?, word(4)?, word(5)?);
    let body: &[u32] = match (program, version, procedure) {
        (_, _, NULL) => &[],
        // A file handle of eight bytes, and one way to prove who one is.
        (MOUNT, _, MNT) => &[0, 8, 1, 1, 1, AUTH_UNIX],
        (MOUNT, _, _) => &[],
        // A status, an empty tag, and no results of operations.
        (_, 4, _) => &[NFS4ERR_MINOR_VERS_MISMATCH, 0, 0],
        // A status, and no attributes.
        _ => &[NFS3ERR_STALE, 0],
    };
    let head = [word(0)?, 1, 0, 0, 0, 0];
    Ok(head
        .iter()
        .chain(body)
        .flat_map(|word| word.to_be_bytes())
        .collect())
}
