//! pcapng: packets that Wireshark opens, rebuilt from what is known of each event.
//!
//! The format is that of draft-ietf-opsawg-pcapng, in little-endian: a section header, an interface per host and
//! network namespace when it is first needed, and a packet per event with the event's line of text as comment.

mod packet;

use std::collections::HashMap;
use std::io::{self, Write};

use super::Source;
use crate::render::text;
use tracer_model::event::{Detail, Direction, Event};

/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Says in which order bytes are.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// LINKTYPE_RAW: a packet begins with its IP header.
const RAW_IP: u16 = 101;
/// Interfaces at most; what comes then shares the last one. Traces may be made to have any number.
const MOST_INTERFACES: usize = 4096;

/// Option codes. Those of interfaces and packets begin at 2 both.
mod option {
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    pub const SECTION_HARDWARE: u16 = 2;
    pub const SECTION_OS: u16 = 3;
    pub const SECTION_APPLICATION: u16 = 4;
    pub const INTERFACE_NAME: u16 = 2;
    pub const INTERFACE_RESOLUTION: u16 = 9;
    pub const PACKET_FLAGS: u16 = 2;
}

/// Writes events as packets.
pub struct Pcapng<W> {
    out: W,
    interfaces: HashMap<(Option<String>, Option<u32>), u32>,
    /// Events that are no packet: no TCP or UDP flow with an address, or no time.
    pub left_out: u64,
    /// Events that are one.
    pub written: u64,
}

/// What the file says of its origin, where it is known.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `x86_64`.
    pub hardware: Option<String>,
    /// `Linux 6.18.44`.
    pub system: Option<String>,
    pub comment: String,
}

impl<W: Write> Pcapng<W> {
    /// Writes the section header.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut out: W, origin: &Origin) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // The length of the section: not known.
        body.extend((-1_i64).to_le_bytes());
        put_text(&mut body, option::COMMENT, &origin.comment);
        if let Some(hardware) = &origin.hardware {
            put_text(&mut body, option::SECTION_HARDWARE, hardware);
        }
        if let Some(system) = &origin.system {
            put_text(&mut body, option::SECTION_OS, system);
        }
        let tool = format!("sendtrace {}", env!("CARGO_PKG_VERSION"));
        put_text(&mut body, option::SECTION_APPLICATION, &tool);
        put_option(&mut body, option::END, &[]);
        block(&mut out, SECTION, &body)?;
        Ok(Self {
            out,
            interfaces: HashMap::new(),
            left_out: 0,
            written: 0,
        })
    }

    /// Writes the packet of an event, or counts it as left out.
    ///
    /// # Errors
    /// When writing fails.
    pub fn event(&mut self, source: &Source<'_>) -> io::Result<()> {
        let event = source.event;
        let time = source
            .wall_ns(event.boot_ns)
            .and_then(|ns| u64::try_from(ns).ok());
        let (Some(packet), Some(time)) = (packet::packet(event), time) else {
            self.left_out += 1;
            return Ok(());
        };
        let netns = event.flow.as_ref().and_then(|flow| flow.netns);
        let interface = self.interface(source.host, netns)?;
        let mut body = Vec::with_capacity(256);
        body.extend(interface.to_le_bytes());
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend((packet.bytes.len() as u32).to_le_bytes());
        body.extend(packet.original_bytes.to_le_bytes());
        body.extend(&packet.bytes);
        pad(&mut body);
        let line = text::event(event, source.clock, false);
        put_text(&mut body, option::COMMENT, line.trim_end());
        // Bits 0 and 1: 1 inbound, 2 outbound.
        let flags: u32 = match direction(event) {
            Direction::Received => 1,
            Direction::Sent => 2,
        };
        put_option(&mut body, option::PACKET_FLAGS, &flags.to_le_bytes());
        put_option(&mut body, option::END, &[]);
        self.written += 1;
        block(&mut self.out, PACKET, &body)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The number of the interface of a host and network namespace.
    fn interface(&mut self, host: Option<&str>, netns: Option<u32>) -> io::Result<u32> {
        let count = self.interfaces.len();
        let key = if count < MOST_INTERFACES {
            (host.map(str::to_owned), netns)
        } else {
            (None, None)
        };
        if let Some(number) = self.interfaces.get(&key) {
            return Ok(*number);
        }
        let mut name = key.0.clone().unwrap_or_else(|| "unknown host".to_owned());
        if let Some(netns) = key.1 {
            name.push_str(&format!(" netns {netns}"));
        }
        let mut body = Vec::new();
        body.extend(RAW_IP.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // No limit: what is left out of a packet was never known.
        body.extend(0_u32.to_le_bytes());
        put_text(&mut body, option::INTERFACE_NAME, &name);
        // Times are in units of 10^-9 s.
        put_option(&mut body, option::INTERFACE_RESOLUTION, &[9]);
        put_option(&mut body, option::END, &[]);
        block(&mut self.out, INTERFACE, &body)?;
        let number = count as u32;
        self.interfaces.insert(key, number);
        Ok(number)
    }
}

/// Which way the packet of an event went, or would have gone.
fn direction(event: &Event) -> Direction {
    let known = match &event.detail {
        Detail::Drop(drop) => drop.direction,
        Detail::Reset(reset) => reset.direction,
        _ => None,
    };
    known.unwrap_or(Direction::Sent)
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    // Bodies are made here, and short.
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

/// Appends an option; a block with options ends with [`option::END`].
fn put_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(u16::MAX.into())];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn put_text(body: &mut Vec<u8>, code: u16, text: &str) {
    // An option is cut between characters.
    let mut end = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    put_option(body, code, &text.as_bytes()[..end]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
