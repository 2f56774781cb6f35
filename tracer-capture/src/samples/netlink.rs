//! Questions to the kernel over netlink, and the shape of its messages (RFC 3549, netlink(7)).
//!
//! What a message says is read attribute by attribute: one that is shorter, longer or newer than what is known
//! here costs itself alone, where a decoder of whole messages would refuse all of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use netlink_sys::{Socket, SocketAddr};

/// Larger than any message of a dump, which the kernel cuts at 32 KiB (`netlink_dump`).
const ROOM: usize = 64 * 1024;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// A socket for questions, in the network namespace in which it was opened.
///
/// The kernel answers while it is asked: `send` returns with the first answer, or the first part of a dump,
/// waiting, and each part that is taken brings the next. So nothing is ever waited for.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// `protocol` is `NETLINK_ROUTE` or another one of its kind.
    pub fn open(protocol: i32) -> io::Result<Self> {
        let mut socket = Socket::new(protocol as isize)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(ROOM),
        })
    }

    /// Gives each message of the answer to `each`: type and body.
    ///
    /// # Errors
    /// What the kernel refuses with, and a dump that ends too early. What came before was given to `each`.
    pub fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.send(kind, libc::NLM_F_DUMP as u16, body)?;
        let ended = self.parts(&mut each);
        if ended.is_err() {
            // What is left of a dump that broke off would stand in the way of the next (EBUSY).
            let mut left = 0..10_000;
            while left.next().is_some() && self.receive().is_ok() {}
        }
        ended
    }

    /// Gives messages of the answer to `each` until it says that it has enough; the socket is closed, which ends the
    /// dump in the kernel.
    ///
    /// # Errors
    /// As [`Self::dump`].
    pub fn dump_some(
        mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> bool,
    ) -> io::Result<()> {
        let mut more = true;
        self.send(kind, libc::NLM_F_DUMP as u16, body)?;
        while more {
            self.receive()?;
            for message in Messages(&self.buffer) {
                if message.sequence != self.sequence {
                    continue;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => return error_of(message.body),
                    libc::NLMSG_NOOP => {}
                    _ => more = more && each(message.kind, message.body),
                }
            }
        }
        Ok(())
    }

    fn parts(&mut self, each: &mut impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut ended = None;
        while ended.is_none() {
            self.receive()?;
            for message in Messages(&self.buffer) {
                if message.sequence != self.sequence || ended.is_some() {
                    continue;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => ended = Some(error_of(message.body)),
                    libc::NLMSG_NOOP => {}
                    _ => each(message.kind, message.body),
                }
            }
        }
        ended.unwrap_or(Ok(()))
    }

    /// The body of the only message of the answer.
    ///
    /// # Errors
    /// What the kernel refuses with.
    pub fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<&[u8]> {
        self.send(kind, 0, body)?;
        loop {
            self.receive()?;
            let ours = |message: &Message<'_>| message.sequence == self.sequence;
            if Messages(&self.buffer).any(|message| ours(&message)) {
                break;
            }
        }
        let sequence = self.sequence;
        let answer = Messages(&self.buffer).find(|message| message.sequence == sequence);
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        if i32::from(answer.kind) == libc::NLMSG_ERROR {
            error_of(answer.body)?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.body)
    }

    /// Has something made or changed; `flags` are those of `NLM_F_…` beside that of the answer.
    ///
    /// # Errors
    /// What the kernel refuses with.
    pub fn tell(&mut self, kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
        self.send(kind, (flags | libc::NLM_F_ACK) as u16, body)?;
        loop {
            self.receive()?;
            let mut messages = Messages(&self.buffer);
            if let Some(answer) = messages.find(|message| message.sequence == self.sequence) {
                return error_of(answer.body);
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body);
        self.socket.send(&message, 0).map(drop)
    }

    fn receive(&mut self) -> io::Result<()> {
        receive(&self.socket, &mut self.buffer).map(drop)
    }
}

/// A socket that receives announcements of changes.
pub struct Listener {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Listener {
    /// `groups` are `RTNLGRP_…` of linux/rtnetlink.h.
    pub fn open(groups: &[u32]) -> io::Result<Self> {
        let mut socket = Socket::new(libc::NETLINK_ROUTE as isize)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        for group in groups {
            socket.add_membership(*group)?;
        }
        // A burst of routes must not overrun it between two looks. Best effort: an overrun is reported.
        let _ = nix::sys::socket::setsockopt(
            &borrowed(&socket),
            nix::sys::socket::sockopt::RcvBufForce,
            &(1 << 20),
        );
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(ROOM),
        })
    }

    /// To wait for the next change.
    pub fn fd(&self) -> BorrowedFd<'_> {
        borrowed(&self.socket)
    }

    /// Type and body of each message of the next datagram; false when there is none yet.
    ///
    /// # Errors
    /// ENOBUFS when some were lost since the last call.
    pub fn next(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<bool> {
        let from_kernel = match receive(&self.socket, &mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            other => other?,
        };
        // A process with CAP_NET_ADMIN could write to the group too.
        if from_kernel {
            Messages(&self.buffer).for_each(|message| each(message.kind, message.body));
        }
        Ok(true)
    }
}

fn borrowed(socket: &Socket) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(socket)
}

/// Whether the datagram came from the kernel.
fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        buffer.clear();
        match socket.recv_from(buffer, libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok((_, from)) => return Ok(from.port_number() == 0),
        }
    }
}

/// The code of NLMSG_ERROR and NLMSG_DONE: 0, or a negative errno.
fn error_of(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map(u32::cast_signed) {
        Some(code) if code < 0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Ok(()),
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of a datagram; ends at the first that is not whole.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            sequence: u32_at(self.0, 8)?,
            body: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// The attributes of a message after its fixed part: type without flags, and value. Ends at the first that
/// is not whole.
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// Those of a message whose fixed part has `skip` bytes.
    pub fn after(body: &'a [u8], skip: usize) -> Self {
        Self(body.get(skip.next_multiple_of(4)..).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
        const FLAGS: u16 = 0xc000;
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & !FLAGS;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

/// A text that ends at its first NUL.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// 4 or 16 bytes.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(v6).into())
}

/// A link-layer address as `ip` writes it.
pub fn link_address(bytes: &[u8]) -> Option<String> {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (!bytes.is_empty() && bytes.len() <= 32).then(|| digits.join(":"))
}

/// One attribute with its padding; a value has less than 64 KiB.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
pub mod build {
    //! Messages for tests.

    pub use super::attribute;

    /// Each prefix of a message, and the message with each byte turned over: a parser must survive them all.
    pub fn hostile(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let prefixes = (0..message.len()).map(|end| message[..end].to_vec());
        let turned = (0..message.len()).flat_map(|at| {
            [0x00, 0x01, 0x7f, 0x80, 0xff].map(|byte| {
                let mut copy = message.to_vec();
                copy[at] = byte;
                copy
            })
        });
        prefixes.chain(turned)
    }
}

#[cfg(test)]
mod tests;
