//! A process that does what its standard input says, one command per line, and answers each with one line:
//! `ok …` or `err ERRNO`. Tests need real processes, because who owns a socket is what they are about.
//!
//! `peer [--contained] NETNS [COMMAND…]` enters the namespace; with commands on its command line it runs them and
//! exits. With `--contained` a child in a pid namespace of its own acts, and is killed with its parent.

mod traffic;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, NetlinkAddr, Shutdown,
    SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage,
    UnixAddr, accept4, bind, connect, getsockname, listen, recv, recvmsg, send, sendmsg, sendto,
    setsockopt, shutdown, socket, sockopt,
};
use nix::sys::time::TimeValLike as _;
use scenarios::sys;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--contained").is_some() {
        contain()?;
    }
    let netns = arguments.next().context("usage: peer NETNS [COMMAND…]")?;
    let namespace = File::open(&netns).with_context(|| netns.clone())?;
    nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).context(netns)?;
    drop(namespace);

    let mut peer = Peer::default();
    let commands: Vec<String> = arguments.collect();
    if !commands.is_empty() {
        for command in &commands {
            println!("{}", peer.answer(command));
        }
        return Ok(());
    }
    let mut line = String::new();
    // One byte at a time would be slow, a shared buffer would be copied by fork: a line is read at once,
    // because the test waits for each answer before it sends the next command.
    while std::io::stdin().lock().read_line(&mut line)? > 0 {
        let answer = peer.answer(line.trim_end());
        println!("{answer}");
        std::io::stdout().flush()?;
        line.clear();
    }
    Ok(())
}

/// Forks into a new pid namespace; only the child returns. The parent says `ok pid=N` and waits for it.
fn contain() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)?;
    let Some(child) = sys::fork()? else {
        return Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL)?);
    };
    println!("ok pid={child}");
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None)?;
    std::process::exit(0)
}

#[derive(Default)]
struct Peer {
    sockets: HashMap<String, OwnedFd>,
    threads: Vec<traffic::Background>,
}

impl Peer {
    fn answer(&mut self, command: &str) -> String {
        match self.run(command) {
            Ok(said) => format!("ok {said}").trim_end().to_owned(),
            Err(error) => match error.downcast_ref::<Errno>() {
                Some(errno) => format!("err {} {errno}", *errno as i32),
                None => format!("bad command {command:?}: {error:#}"),
            },
        }
    }

    fn run(&mut self, command: &str) -> Result<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        if let Some(answer) = self.traffic(&words) {
            return answer;
        }
        match words[..] {
            ["hello"] => {}
            ["exit"] => std::process::exit(0),
            ["comm", name] => nix::sys::prctl::set_name(&std::ffi::CString::new(name)?)?,
            ["fork", down, up] => return self.fork(down, up),
            ["open", name, kind] => {
                let fd = open(kind)?;
                self.sockets.insert(name.to_owned(), fd);
            }
            ["isotp", name, interface] => {
                let fd = sys::isotp(nix::net::if_::if_nametoindex(interface)?)?;
                self.sockets.insert(name.to_owned(), fd);
            }
            ["bind", name, at] => bind(self.fd(name)?, &*address(at)?)?,
            ["connect", name, to] => connect(self.fd(name)?, &*address(to)?)?,
            ["listen", name] => listen(self.socket(name)?, Backlog::new(64)?)?,
            ["accept", listener, name] => {
                let fd = accept4(self.fd(listener)?, SockFlag::SOCK_CLOEXEC)?;
                self.sockets.insert(name.to_owned(), sys::adopt(fd));
            }
            ["address", name] => {
                return Ok(getsockname::<SockaddrStorage>(self.fd(name)?)?.to_string());
            }
            ["fd", name] => return Ok(self.fd(name)?.to_string()),
            ["send", name, bytes] => {
                return Ok(send(
                    self.fd(name)?,
                    &vec![b'x'; bytes.parse()?],
                    MsgFlags::MSG_NOSIGNAL,
                )?
                .to_string());
            }
            ["uring-send", name, bytes] => {
                let (data, fd) = (vec![b'x'; bytes.parse()?], self.fd(name)?);
                let (fd, start) = (io_uring::types::Fd(fd), data.as_ptr());
                let entry = io_uring::opcode::Send::new(fd, start, data.len() as u32).build();
                let sent = sys::submit(&mut io_uring::IoUring::new(8)?, &entry)?;
                if sent < 0 {
                    return Err(Errno::from_raw(-sent as i32).into());
                }
                return Ok(sent.to_string());
            }
            // With the time that the call took, also when it fails.
            ["timed-send", name, bytes] => {
                let (fd, data) = (self.fd(name)?, vec![b'x'; bytes.parse()?]);
                let start = std::time::Instant::now();
                let sent = send(fd, &data, MsgFlags::MSG_NOSIGNAL);
                let us = start.elapsed().as_micros();
                return Ok(match sent {
                    Ok(sent) => format!("sent={sent} us={us}"),
                    Err(errno) => format!("errno={} us={us}", errno as i32),
                });
            }
            // As a program does that does not know of MSG_NOSIGNAL.
            ["send-or-die", name, bytes] => {
                sys::die_of_sigpipe()?;
                let data = vec![b'x'; bytes.parse()?];
                return Ok(send(self.fd(name)?, &data, MsgFlags::empty())?.to_string());
            }
            ["send-unmapped", name, bytes] => {
                let sent = sys::send_unmapped(self.socket(name)?.as_fd(), bytes.parse()?)?;
                return Ok(sent.to_string());
            }
            ["sendto", name, bytes, to] => {
                let sent = sendto(
                    self.fd(name)?,
                    &vec![b'x'; bytes.parse()?],
                    &*address(to)?,
                    MsgFlags::MSG_NOSIGNAL,
                )?;
                return Ok(sent.to_string());
            }
            ["sendmsg", name, bytes, to] => {
                let data = vec![b'x'; bytes.parse()?];
                let to = SockaddrStorage::from(to.parse::<SocketAddr>()?);
                let parts = [std::io::IoSlice::new(&data)];
                return Ok(sendmsg(
                    self.fd(name)?,
                    &parts,
                    &[],
                    MsgFlags::MSG_NOSIGNAL,
                    Some(&to),
                )?
                .to_string());
            }
            ["pump", name, bytes] => return self.pump(name, bytes.parse()?),
            ["fill", name, bytes] => return self.fill(name, bytes.parse()?),
            ["flood", name, count, bytes, to] => {
                return self.flood(name, count.parse()?, bytes.parse()?, to);
            }
            ["recv", name] => {
                return Ok(
                    recv(self.fd(name)?, &mut vec![0; 65536], MsgFlags::empty())?.to_string(),
                );
            }
            ["drain-bytes", name, bytes] => {
                let mut left = bytes.parse::<usize>()?;
                while left > 0 {
                    match recv(self.fd(name)?, &mut vec![0; 65536], MsgFlags::empty())? {
                        0 => bail!("{left} bytes are missing"),
                        bytes => left -= bytes.min(left),
                    }
                }
            }
            ["drain", name] => return self.drain(name),
            // Takes what is there without waiting for more.
            ["empty", name] => {
                let mut room = vec![0; 65536];
                while recv(self.fd(name)?, &mut room, MsgFlags::MSG_DONTWAIT).is_ok() {}
            }
            ["await-error", name] => self.await_error(name)?,
            ["interruptible", restart] => sys::interruptible(restart == "restart")?,
            ["send-timeout", name, ms] => {
                let timeout = nix::sys::time::TimeVal::milliseconds(ms.parse()?);
                setsockopt(self.socket(name)?, sockopt::SendTimeout, &timeout)?
            }
            // Errors of packets that are gone come back, those of queues of this host too.
            ["recverr4", name] => {
                self.option(name, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
            }
            ["recverr6", name] => {
                self.option(name, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
            }
            ["no-fragments4", name] => {
                let value = libc::IP_PMTUDISC_DO;
                self.option(name, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)?;
            }
            ["no-fragments6", name] => {
                let value = libc::IPV6_PMTUDISC_DO;
                self.option(name, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)?;
            }
            ["nonblock", name] => {
                let flags = nix::fcntl::OFlag::O_NONBLOCK;
                nix::fcntl::fcntl(self.socket(name)?, nix::fcntl::FcntlArg::F_SETFL(flags))?;
            }
            ["block", name] => {
                let flags = nix::fcntl::OFlag::empty();
                nix::fcntl::fcntl(self.socket(name)?, nix::fcntl::FcntlArg::F_SETFL(flags))?;
            }
            ["linger0", name] => sys::linger_zero(self.socket(name)?.as_fd())?,
            ["user-timeout", name, ms] => self.tcp_option(name, libc::TCP_USER_TIMEOUT, ms)?,
            ["syn-retries", name, count] => self.tcp_option(name, libc::TCP_SYNCNT, count)?,
            // The next connect only remembers where to: the first send takes its data along in the SYN.
            ["fast-open", name] => self.tcp_option(name, libc::TCP_FASTOPEN_CONNECT, "1")?,
            ["no-delay", name] => self.tcp_option(name, libc::TCP_NODELAY, "1")?,
            ["sndbuf", name, bytes] => {
                setsockopt(self.socket(name)?, sockopt::SndBuf, &bytes.parse()?)?
            }
            ["rcvbuf", name, bytes] => {
                setsockopt(self.socket(name)?, sockopt::RcvBuf, &bytes.parse()?)?
            }
            // Numbers of setsockopt(2).
            ["option", name, level, option, value] => {
                self.option(name, level.parse()?, option.parse()?, value.parse()?)?;
            }
            // A filter that lets nothing in.
            ["deaf", name] => sys::refuse_all(self.socket(name)?.as_fd())?,
            ["device", name, interface] => {
                let interface = interface.into();
                setsockopt(self.socket(name)?, sockopt::BindToDevice, &interface)?;
            }
            // The other end of a tun(4) device, which nobody reads.
            ["tun", name, interface] => {
                let tun = sys::tun(interface)?;
                self.sockets.insert(name.to_owned(), tun);
            }
            ["shutdown-write", name] => shutdown(self.fd(name)?, Shutdown::Write)?,
            ["shutdown", name] => shutdown(self.fd(name)?, Shutdown::Both)?,
            ["close", name] => drop(self.sockets.remove(name).context("no such socket")?),
            ["give", channel, name] => self.give(channel, name)?,
            ["take", channel, name] => self.take(channel, name)?,
            _ => bail!("unknown"),
        }
        Ok(String::new())
    }

    fn socket(&self, name: &str) -> Result<&OwnedFd> {
        self.sockets
            .get(name)
            .with_context(|| format!("no socket {name}"))
    }

    fn fd(&self, name: &str) -> Result<RawFd> {
        Ok(self.socket(name)?.as_raw_fd())
    }

    fn tcp_option(&self, name: &str, option: i32, value: &str) -> Result<()> {
        self.option(name, libc::IPPROTO_TCP, option, value.parse()?)
    }

    fn option(&self, name: &str, level: i32, option: i32, value: i32) -> Result<()> {
        let socket = self.socket(name)?.as_fd();
        Ok(sys::set_option(socket, level, option, value)?)
    }

    /// Waits until the socket has an error to tell, without taking it.
    fn await_error(&self, name: &str) -> Result<()> {
        use nix::poll::{PollFd, PollFlags, poll};
        let mut socket = [PollFd::new(self.socket(name)?.as_fd(), PollFlags::empty())];
        if poll(&mut socket, 20_000u16)? == 0 {
            bail!("no error within 20 s");
        }
        Ok(())
    }

    /// The child goes on with commands from one fifo and answers to the other.
    fn fork(&mut self, down: &str, up: &str) -> Result<String> {
        if let Some(child) = sys::fork()? {
            return Ok(child.to_string());
        }
        nix::unistd::dup2_stdin(File::open(down)?)?;
        nix::unistd::dup2_stdout(File::options().write(true).open(up)?)?;
        // The answer to the fork is the parent's; the child's first answer is to its first command.
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            std::process::exit(0);
        }
        self.run(line.trim_end())
    }

    /// Blocking sends until all is taken.
    fn pump(&self, name: &str, bytes: usize) -> Result<String> {
        let data = vec![b'x'; 65536];
        let mut left = bytes;
        while left > 0 {
            left -= send(
                self.fd(name)?,
                &data[..left.min(data.len())],
                MsgFlags::MSG_NOSIGNAL,
            )?;
        }
        Ok(bytes.to_string())
    }

    /// Sends pieces of this size, without blocking, until 50 of them found no room.
    fn fill(&self, name: &str, bytes: usize) -> Result<String> {
        let (data, fd) = (vec![b'x'; bytes], self.fd(name)?);
        let (mut partial, mut not_taken, mut would_block, mut sent) = (0, 0, 0, 0);
        while would_block < 50 {
            match send(fd, &data, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(taken) => {
                    sent += taken;
                    if taken < bytes {
                        partial += 1;
                        not_taken += bytes - taken;
                    }
                }
                Err(Errno::EAGAIN) => would_block += 1,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(format!(
            "would_block={would_block} partial={partial} not_taken={not_taken} sent={sent}"
        ))
    }

    /// Datagrams as fast as the kernel takes or refuses them.
    fn flood(&self, name: &str, count: u64, bytes: usize, to: &str) -> Result<String> {
        let (data, fd, to) = (vec![b'x'; bytes], self.fd(name)?, address(to)?);
        let failed = (0..count)
            .filter(|_| sendto(fd, &data, &*to, MsgFlags::MSG_DONTWAIT).is_err())
            .count();
        Ok(format!("sent={} failed={failed}", count - failed as u64))
    }

    fn drain(&self, name: &str) -> Result<String> {
        let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
        loop {
            match recv(self.fd(name)?, &mut buffer, MsgFlags::empty())? {
                0 => return Ok(total.to_string()),
                bytes => total += bytes,
            }
        }
    }

    fn give(&self, channel: &str, name: &str) -> Result<()> {
        let fds = [self.fd(name)?];
        let parts = [std::io::IoSlice::new(b"x")];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(self.fd(channel)?, &parts, &rights, MsgFlags::empty(), None)?;
        Ok(())
    }

    fn take(&mut self, channel: &str, name: &str) -> Result<()> {
        let mut byte = [0];
        let mut parts = [std::io::IoSliceMut::new(&mut byte)];
        let mut space = nix::cmsg_space!(RawFd);
        let message = recvmsg::<()>(
            self.fd(channel)?,
            &mut parts,
            Some(&mut space),
            MsgFlags::empty(),
        )?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                for fd in fds {
                    self.sockets.insert(name.to_owned(), sys::adopt(fd));
                }
            }
        }
        Ok(())
    }
}

fn open(kind: &str) -> Result<OwnedFd> {
    use AddressFamily as Family;
    use SockType::{Datagram, Raw, Stream};
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(match kind {
        "tcp4" => socket(Family::Inet, Stream, flags, None)?,
        "tcp6" => socket(Family::Inet6, Stream, flags, None)?,
        "udp4" => socket(Family::Inet, Datagram, flags, None)?,
        "udp6" => socket(Family::Inet6, Datagram, flags, None)?,
        "raw4" => socket(Family::Inet, Raw, flags, SockProtocol::Icmp)?,
        "raw6" => socket(Family::Inet6, Raw, flags, SockProtocol::IcmpV6)?,
        "unix-stream" => socket(Family::Unix, Stream, flags, None)?,
        "unix-seqpacket" => socket(Family::Unix, SockType::SeqPacket, flags, None)?,
        "unix-dgram" => socket(Family::Unix, Datagram, flags, None)?,
        "packet" => socket(Family::Packet, Raw, flags, None)?,
        "netlink" => socket(Family::Netlink, Raw, flags, SockProtocol::NetlinkUserSock)?,
        _ => bail!("unknown kind {kind}"),
    })
}

/// `10.0.0.1:80`, `[fd99::1]:80`, `netlink:PORTID`, `/a/unix/path`.
fn address(text: &str) -> Result<Box<dyn SockaddrLike>> {
    if let Some(port) = text.strip_prefix("netlink:") {
        return Ok(Box::new(NetlinkAddr::new(port.parse()?, 0)));
    }
    if text.starts_with('/') {
        return Ok(Box::new(UnixAddr::new(text)?));
    }
    Ok(match text.parse()? {
        SocketAddr::V4(v4) => Box::new(SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => Box::new(SockaddrIn6::from(v6)),
    })
}
