//! What applications do by the clock: requests, steady senders, servers of many clients, clients that try again.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{Backlog, MsgFlags, SockaddrStorage, listen, recv, send, sendto};

use super::Peer;

impl Peer {
    /// Commands of this file; `None`: none of them.
    pub fn traffic(&mut self, words: &[&str]) -> Option<Result<String>> {
        Some(match *words {
            ["trickle", name, count, bytes, gap_ms] => self.trickle(name, count, bytes, gap_ms),
            ["ask", name, count, bytes, gap_ms] => self.requests(name, count, bytes, gap_ms),
            ["pump-or-eagain", name, bytes] => self.pump_or_eagain(name, bytes),
            ["offer", name, count, bytes, gap_ms] => self.offer(name, count, bytes, gap_ms),
            ["write-when-ready", name, total, piece] => self.write_when_ready(name, total, piece),
            ["sip", name, count, bytes, gap_ms] => self.sip(name, count, bytes, gap_ms),
            ["proxy", listener, to] => self.proxy(listener, to),
            ["serve", listener, manner] => self.serve(listener, manner),
            ["retry", to, count, gap_ms, patience_ms] => retry(to, count, gap_ms, patience_ms),
            ["queries", to, count, bytes, gap_ms] => queries(to, count, bytes, gap_ms),
            ["listen", name, backlog] => self.listen(name, backlog),
            ["pause", ms] => pause(ms),
            ["spin", ms] => spin(ms),
            ["background", comm, ref command @ ..] => self.background(comm, command),
            ["join"] => self.join(),
            _ => return None,
        })
    }

    /// Sends of this size at this distance; the first failure ends them.
    fn trickle(&self, name: &str, count: &str, bytes: &str, gap_ms: &str) -> Result<String> {
        let (data, count, mut clock) = (
            vec![b'x'; bytes.parse()?],
            count.parse()?,
            Clock::new(gap_ms)?,
        );
        for _ in 0..count {
            self.all(name, &data)?;
            clock.wait();
        }
        Ok(count.to_string())
    }

    /// Requests that are answered with as many bytes; says how long the slowest took.
    fn requests(&self, name: &str, count: &str, bytes: &str, gap_ms: &str) -> Result<String> {
        let (data, count, mut clock) = (
            vec![b'x'; bytes.parse()?],
            count.parse()?,
            Clock::new(gap_ms)?,
        );
        let (mut answer, mut slowest) = (vec![0; data.len()], Duration::ZERO);
        for _ in 0..count {
            let begun = Instant::now();
            self.all(name, &data)?;
            let mut missing = data.len();
            while missing > 0 {
                match recv(self.fd(name)?, &mut answer[..missing], MsgFlags::empty())? {
                    0 => return Err(Errno::ECONNRESET.into()),
                    bytes => missing -= bytes,
                }
            }
            slowest = slowest.max(begun.elapsed());
            clock.wait();
        }
        Ok(format!("{count} slowest_ms={}", slowest.as_millis()))
    }

    /// Reads at most this much at this distance: a reader who takes his time.
    fn sip(&self, name: &str, count: &str, bytes: &str, gap_ms: &str) -> Result<String> {
        let (mut room, mut clock, mut total) = (vec![0; bytes.parse()?], Clock::new(gap_ms)?, 0);
        for _ in 0..count.parse::<u64>()? {
            total += recv(self.fd(name)?, &mut room, MsgFlags::empty())?;
            clock.wait();
        }
        Ok(total.to_string())
    }

    /// Sends until all is taken, or SO_SNDTIMEO ran out with nothing taken: how much was.
    fn pump_or_eagain(&self, name: &str, bytes: &str) -> Result<String> {
        let (data, bytes, mut sent) = (vec![b'x'; 1 << 16], bytes.parse::<usize>()?, 0);
        while sent < bytes {
            match send(self.fd(name)?, &data, MsgFlags::MSG_NOSIGNAL) {
                Ok(taken) => sent += taken,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(sent.to_string())
    }

    /// Offers this much at this distance and waits for nothing: how often there was no room.
    fn offer(&self, name: &str, count: &str, bytes: &str, gap_ms: &str) -> Result<String> {
        let (data, mut clock, mut would_block) =
            (vec![b'x'; bytes.parse()?], Clock::new(gap_ms)?, 0);
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        for _ in 0..count.parse::<u64>()? {
            match send(self.fd(name)?, &data, flags) {
                Ok(_) => {}
                Err(Errno::EAGAIN) => would_block += 1,
                Err(errno) => return Err(errno.into()),
            }
            clock.wait();
        }
        Ok(format!("would_block={would_block}"))
    }

    /// Writes pieces until there is no room, waits until there is, and goes on.
    fn write_when_ready(&self, name: &str, total: &str, piece: &str) -> Result<String> {
        let (data, total): (Vec<u8>, usize) = (vec![b'x'; piece.parse()?], total.parse()?);
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let (mut sent, mut would_block) = (0, 0);
        while sent < total {
            match send(self.fd(name)?, &data, flags) {
                Ok(taken) => sent += taken,
                Err(Errno::EAGAIN) => {
                    would_block += 1;
                    let socket = self.socket(name)?.as_fd();
                    poll(&mut [PollFd::new(socket, PollFlags::POLLOUT)], 20_000u16)?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(format!("would_block={would_block}"))
    }

    fn all(&self, name: &str, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            data = &data[send(self.fd(name)?, data, MsgFlags::MSG_NOSIGNAL)?..];
        }
        Ok(())
    }

    fn listen(&self, name: &str, backlog: &str) -> Result<String> {
        listen(self.socket(name)?, Backlog::new(backlog.parse::<i32>()?)?)?;
        Ok(String::new())
    }

    /// Accepts from now on, each client in a thread of its own, which answers, reads, ignores or resets it.
    fn serve(&self, listener: &str, manner: &str) -> Result<String> {
        let listener = TcpListener::from(self.socket(listener)?.try_clone()?);
        let serve: fn(TcpStream) = match manner {
            "echo" => |client| drop(echo(client)),
            "drain" => |client| drop(std::io::copy(&mut &client, &mut std::io::sink())),
            "hold" => hold,
            "reset" => reset,
            "slow" => slow,
            "late" => late,
            "impatient" => impatient,
            "source" => source,
            _ => bail!("unknown manner {manner}"),
        };
        thread::spawn(move || {
            for client in listener.incoming().map_while(|client| client.ok()) {
                thread::spawn(move || serve(client));
            }
        });
        Ok(String::new())
    }

    /// Accepts from now on, and carries bytes between each client and a server of its own connection.
    fn proxy(&self, listener: &str, to: &str) -> Result<String> {
        let listener = TcpListener::from(self.socket(listener)?.try_clone()?);
        let to: SocketAddr = to.parse()?;
        let carry = |from: &TcpStream, to: &TcpStream| {
            let (mut from, mut to) = (from, to);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        thread::spawn(move || {
            for client in listener.incoming().map_while(|client| client.ok()) {
                thread::spawn(move || {
                    let Ok(upstream) = TcpStream::connect(to) else {
                        return;
                    };
                    thread::scope(|scope| {
                        scope.spawn(|| carry(&client, &upstream));
                        scope.spawn(|| carry(&upstream, &client));
                    });
                });
            }
        });
        Ok(String::new())
    }

    /// Runs a command in a thread of this name, with the sockets that the command names.
    fn background(&mut self, comm: &str, command: &[&str]) -> Result<String> {
        let mut sockets: HashMap<String, OwnedFd> = HashMap::new();
        for word in command {
            if let Some(socket) = self.sockets.get(*word) {
                sockets.insert((*word).to_owned(), socket.try_clone()?);
            }
        }
        let (comm, command) = (std::ffi::CString::new(comm)?, command.join(" "));
        self.threads.push(thread::spawn(move || {
            let mut peer = Peer {
                sockets,
                threads: Vec::new(),
            };
            match nix::sys::prctl::set_name(&comm) {
                Ok(()) => peer.answer(&command),
                Err(errno) => format!("err {} {errno}", errno as i32),
            }
        }));
        Ok(String::new())
    }

    /// What the commands in the background answered.
    fn join(&mut self) -> Result<String> {
        let answers: Option<Vec<_>> = self
            .threads
            .drain(..)
            .map(|thread| thread.join().ok())
            .collect();
        Ok(answers.context("a thread panicked")?.join(" | "))
    }
}

/// A thread of the background, with what its command answers.
pub type Background = JoinHandle<String>;

/// Ticks at a fixed distance; a tick that is late does not move the next.
struct Clock {
    next: Instant,
    gap: Duration,
}

impl Clock {
    fn new(gap_ms: &str) -> Result<Self> {
        let gap = Duration::from_millis(gap_ms.parse()?);
        Ok(Self {
            next: Instant::now() + gap,
            gap,
        })
    }

    fn wait(&mut self) {
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = self
            .next
            .max(Instant::now().checked_sub(self.gap).unwrap_or(self.next))
            + self.gap;
    }
}

/// Connects again and again at fixed times, as clients without backoff or jitter do; each attempt gets so long.
fn retry(to: &str, count: &str, gap_ms: &str, patience_ms: &str) -> Result<String> {
    let (to, count): (SocketAddr, u64) = (to.parse()?, count.parse()?);
    let (mut clock, patience) = (
        Clock::new(gap_ms)?,
        Duration::from_millis(patience_ms.parse()?),
    );
    let mut connected = 0;
    for _ in 0..count {
        if let Ok(stream) = TcpStream::connect_timeout(&to, patience) {
            connected += 1;
            drop(stream);
        }
        clock.wait();
    }
    Ok(format!(
        "connected={connected} failed={}",
        count - connected
    ))
}

/// Datagrams, each from a socket of its own, as a resolver sends them; failures do not end it.
fn queries(to: &str, count: &str, bytes: &str, gap_ms: &str) -> Result<String> {
    let (data, mut clock) = (vec![b'q'; bytes.parse()?], Clock::new(gap_ms)?);
    let (to, count): (SocketAddr, u64) = (to.parse()?, count.parse()?);
    let mut failed = 0;
    for _ in 0..count {
        let socket = super::open(if to.is_ipv4() { "udp4" } else { "udp6" })?;
        let to = SockaddrStorage::from(to);
        failed +=
            u64::from(sendto(socket.as_raw_fd(), &data, &to, MsgFlags::MSG_NOSIGNAL).is_err());
        clock.wait();
    }
    Ok(format!("sent={} failed={failed}", count - failed))
}

fn pause(ms: &str) -> Result<String> {
    thread::sleep(Duration::from_millis(ms.parse()?));
    Ok(String::new())
}

/// Keeps a processor busy.
fn spin(ms: &str) -> Result<String> {
    let end = Instant::now() + Duration::from_millis(ms.parse()?);
    let mut turns = 0u64;
    while Instant::now() < end {
        turns = std::hint::black_box(turns + 1);
    }
    Ok(turns.to_string())
}

fn echo(client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut client, mut room) = (client, vec![0; 1 << 16]);
    loop {
        match client.read(&mut room)? {
            0 => return Ok(()),
            bytes => client.write_all(&room[..bytes])?,
        }
    }
}

/// Never reads; keeps the connection until the process ends.
fn hold(client: TcpStream) {
    thread::park();
    drop(client);
}

/// Takes one message and says farewell with a RST, on purpose.
fn reset(client: TcpStream) {
    let _ = (&client).read(&mut [0; 4096]);
    let _ = scenarios::sys::linger_zero(client.as_fd());
}

/// Reads two kilobytes at a time, and takes a tenth of a second for each.
fn slow(mut client: TcpStream) {
    let mut room = [0; 2048];
    while client.read(&mut room).is_ok_and(|bytes| bytes > 0) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Answers each message as it is, three seconds later.
fn late(mut client: TcpStream) {
    let mut room = [0; 1 << 16];
    while let Ok(bytes @ 1..) = client.read(&mut room) {
        thread::sleep(Duration::from_secs(3));
        if client.write_all(&room[..bytes]).is_err() {
            return;
        }
    }
}

/// Answers, and closes what is idle for a second.
fn impatient(client: TcpStream) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = echo(client);
}

/// Sends without end.
fn source(mut client: TcpStream) {
    let data = vec![b'x'; 1 << 16];
    while client.write_all(&data).is_ok() {}
    let _ = client.shutdown(Shutdown::Both);
}
