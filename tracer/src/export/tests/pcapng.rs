//! pcapng, taken apart byte by byte.

use std::net::{IpAddr, SocketAddr};

use super::{clock, events};
use crate::export::Source;
use crate::export::pcapng::{Origin, Pcapng};
use tracer_model::event::{
    Cause, Detail, Direction, Endpoint, Event, Flow, Outcome, Owner, Reset, Retransmit, Trigger,
};

/// A block: its type and body.
struct Block<'a>(u32, &'a [u8]);

/// A packet as Wireshark would see it.
#[derive(Debug)]
struct Packet {
    interface: u32,
    time_ns: u64,
    original_bytes: usize,
    bytes: Vec<u8>,
    comment: String,
    flags: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn blocks(mut bytes: &[u8]) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let length = u32_at(bytes, 4) as usize;
        assert_eq!(length % 4, 0, "blocks are whole words");
        assert_eq!(u32_at(bytes, length - 4) as usize, length, "said twice");
        blocks.push(Block(u32_at(bytes, 0), &bytes[8..length - 4]));
        bytes = &bytes[length..];
    }
    blocks
}

fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        let code = u16::from_le_bytes([bytes[0], bytes[1]]);
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        if code == 0 {
            assert_eq!(
                (length, bytes.len()),
                (0, 4),
                "the end of options is the end"
            );
            return options;
        }
        options.push((code, bytes[4..4 + length].to_vec()));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
}

fn option(options: &[(u16, Vec<u8>)], code: u16) -> Vec<u8> {
    let found = options.iter().find(|(known, _)| *known == code);
    found
        .unwrap_or_else(|| panic!("no option {code}"))
        .1
        .clone()
}

fn packet(body: &[u8]) -> Packet {
    let captured = u32_at(body, 12) as usize;
    let options = options(&body[20 + captured.next_multiple_of(4)..]);
    Packet {
        interface: u32_at(body, 0),
        time_ns: u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8)),
        original_bytes: u32_at(body, 16) as usize,
        bytes: body[20..20 + captured].to_vec(),
        comment: String::from_utf8(option(&options, 1)).expect("UTF-8"),
        flags: u32::from_le_bytes(option(&options, 2).try_into().expect("four bytes")),
    }
}

/// The packets of events, and how many events were left out.
fn packets(events: &[Event]) -> (Vec<Packet>, u64) {
    let clock = clock();
    let mut out = Vec::new();
    let mut pcapng = Pcapng::new(&mut out, &Origin::default()).expect("memory");
    for event in events {
        let source = Source {
            event,
            clock: &clock,
            host: Some("db1"),
        };
        pcapng.event(&source).expect("memory");
    }
    let left_out = pcapng.left_out;
    let blocks = blocks(&out);
    assert_eq!(
        (blocks[0].0, u32_at(blocks[0].1, 0)),
        (0x0a0d_0d0a, 0x1a2b_3c4d)
    );
    options(&blocks[0].1[16..]);
    let mut packets = Vec::new();
    let mut interfaces = 0;
    for block in &blocks[1..] {
        match block.0 {
            1 => {
                assert_eq!(u32_at(block.1, 0) & 0xffff, 101, "raw IP");
                let options = options(&block.1[8..]);
                assert_eq!(option(&options, 9), [9], "nanoseconds");
                assert!(option(&options, 2).starts_with(b"db1"));
                interfaces += 1;
            }
            6 => {
                let packet = packet(block.1);
                assert!(packet.interface < interfaces, "described before it is used");
                packets.push(packet);
            }
            other => panic!("block {other}"),
        }
    }
    (packets, left_out)
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or_default()));
    let mut sum: u64 = words.sum();
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

impl Packet {
    /// Source and destination; checks all lengths and checksums on the way.
    fn ends(&self) -> (SocketAddr, SocketAddr) {
        let bytes = &self.bytes;
        let (header, protocol, length, from, to): (_, _, _, IpAddr, IpAddr) = match bytes[0] >> 4 {
            4 => {
                assert_eq!(sum(&bytes[..20]), 0xffff, "the header's checksum");
                let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) - 20;
                let ip = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).expect("4").into();
                (20, bytes[9], length, ip(12), ip(16))
            }
            _ => {
                let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
                let ip = |at: usize| {
                    <[u8; 16]>::try_from(&bytes[at..at + 16])
                        .expect("16")
                        .into()
                };
                (40, bytes[6], length, ip(8), ip(24))
            }
        };
        assert_eq!(self.original_bytes, header + length);
        let transport = &bytes[header..];
        assert_eq!(transport.len(), if protocol == 6 { 20 } else { 8 });
        let mut summed = match header {
            20 => bytes[12..20].to_vec(),
            _ => bytes[8..40].to_vec(),
        };
        summed.extend((length as u32).to_be_bytes());
        summed.extend([0, 0, 0, protocol]);
        summed.extend(transport);
        assert_eq!(sum(&summed), 0xffff, "the checksum of a payload of zeros");
        let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        ((from, port(0)).into(), (to, port(2)).into())
    }

    fn tcp_flags(&self) -> u8 {
        let header = if self.bytes[0] >> 4 == 4 { 20 } else { 40 };
        self.bytes[header + 13]
    }
}

fn event(detail: Detail, local: &str, remote: &str) -> Event {
    let end = |text: &str| Some(Endpoint::Inet(text.parse().expect("an address")));
    Event {
        boot_ns: 5,
        count: 1,
        owner: Owner::unknown("a test"),
        flow: Some(Flow {
            proto: "tcp".into(),
            local: end(local),
            remote: end(remote),
            netns: Some(4_026_531_840),
            socket: None,
        }),
        detail,
        tcp: None,
    }
}

fn retransmit(cause: Cause, bytes: u64) -> Detail {
    Detail::Retransmit(Retransmit {
        cause,
        outcome: Outcome::Sent,
        attempt: None,
        segments: Some(1),
        bytes: Some(bytes),
        trigger: Trigger::Timer,
    })
}

#[test]
fn whatever_an_event_is_its_packet_is_well_formed() {
    let mut events = events(5000);
    for event in &mut events {
        if let Some(flow) = &mut event.flow {
            flow.proto = if event.boot_ns % 2 == 0 { "tcp" } else { "udp" }.into();
        }
    }
    let (packets, left_out) = packets(&events);
    assert!(packets.len() > 1000, "{} packets", packets.len());
    assert_eq!(packets.len() as u64 + left_out, events.len() as u64);
    for packet in packets {
        packet.ends();
        assert!(
            !packet.comment.contains(char::is_control),
            "{:?}",
            packet.comment
        );
    }
}

#[test]
fn a_retransmit_has_its_length_and_not_its_bytes() {
    let (local, remote) = ("10.0.0.1:43210", "10.0.0.12:443");
    let mut aggregated = event(retransmit(Cause::Rto, 5000), local, remote);
    aggregated.count = 3;
    let all = [
        event(retransmit(Cause::Rto, 1448), local, remote),
        aggregated,
        event(retransmit(Cause::Fast, 1 << 40), local, remote),
        event(retransmit(Cause::Fast, 1 << 40), "[::1]:1", "[::2]:2"),
    ];
    let (packets, left_out) = packets(&all);
    assert_eq!(left_out, 0);
    let lengths: Vec<_> = packets.iter().map(|packet| packet.original_bytes).collect();
    // A sum of several packets is the length of none; 16 bits of length end at 65535.
    assert_eq!(lengths, [1488, 40, 65_535, 40 + 65_535]);
    assert_eq!(packets[0].bytes.len(), 40);
    let (from, to) = packets[0].ends();
    assert_eq!(
        (from.to_string(), to.to_string()),
        (local.to_owned(), remote.to_owned())
    );
    assert_eq!(packets[0].time_ns, 1_795_000_000_000_000_005);
    assert_eq!(packets[0].flags, 2, "outbound");
    assert!(packets[0].comment.contains("rto"), "{}", packets[0].comment);
}

#[test]
fn a_reset_goes_the_way_that_it_went() {
    let reset = |direction| {
        Detail::Reset(Reset {
            direction,
            reason: None,
        })
    };
    let (local, remote) = ("[fe80::1]:43210", "[fe80::2]:443");
    let all = [
        event(reset(Some(Direction::Sent)), local, remote),
        event(reset(Some(Direction::Received)), local, remote),
    ];
    let (packets, _) = packets(&all);
    let ends: Vec<_> = packets
        .iter()
        .map(|packet| {
            (
                packet.ends().0.to_string(),
                packet.flags,
                packet.tcp_flags(),
            )
        })
        .collect();
    let rst = 4;
    assert_eq!(
        ends,
        [(local.to_owned(), 2, rst), (remote.to_owned(), 1, rst)]
    );
}

#[test]
fn flags_are_those_that_the_cause_tells() {
    let causes = [(Cause::Syn, 2), (Cause::SynAck, 0x12), (Cause::Tlp, 0x10)];
    for (cause, flags) in causes {
        let (packets, _) = packets(&[event(retransmit(cause, 0), "10.0.0.1:1", "10.0.0.2:2")]);
        assert_eq!(packets[0].tcp_flags(), flags, "{cause:?}");
    }
}

#[test]
fn events_without_an_address_are_counted_as_left_out() {
    let of = |proto: &'static str, local: Option<Endpoint>| {
        let mut event = event(retransmit(Cause::Rto, 0), "10.0.0.1:1", "10.0.0.2:2");
        event.flow = Some(Flow {
            proto: proto.into(),
            local,
            remote: None,
            netns: None,
            socket: None,
        });
        event
    };
    let mut bare = event(retransmit(Cause::Rto, 0), "10.0.0.1:1", "10.0.0.2:2");
    bare.flow = None;
    let inet = Some(Endpoint::Inet(([0, 0, 0, 0], 9).into()));
    let all = [
        bare,
        of("unix_stream", Some(Endpoint::Unix("/run/log".into()))),
        of("tcp", None),
        of("sctp", inet.clone()),
        of("udp", inet),
    ];
    let (packets, left_out) = packets(&all);
    assert_eq!((packets.len(), left_out), (1, 4));
    let (from, to) = packets[0].ends();
    assert_eq!(
        (from.to_string(), to.to_string()),
        ("0.0.0.0:9".into(), "0.0.0.0:0".into())
    );
}
