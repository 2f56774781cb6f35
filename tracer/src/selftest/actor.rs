//! A process of the self-test: it opens sockets and sends on request, so that the tracer has a real
//! process to name. It ends when its standard input is closed, so also when the self-test is killed.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, BufRead as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::protocol::{Reply, Request};
use tracer_capture::kernel::facts;

/// The longest that an order waits.
const PATIENCE_MS: u16 = 10_000;

/// Obeys until the orders end.
///
/// # Errors
/// When the process cannot become what it is to be, or its orders cannot be read.
pub fn run(comm: &str, uid: Option<u32>) -> anyhow::Result<()> {
    if let Some(uid) = uid {
        // Best effort for the groups: the user is what events show.
        let _ = setgroups(&[]);
        let _ = setgid(Gid::from_raw(uid));
        setuid(Uid::from_raw(uid)).context("cannot become another user")?;
    }
    prctl::set_name(&CString::new(comm)?).context("cannot take a name")?;
    let mut actor = Actor::default();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?).context("an order cannot be read")?;
        let reply = actor
            .obey(request)
            .unwrap_or_else(|error| error.raw_os_error().map_or(Reply::Refused, Reply::Errno));
        writeln!(output, "{}", serde_json::to_string(&reply)?)?;
        output.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Actor {
    sockets: HashMap<String, Socket>,
}

impl Actor {
    fn obey(&mut self, request: Request) -> io::Result<Reply> {
        match request {
            Request::Tcp { name, at } => self.open(name, at, Type::STREAM, Protocol::TCP)?,
            Request::Udp { name, at } => self.open(name, at, Type::DGRAM, Protocol::UDP)?,
            Request::Unix { name } => {
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
                socket.set_nonblocking(true)?;
                self.sockets.insert(name, socket);
            }
            Request::Listen { name } => self.socket(&name)?.listen(16)?,
            Request::Connect { name, to, wait_ms } => return self.connect(&name, to, wait_ms),
            Request::Accept { listener, name } => return self.accept(&listener, name),
            Request::UserTimeout { name, ms } => self
                .socket(&name)?
                .set_tcp_user_timeout(Some(Duration::from_millis(ms.into())))?,
            Request::ReceiveBuffer { name, bytes } => {
                self.socket(&name)?.set_recv_buffer_size(bytes as usize)?;
            }
            Request::SendBuffer { name, bytes } => {
                self.socket(&name)?.set_send_buffer_size(bytes as usize)?;
            }
            Request::Send { name, bytes, to } => {
                let data = vec![b'x'; bytes as usize];
                let socket = self.socket(&name)?;
                let sent = match to {
                    Some(to) => send_to(socket, &data, &to.into())?,
                    None => send(socket, &data)?,
                };
                return Ok(Reply::Number(sent as u64));
            }
            Request::SendUnix { name, bytes, to } => {
                let data = vec![b'x'; bytes as usize];
                let socket = self.socket(&name)?;
                let sent = match to {
                    Some(to) => send_to(socket, &data, &SockAddr::unix(format!("\0{to}"))?)?,
                    None => send(socket, &data)?,
                };
                return Ok(Reply::Number(sent as u64));
            }
            Request::Burst {
                name,
                bytes,
                to,
                count,
            } => {
                let (data, to) = (vec![b'x'; bytes as usize], SockAddr::from(to));
                let socket = self.socket(&name)?;
                let failed = (0..count).filter(|_| send_to(socket, &data, &to).is_err());
                return Ok(Reply::Number(failed.count() as u64));
            }
            Request::Fill {
                name,
                bytes,
                would_block,
            } => return self.fill(&name, bytes, would_block),
            Request::Drain { name } => return self.drain(&name),
            Request::AwaitError { name } => {
                // POLLERR needs no asking for.
                return wait(self.socket(&name)?, PollFlags::empty(), PATIENCE_MS);
            }
            Request::AwaitInput { name } => {
                return wait(self.socket(&name)?, PollFlags::POLLIN, PATIENCE_MS);
            }
            Request::Shutdown { name } => self.socket(&name)?.shutdown(Shutdown::Both)?,
            Request::Abort { name } => {
                let socket = self.sockets.remove(&name).ok_or(Errno::EBADF)?;
                socket.set_linger(Some(Duration::ZERO))?;
            }
            Request::RetransmittedSegments => {
                let segments = facts::retransmitted_segments(Path::new("/"));
                return Ok(segments.map_or(Reply::Refused, Reply::Number));
            }
        }
        Ok(Reply::Done)
    }

    fn socket(&self, name: &str) -> io::Result<&Socket> {
        Ok(self.sockets.get(name).ok_or(Errno::EBADF)?)
    }

    fn open(&mut self, name: String, at: SocketAddr, kind: Type, of: Protocol) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(at), kind, Some(of))?;
        socket.set_nonblocking(true)?;
        if kind == Type::STREAM {
            socket.set_reuse_address(true)?;
            // Small segments leave at once, as the checks count on.
            socket.set_tcp_nodelay(true)?;
        }
        socket.bind(&at.into())?;
        self.sockets.insert(name, socket);
        Ok(())
    }

    fn connect(&self, name: &str, to: SocketAddr, wait_ms: u16) -> io::Result<Reply> {
        let socket = self.socket(name)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            other => return other.map(|()| Reply::Done),
        }
        if wait_ms == 0 {
            return Ok(Reply::Done);
        }
        if wait(socket, PollFlags::POLLOUT, wait_ms)? == Reply::Timeout {
            return Ok(Reply::Timeout);
        }
        match socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(Reply::Done),
        }
    }

    fn accept(&mut self, listener: &str, name: String) -> io::Result<Reply> {
        let listener = self.socket(listener)?;
        if wait(listener, PollFlags::POLLIN, PATIENCE_MS)? == Reply::Timeout {
            return Ok(Reply::Timeout);
        }
        let (socket, _) = listener.accept()?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        self.sockets.insert(name, socket);
        Ok(Reply::Done)
    }

    fn fill(&self, name: &str, bytes: u32, would_block: u32) -> io::Result<Reply> {
        let (socket, data) = (self.socket(name)?, vec![b'x'; bytes as usize]);
        let (mut sends, mut blocked) = (0, 0);
        while blocked < would_block {
            sends += 1;
            match send(socket, &data) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocked += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Reply::Number(sends))
    }

    fn drain(&self, name: &str) -> io::Result<Reply> {
        let socket = self.socket(name)?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut pieces = 0;
        loop {
            match socket.recv(&mut buffer) {
                Ok(0) => break,
                Ok(_) => pieces += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if socket.r#type()? == Type::STREAM {
            // Acknowledges now what is not acknowledged yet, so that the peer does not probe for it.
            socket.set_tcp_quickack(true)?;
        }
        Ok(Reply::Number(pieces))
    }
}

fn send(socket: &Socket, data: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(data, libc::MSG_NOSIGNAL)
}

fn send_to(socket: &Socket, data: &[u8], to: &SockAddr) -> io::Result<usize> {
    socket.send_to_with_flags(data, to, libc::MSG_NOSIGNAL)
}

fn wait(socket: &Socket, for_what: PollFlags, ms: u16) -> io::Result<Reply> {
    let mut fds = [PollFd::new(socket.as_fd(), for_what)];
    match poll(&mut fds, PollTimeout::from(ms))? {
        0 => Ok(Reply::Timeout),
        _ => Ok(Reply::Done),
    }
}
