//! The traffic: what is prepared, and what then runs while the programs are measured.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, connect, send, setsockopt,
    shutdown, socket, sockopt,
};

use crate::place::{FAR, LOSSY_PORT, Place, SILENT_PORT, UNHEARD_PORT, UNSENT_PORT};

/// What is measured, ready to run; what it holds is let go of after the measurement.
pub type Act = Box<dyn FnMut() -> Result<()>>;
/// Makes the sockets of an act.
pub type Prepare = fn(&Place) -> Result<Act>;

const MESSAGE: [u8; 64] = [7; 64];
const SENDS: usize = 1000;
const PACKETS: usize = 500;
const CONNECTIONS: usize = 100;
/// How long lossy connections carry data in one round.
const LOSSY: Duration = Duration::from_millis(200);
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// UDP that arrives: same process, same socket, over the wire.
pub fn udp_sends(place: &Place) -> Result<Act> {
    let to = place.in_far(|| Ok(UdpSocket::bind((FAR, 0))?))?;
    let from = UdpSocket::bind("0.0.0.0:0")?;
    from.connect(to.local_addr()?)?;
    from.send(&MESSAGE)?;
    to.recv(&mut [0; 64])?;
    Ok(Box::new(move || {
        let mut into = [0; 64];
        for _ in 0..SENDS {
            from.send(&MESSAGE)?;
            to.recv(&mut into)?;
        }
        Ok(())
    }))
}

/// TCP that is read: same process, same socket.
pub fn tcp_sends(_: &Place) -> Result<Act> {
    let (mut from, mut to) = pair(&TcpListener::bind((HERE, 0))?)?;
    from.write_all(&MESSAGE)?;
    to.read_exact(&mut [0; 64])?;
    Ok(Box::new(move || {
        let mut into = [0; 64];
        for _ in 0..SENDS {
            from.write_all(&MESSAGE)?;
            to.read_exact(&mut into)?;
        }
        Ok(())
    }))
}

/// Datagrams that are too large, to a destination that each call names: EMSGSIZE.
pub fn oversized(_: &Place) -> Result<Act> {
    let from = UdpSocket::bind((HERE, 0))?;
    let large = vec![0; 70_000];
    Ok(Box::new(move || {
        fail(PACKETS, libc::EMSGSIZE, || from.send_to(&large, (HERE, 9)))
    }))
}

/// A stream that was shut down: EPIPE.
pub fn shut_down(_: &Place) -> Result<Act> {
    let (from, to) = pair(&TcpListener::bind((HERE, 0))?)?;
    shutdown(from.as_raw_fd(), Shutdown::Write)?;
    Ok(Box::new(move || {
        let _open = &to;
        fail(PACKETS, libc::EPIPE, || {
            Ok(send(from.as_raw_fd(), &MESSAGE, MsgFlags::MSG_NOSIGNAL)?)
        })
    }))
}

/// A stream whose reader does not read: EAGAIN.
pub fn full_buffer(_: &Place) -> Result<Act> {
    let (mut from, to) = pair(&TcpListener::bind((HERE, 0))?)?;
    from.set_nonblocking(true)?;
    // Full is full when nothing fits for a while: acknowledgements may still make room.
    let mut full = 0;
    while full < 10 {
        let fits = from.write(&[0; 4096]).is_ok() || from.write(&MESSAGE).is_ok();
        full = if fits { 0 } else { full + 1 };
        if !fits {
            sleep(Duration::from_millis(1));
        }
    }
    Ok(Box::new(move || {
        let _open = &to;
        for _ in 0..PACKETS {
            // Should one fit after all, the counters tell.
            let _ = from.write(&MESSAGE);
        }
        Ok(())
    }))
}

/// Packets that a rule drops when they come in: no socket is known yet.
pub fn unheard(_: &Place) -> Result<Act> {
    let from = UdpSocket::bind((HERE, 0))?;
    from.connect((HERE, UNHEARD_PORT))?;
    Ok(Box::new(move || {
        for _ in 0..PACKETS {
            from.send(&MESSAGE)?;
        }
        Ok(())
    }))
}

/// Packets that a rule drops on their way out: the sender's socket is known.
pub fn unsent(_: &Place) -> Result<Act> {
    let from = UdpSocket::bind((HERE, 0))?;
    from.connect((HERE, UNSENT_PORT))?;
    Ok(Box::new(move || {
        fail(PACKETS, libc::EPERM, || from.send(&MESSAGE))
    }))
}

/// Packets for which the receiving socket has no room.
pub fn no_room(_: &Place) -> Result<Act> {
    let to = UdpSocket::bind((HERE, 0))?;
    setsockopt(&to, sockopt::RcvBuf, &2048)?;
    let from = UdpSocket::bind((HERE, 0))?;
    from.connect(to.local_addr()?)?;
    for _ in 0..64 {
        from.send(&MESSAGE)?;
    }
    Ok(Box::new(move || {
        let _open = &to;
        for _ in 0..PACKETS {
            from.send(&MESSAGE)?;
        }
        Ok(())
    }))
}

/// Streams that lose data on the way.
pub fn lossy(place: &Place) -> Result<Act> {
    let listener = place.in_far(|| Ok(TcpListener::bind((FAR, LOSSY_PORT))?))?;
    let mut pairs = Vec::new();
    for _ in 0..8 {
        let (from, to) = pair(&listener)?;
        from.set_nonblocking(true)?;
        to.set_nonblocking(true)?;
        pairs.push((from, to));
    }
    Ok(Box::new(move || {
        let until = Instant::now() + LOSSY;
        let (chunk, mut into) = ([0; 16 << 10], vec![0; 256 << 10]);
        while Instant::now() < until {
            for (from, to) in &mut pairs {
                // Whatever does not fit is tried again at the next turn.
                let _ = from.write(&chunk);
                let _ = to.read(&mut into);
            }
        }
        Ok(())
    }))
}

/// Closing with SO_LINGER of 0: each side's socket is there when the RST is sent and received.
pub fn resets(_: &Place) -> Result<Act> {
    let listener = TcpListener::bind((HERE, 0))?;
    let mut pairs = Vec::new();
    for _ in 0..CONNECTIONS {
        let (from, to) = pair(&listener)?;
        setsockopt(
            &from,
            sockopt::Linger,
            &libc::linger {
                l_onoff: 1,
                l_linger: 0,
            },
        )?;
        pairs.push((from, to));
    }
    let (mut closing, open): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Ok(Box::new(move || {
        let _open = &open;
        closing.clear();
        Ok(())
    }))
}

/// SYNs that nobody answers.
pub fn connecting(_: &Place) -> Result<Act> {
    let mut sockets = new_sockets()?;
    Ok(Box::new(move || {
        for socket in &mut sockets {
            ensure!(
                start(socket, SILENT_PORT) == Err(Errno::EINPROGRESS),
                "connect to nowhere ended"
            );
        }
        Ok(())
    }))
}

/// Connections that their owner gives up before they were open.
pub fn given_up(_: &Place) -> Result<Act> {
    let mut sockets = new_sockets()?;
    for socket in &sockets {
        ensure!(
            start(socket, SILENT_PORT) == Err(Errno::EINPROGRESS),
            "connect to nowhere ended"
        );
    }
    Ok(Box::new(move || {
        sockets.clear();
        Ok(())
    }))
}

/// Connections to a port where nobody listens.
pub fn refused(_: &Place) -> Result<Act> {
    let sockets = new_sockets()?;
    let listener = TcpListener::bind((HERE, 0))?;
    let port = listener.local_addr()?.port();
    drop(listener);
    Ok(Box::new(move || {
        for socket in &sockets {
            let answer = start(socket, port);
            ensure!(
                matches!(answer, Err(Errno::ECONNREFUSED | Errno::EINPROGRESS)),
                "connect was not refused: {answer:?}"
            );
        }
        Ok(())
    }))
}

/// Connections that open and close as they should.
pub fn whole_lives(_: &Place) -> Result<Act> {
    let listener = TcpListener::bind((HERE, 0))?;
    Ok(Box::new(move || {
        for _ in 0..CONNECTIONS {
            drop(pair(&listener)?);
        }
        Ok(())
    }))
}

fn pair(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let from = TcpStream::connect(listener.local_addr()?)?;
    let (to, _) = listener.accept()?;
    from.set_nodelay(true)?;
    Ok((from, to))
}

fn new_sockets() -> Result<Vec<OwnedFd>> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    (0..CONNECTIONS)
        .map(|_| Ok(socket(AddressFamily::Inet, SockType::Stream, flags, None)?))
        .collect()
}

fn start(socket: &OwnedFd, port: u16) -> nix::Result<()> {
    connect(
        socket.as_raw_fd(),
        &SockaddrIn::from(SocketAddrV4::new(HERE, port)),
    )
}

/// Makes a call that has to fail with this errno every time.
fn fail(times: usize, errno: i32, mut call: impl FnMut() -> std::io::Result<usize>) -> Result<()> {
    for _ in 0..times {
        let error = call().err().context("a send that should fail did not")?;
        ensure!(
            error.raw_os_error() == Some(errno),
            "a send failed in another way than it should: {error}"
        );
    }
    Ok(())
}
