//! Events made up for tests: every variant, with and without each field, from a seed.

use std::net::{Ipv6Addr, SocketAddrV6};

use crate::event::{
    Attribution, CaState, Cause, Connection, Detail, Device, Direction, Endpoint, Event, EventKind,
    Flow, Holder, Lost, LostAt, Outcome, Owner, PacketDrop, Reset, Retransmit, SendError, SendOk,
    Tcp, TcpState, Trigger,
};

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(4) > 0).then(|| value(self))
    }

    /// Small as a rule, and the extremes.
    fn size(&mut self) -> u32 {
        let random = self.any() as u32;
        self.pick(&[0, 1, 1448, 65_536, u32::MAX - 1, u32::MAX, random])
    }

    fn maybe_size(&mut self) -> Option<u32> {
        self.maybe(Self::size)
    }

    fn maybe_wide(&mut self) -> Option<u64> {
        self.maybe(|dice| u64::from(dice.size()) * 4000)
    }

    fn maybe_text(&mut self) -> Option<String> {
        self.maybe(|dice| {
            dice.pick(&["", "TCP_OFO_DROP", "tcp_v4_rcv+0x1f", "größer"])
                .to_owned()
        })
    }
}

/// An event.
pub fn event(dice: &mut Dice) -> Event {
    let event_kind = dice.pick(&EventKind::ALL);
    Event {
        boot_ns: 1_000_000_000 + dice.below(1 << 40),
        count: 1 + dice.below(3) * dice.below(1000),
        owner: owner(dice),
        flow: dice.maybe(flow),
        detail: detail(dice, event_kind),
        tcp: dice.maybe(tcp),
    }
}

fn owner(dice: &mut Dice) -> Owner {
    let grades = [
        Attribution::AtSend,
        Attribution::Shared,
        Attribution::Unknown,
        Attribution::Kernel,
        Attribution::LastKnown,
    ];
    let grade = dice.pick(&grades);
    let holders = if grade == Attribution::Shared {
        dice.below(4)
    } else {
        0
    };
    Owner {
        grade,
        pid: dice.maybe(|dice| 1000 + dice.below(5) as u32),
        tid: dice.maybe(|dice| 1000 + dice.below(9) as u32),
        comm: dice.maybe(|dice| dice.pick(&["batchd", "evil\x1b[31m", ""]).into()),
        uid: dice.maybe(|dice| dice.pick(&[0, 1000, u32::MAX])),
        cgroup: dice.maybe(|dice| dice.pick(&["/", "/system.slice/b.service"]).to_owned()),
        started_boot_ns: dice.maybe(|dice| dice.below(1 << 50)),
        holders: (0..holders)
            .map(|_| Holder {
                pid: dice.size(),
                started_boot_ns: dice.maybe_wide(),
                comm: dice.maybe(|_| "h".into()),
                fd: dice.maybe_size(),
            })
            .collect(),
        why: dice.maybe_text(),
    }
}

fn flow(dice: &mut Dice) -> Flow {
    Flow {
        proto: dice.pick(&["tcp", "udp", "ip_47", "unix_stream"]).into(),
        local: dice.maybe(endpoint),
        remote: dice.maybe(endpoint),
        netns: dice.maybe_size(),
        socket: dice.maybe(|dice| dice.below(50)),
    }
}

fn endpoint(dice: &mut Dice) -> Endpoint {
    let port = dice.any() as u16;
    let v6 = Ipv6Addr::from_bits(dice.any().into());
    match dice.below(9) {
        0 => Endpoint::Inet(([10, 0, 0, dice.below(3) as u8], port).into()),
        1 => Endpoint::Inet((v6, port).into()),
        2 => Endpoint::Inet(SocketAddrV6::new(v6, port, 7, dice.size()).into()),
        3 => Endpoint::Address(v6.into()),
        4 => Endpoint::Address([192, 0, 2, 1].into()),
        5 => Endpoint::Unix(dice.pick(&["/run/log", "\0abstract", "@"]).into()),
        6 => Endpoint::Netlink(dice.size()),
        7 => Endpoint::Interface {
            index: dice.size(),
            name: None,
        },
        _ => Endpoint::Interface {
            index: 3,
            name: Some("eth0".into()),
        },
    }
}

fn detail(dice: &mut Dice, event_kind: EventKind) -> Detail {
    let direction = |dice: &mut Dice| dice.pick(&[Direction::Sent, Direction::Received]);
    let state = |dice: &mut Dice| TcpState::from_number(1 + dice.below(13) as u32);
    match event_kind {
        EventKind::Retransmit => Detail::Retransmit(Retransmit {
            cause: dice.pick(&[Cause::Rto, Cause::Fast, Cause::Mtu, Cause::Unknown]),
            outcome: dice.pick(&[Outcome::Sent, Outcome::Failed(-16), Outcome::Failed(2)]),
            attempt: dice.maybe_size(),
            segments: dice.maybe_wide(),
            bytes: dice.maybe_wide(),
            trigger: dice.pick(&[Trigger::Timer, Trigger::Ack]),
        }),
        EventKind::SendError => Detail::SendError(SendError {
            errno: dice.pick(&[32, 70, 512]),
            requested_bytes: dice.maybe_wide(),
            sent_bytes: dice.maybe_wide(),
            blocked_us: dice.maybe_wide(),
        }),
        EventKind::Drop => Detail::Drop(PacketDrop {
            reason: dice.maybe_text(),
            location: dice.maybe_text(),
            interface: dice.maybe(|_| "eth\u{7f}".into()),
            bytes: dice.maybe_wide(),
            direction: dice.maybe(direction),
            ifindex: dice.maybe_size(),
        }),
        EventKind::Device => Detail::Device(Device {
            code: dice.size() as i32,
            interface: dice.maybe(|_| "eth0".into()),
            bytes: dice.maybe_wide(),
            ifindex: dice.maybe_size(),
            queue: dice.maybe_size(),
            timeout: dice.below(2) == 0,
        }),
        EventKind::Reset => Detail::Reset(Reset {
            direction: dice.maybe(direction),
            reason: dice.maybe_text(),
        }),
        EventKind::Connection => Detail::Connection(Connection {
            from: dice.maybe(state).flatten(),
            to: dice.maybe(state).flatten(),
            errno: dice.maybe_size(),
        }),
        EventKind::Send => Detail::Send(SendOk {
            requested_bytes: dice.maybe_wide(),
            sent_bytes: dice.any(),
        }),
        EventKind::Lost => Detail::Lost(Lost {
            at: dice.pick(&[
                LostAt::Ring,
                LostAt::RateLimit,
                LostAt::Disk,
                LostAt::Decode,
            ]),
            event_kind: dice.maybe(|dice| dice.pick(&EventKind::ALL)),
            count: dice.any(),
        }),
    }
}

fn tcp(dice: &mut Dice) -> Tcp {
    Tcp {
        state: TcpState::from_number(1 + dice.below(13) as u32),
        send_queue_bytes: dice.maybe_size(),
        sndbuf_bytes: dice.maybe_size(),
        cwnd_segments: dice.maybe_size(),
        ssthresh_segments: dice.maybe_size(),
        srtt_us: dice.maybe(|dice| dice.below(1 << 33)),
        rto_us: dice.maybe_wide(),
        backoff: dice.maybe_size(),
        mss_bytes: dice.maybe_size(),
        pmtu_bytes: dice.maybe_size(),
        peer_window_bytes: dice.maybe_size(),
        unacked_segments: dice.maybe_size(),
        lost_segments: dice.maybe_size(),
        last_send_us_ago: dice.maybe_wide(),
        last_ack_us_ago: dice.maybe_wide(),
        ca_state: CaState::from_number(dice.below(6) as u32),
        wmem_queued_bytes: dice.maybe_size(),
    }
}
