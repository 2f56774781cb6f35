//! Random events for tests: every variant, with and without each field, from a seed.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;

use crate::event::{
    Attribution, Blocked, CaState, Cause, Connection, Detail, Device, Direction, Endpoint, Event,
    EventKind, Flow, Holder, Kubernetes, Lost, LostAt, Outcome, Owner, PacketDrop, Reset,
    Retransmit, SendError, SendOk, SocketTimer, Tcp, TcpState, Trigger, WaitReason, Waiting,
};

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub struct Rng(u64);

impl Rng {
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
        self.maybe(|rng| u64::from(rng.size()) * 4000)
    }

    fn maybe_text(&mut self) -> Option<String> {
        self.maybe(|rng| {
            rng.pick(&["", "TCP_OFO_DROP", "tcp_v4_rcv+0x1f", "größer"])
                .to_owned()
        })
    }
}

/// An event.
pub fn event(rng: &mut Rng) -> Event {
    let event_kind = rng.pick(&EventKind::ALL);
    Event {
        boot_ns: 1_000_000_000 + rng.below(1 << 40),
        count: 1 + rng.below(3) * rng.below(1000),
        owner: owner(rng),
        flow: rng.maybe(flow),
        detail: detail(rng, event_kind),
        tcp: rng.maybe(tcp),
    }
}

fn owner(rng: &mut Rng) -> Owner {
    let grades = [
        Attribution::AtSend,
        Attribution::Shared,
        Attribution::Unknown,
        Attribution::Kernel,
        Attribution::LastKnown,
    ];
    let grade = rng.pick(&grades);
    let holders = if grade == Attribution::Shared {
        rng.below(4)
    } else {
        0
    };
    Owner {
        grade,
        pid: rng.maybe(|rng| 1000 + rng.below(5) as u32),
        tid: rng.maybe(|rng| 1000 + rng.below(9) as u32),
        comm: rng.maybe(|rng| rng.pick(&["batchd", "evil\x1b[31m", ""]).into()),
        uid: rng.maybe(|rng| rng.pick(&[0, 1000, u32::MAX])),
        cgroup: rng.maybe(|rng| rng.pick(&["/", "/system.slice/b.service"]).to_owned()),
        started_boot_ns: rng.maybe(|rng| rng.below(1 << 50)),
        holders: (0..holders)
            .map(|_| Holder {
                pid: rng.size(),
                started_boot_ns: rng.maybe_wide(),
                comm: rng.maybe(|_| "h".into()),
                fd: rng.maybe_size(),
            })
            .collect(),
        why: rng.maybe_text(),
        cmdline: rng.maybe(|_| Arc::new("python3 -m \x1b[31m".into())),
        kubernetes: rng.maybe(|rng| {
            Arc::new(Kubernetes {
                namespace: "shop".to_owned(),
                pod: "cart-0".to_owned(),
                container: rng.maybe(|_| "web".to_owned()),
            })
        }),
    }
}

fn flow(rng: &mut Rng) -> Flow {
    Flow {
        proto: rng.pick(&["tcp", "udp", "ip_47", "unix_stream"]).into(),
        local: rng.maybe(endpoint),
        remote: rng.maybe(endpoint),
        netns: rng.maybe_size(),
        socket: rng.maybe(|rng| rng.below(50)),
    }
}

fn endpoint(rng: &mut Rng) -> Endpoint {
    let port = rng.any() as u16;
    let v6 = Ipv6Addr::from_bits(rng.any().into());
    match rng.below(9) {
        0 => Endpoint::Inet(([10, 0, 0, rng.below(3) as u8], port).into()),
        1 => Endpoint::Inet((v6, port).into()),
        2 => Endpoint::Inet(SocketAddrV6::new(v6, port, 7, rng.size()).into()),
        3 => Endpoint::Address(v6.into()),
        4 => Endpoint::Address([192, 0, 2, 1].into()),
        5 => Endpoint::Unix(rng.pick(&["/run/log", "\0abstract", "@"]).into()),
        6 => Endpoint::Netlink(rng.size()),
        7 => Endpoint::Interface {
            index: rng.size(),
            name: None,
        },
        _ => Endpoint::Interface {
            index: 3,
            name: Some("eth0".into()),
        },
    }
}

fn detail(rng: &mut Rng, event_kind: EventKind) -> Detail {
    let direction = |rng: &mut Rng| rng.pick(&[Direction::Sent, Direction::Received]);
    let state = |rng: &mut Rng| TcpState::from_number(1 + rng.below(13) as u32);
    match event_kind {
        EventKind::Retransmit => Detail::Retransmit(Retransmit {
            cause: rng.pick(&[Cause::Rto, Cause::Fast, Cause::Mtu, Cause::Unknown]),
            outcome: rng.pick(&[Outcome::Sent, Outcome::Failed(-16), Outcome::Failed(2)]),
            attempt: rng.maybe_size(),
            segments: rng.maybe_wide(),
            bytes: rng.maybe_wide(),
            trigger: rng.pick(&[Trigger::Timer, Trigger::Ack]),
        }),
        EventKind::SendError => Detail::SendError(SendError {
            errno: rng.pick(&[32, 70, 512]),
            requested_bytes: rng.maybe_wide(),
            sent_bytes: rng.maybe_wide(),
            blocked_us: rng.maybe_wide(),
        }),
        EventKind::Drop => Detail::Drop(PacketDrop {
            reason: rng.maybe_text(),
            location: rng.maybe_text(),
            interface: rng.maybe(|_| "eth\u{7f}".into()),
            bytes: rng.maybe_wide(),
            direction: rng.maybe(direction),
            ifindex: rng.maybe_size(),
        }),
        EventKind::Device => Detail::Device(Device {
            code: rng.size() as i32,
            interface: rng.maybe(|_| "eth0".into()),
            bytes: rng.maybe_wide(),
            ifindex: rng.maybe_size(),
            queue: rng.maybe_size(),
            timeout: rng.below(2) == 0,
        }),
        EventKind::Reset => Detail::Reset(Reset {
            direction: rng.maybe(direction),
            reason: rng.maybe_text(),
        }),
        EventKind::Connection => Detail::Connection(Connection {
            from: rng.maybe(state).flatten(),
            to: rng.maybe(state).flatten(),
            errno: rng.maybe_size(),
        }),
        EventKind::Send => Detail::Send(SendOk {
            requested_bytes: rng.maybe_wide(),
            sent_bytes: rng.any(),
        }),
        EventKind::Lost => Detail::Lost(Lost {
            at: rng.pick(&[
                LostAt::Ring,
                LostAt::RateLimit,
                LostAt::Disk,
                LostAt::Decode,
            ]),
            event_kind: rng.maybe(|rng| rng.pick(&EventKind::ALL)),
            count: rng.any(),
        }),
        EventKind::Waiting => Detail::Waiting(Box::new(Waiting {
            why: rng.pick(&WaitReason::ALL),
            for_us: rng.any(),
            ended: rng.below(2) == 0,
            unfinished: rng.below(2) == 0,
            queued_bytes: rng.maybe_wide(),
            timer: rng.maybe(|rng| rng.pick(&SocketTimer::ALL)),
            blocked_writers: rng.maybe_size(),
            errno: rng.maybe_size(),
            soft_errno: rng.maybe_size(),
            busy_us: rng.maybe_wide(),
            rwnd_limited_us: rng.maybe_wide(),
            sndbuf_limited_us: rng.maybe_wide(),
            congestion_control: rng.maybe(|rng| rng.pick(&["cubic", "bbr"]).to_owned()),
            sent_segments: rng.maybe_size(),
            acked_bytes: rng.maybe_wide(),
            retransmitted_segments: rng.maybe_size(),
            reordering_segments: rng.maybe_size(),
        })),
        EventKind::Blocked => Detail::Blocked(Blocked {
            blocked_us: rng.maybe_wide(),
            requested_bytes: rng.maybe_wide(),
            sent_bytes: rng.maybe_wide(),
        }),
    }
}

fn tcp(rng: &mut Rng) -> Tcp {
    Tcp {
        state: TcpState::from_number(1 + rng.below(13) as u32),
        send_queue_bytes: rng.maybe_size(),
        sndbuf_bytes: rng.maybe_size(),
        cwnd_segments: rng.maybe_size(),
        ssthresh_segments: rng.maybe_size(),
        srtt_us: rng.maybe(|rng| rng.below(1 << 33)),
        rto_us: rng.maybe_wide(),
        backoff: rng.maybe_size(),
        mss_bytes: rng.maybe_size(),
        pmtu_bytes: rng.maybe_size(),
        peer_window_bytes: rng.maybe_size(),
        unacked_segments: rng.maybe_size(),
        lost_segments: rng.maybe_size(),
        last_send_us_ago: rng.maybe_wide(),
        last_ack_us_ago: rng.maybe_wide(),
        ca_state: CaState::from_number(rng.below(6) as u32),
        wmem_queued_bytes: rng.maybe_size(),
    }
}
