//! What indicates trouble at a socket: the entries of a report's accounts.

use std::collections::BTreeMap;
use std::fmt;

use tracer_model::errno;
use tracer_model::event::{Cause, Direction, TcpState, WaitReason};
use tracer_model::linux;

use super::{Socket, Sum};

/// One kind of trouble of a socket. Every event that indicates trouble belongs to exactly one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// Sends failed with this errno.
    SendFailed(u32),
    /// Something was sent again.
    Resent(Cause),
    /// ACKs after a time-out showed that more was lost, and it was sent again.
    Repaired,
    /// Something should have been sent again, and stayed on the host: the kernel's word for it.
    Unsent(String),
    /// Packets were dropped on their way out, for this reason.
    DroppedOut(String),
    /// Packets that had arrived were dropped by a decision of this host, for this reason.
    DroppedIn(String),
    /// The device answered with this.
    Device(String),
    ResetSent,
    ResetReceived,
    /// The kernel ended the connection with this errno.
    Ended(u32),
    /// A connection request ended without an errno, and was never answered.
    NeverOpened,
    /// It waited for this, and went on or was still waiting at the end.
    Waited(WaitReason),
    /// For most of the time this held data back, although it went on.
    Held(WaitReason),
    /// Sends took what they should, but were blocked for long.
    Blocked,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SendFailed(code) => write!(f, "sends failed with {}", errno::display(*code)),
            Self::Resent(Cause::Rto) => f.write_str("time-outs (rto)"),
            Self::Resent(Cause::Syn) => f.write_str("connection requests sent again (syn)"),
            Self::Resent(Cause::SynAck) => {
                f.write_str("answers to connection requests sent again (synack)")
            }
            Self::Resent(cause) => write!(f, "retransmits ({})", cause.name()),
            Self::Repaired => f.write_str("retransmits that ACKs after a time-out called for"),
            Self::Unsent(why) => write!(f, "retransmits that stayed on this host ({why})"),
            Self::DroppedOut(reason) => {
                write!(
                    f,
                    "packets dropped here on their way out ({})",
                    said(reason)
                )
            }
            Self::DroppedIn(reason) => {
                write!(
                    f,
                    "packets that arrived and were dropped here ({})",
                    said(reason)
                )
            }
            Self::Device(name) => write!(f, "packets that the device did not take ({name})"),
            Self::ResetSent => f.write_str("RST sent"),
            Self::ResetReceived => f.write_str("RST received"),
            Self::Ended(code) => write!(f, "connections ended with {}", errno::display(*code)),
            Self::Held(WaitReason::PeerWindow) => {
                f.write_str("data held back by the window of the peer for most of the time")
            }
            Self::Held(_) => f.write_str("data held back by the send buffer for most of the time"),
            Self::Blocked => f.write_str("sends that were blocked for long"),
            Self::NeverOpened => f.write_str("connection requests given up without an errno"),
            Self::Waited(why) => write!(f, "waits without progress ({})", why.name()),
        }
    }
}

fn said(reason: &str) -> &str {
    if reason.is_empty() {
        "no reason given"
    } else {
        reason
    }
}

/// Reasons for which this host drops a packet that arrived whole and was meant for it.
pub fn is_decision(reason: &str) -> bool {
    matches!(
        reason,
        "IP_RPFILTER"
            | "SOCKET_FILTER"
            | "XFRM_POLICY"
            | "TC_INGRESS"
            | "TCP_LISTEN_OVERFLOW"
            | "PROTO_MEM"
    ) || is_netfilter(reason)
}

/// Before 5.17 the kernel gave no reason; the function says it.
pub fn is_netfilter(reason: &str) -> bool {
    matches!(
        reason,
        "NETFILTER_DROP"
            | "nf_hook_slow()"
            | "nft_do_chain()"
            | "ipt_do_table()"
            | "ip6t_do_table()"
    )
}

/// Before 5.17 the kernel gave no reason; the function says it.
pub fn is_queue(reason: &str) -> bool {
    reason.starts_with("QDISC_")
        || matches!(
            reason,
            "CPU_BACKLOG" | "FULL_RING" | "__dev_queue_xmit()" | "__dev_xmit_skb()"
        )
}

/// Less is how TCP finds its rate: part of the segments that were sent.
const USUAL_PART: f64 = 0.015;
/// At least this part is lost even if more than usual was lost by chance.
const LEAST_SURE_PART: f64 = 0.012;
const LEAST_SEGMENTS: u64 = 5;
/// Part of its packets that TCP may lose in a full queue: it fills any queue until it drops.
pub const USUAL_DROPS: f64 = 0.003;
/// Where it is not known how much was sent, fewer segments than this prove nothing.
const FEW_SEGMENTS: u64 = 20;

impl Sign {
    /// Does this end something, rather than delay it?
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Resent(_) | Self::Repaired | Self::Unsent(_))
    }

    /// Why this is left out of every finding, where it is no trouble by itself.
    pub fn on_purpose(&self, socket: &Socket) -> Option<&'static str> {
        match self {
            Self::SendFailed(code) => match i32::try_from(*code).ok()? {
                linux::EAGAIN if socket.lacks_port() => None,
                linux::EAGAIN => Some("sends that would have blocked: an event loop lives on it"),
                linux::EINPROGRESS | linux::EALREADY => {
                    Some("sends that began a connection, which goes on")
                }
                linux::EINTR | linux::ERESTARTSYS => Some("sends that a signal interrupted"),
                _ => None,
            },
            Self::Resent(Cause::Rto | Cause::Syn | Cause::SynAck) => None,
            Self::Resent(Cause::Mtu) => (!socket.retransmits.contains_key(&Cause::Rto)).then_some(
                "segments that were sent again in smaller pieces, as the path had asked for (ICMP)",
            ),
            Self::Resent(_) => usual(socket)
                .then_some("retransmits as TCP causes them itself while it looks for its rate"),
            Self::Device(name) => (name == "NETDEV_TX_BUSY").then_some(
                "packets that the device did not take at once, and the kernel offered again",
            ),
            Self::ResetSent => Some("RST that this host sent by its own decision"),
            Self::ResetReceived => socket
                .reset_state
                .is_some_and(is_closing)
                .then_some("RST for connections that this host had closed"),
            Self::DroppedOut(reason) if socket.proto == "tcp" && is_queue(reason) => {
                let drops = socket.dropped(is_queue).count as f64;
                let sent = socket.delivered_segments()? as f64 + drops;
                (drops < sent * USUAL_DROPS).then_some(
                    "packets that TCP lost to a queue of this host while it looked for its rate",
                )
            }
            Self::DroppedOut(reason)
                if matches!(reason.as_str(), "SOCKET_CLOSE" | "QUEUE_PURGE") =>
            {
                Some("packets that were still queued when their socket was closed")
            }
            Self::DroppedIn(_) => (!socket.misses_answers())
                .then_some("packets that this host refused to take, without harm to a send"),
            _ => None,
        }
    }
}

/// Are so many segments, a part of what was sent, more than TCP causes itself, and more than chance explains?
pub fn is_loss(part: f64, segments: u64) -> bool {
    // Once in twenty as much comes by chance (Poisson, 1.64 deviations).
    let surely = part * (1.0 - 1.64 / (segments as f64).sqrt());
    segments >= LEAST_SEGMENTS && part >= USUAL_PART && surely >= LEAST_SURE_PART
}

/// Are fast retransmits and probes of this socket what TCP causes itself?
fn usual(socket: &Socket) -> bool {
    let resent = socket.resent_segments();
    let twice = socket.duplicates().unwrap_or(0);
    let probes = socket.retransmits.get(&Cause::Tlp);
    if socket.duplicates().is_none() && probes.is_some_and(|sum| sum.segments == resent) {
        return true;
    }
    twice * 2 >= resent.max(1)
        || match socket.resent_part() {
            Some(part) => !is_loss(part, resent),
            None => resent < FEW_SEGMENTS,
        }
}

const fn is_closing(state: TcpState) -> bool {
    matches!(
        state,
        TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::LastAck
            | TcpState::TimeWait
            | TcpState::Close
    )
}

impl Socket {
    /// Everything about this socket that calls for an explanation, each with its events. What is the same trouble
    /// twice is there once: the RST that ended a connection is the errno that it left.
    pub fn signs(&self) -> Vec<(Sign, Sum)> {
        let mut signs = Vec::new();
        for (code, sum) in &self.errors {
            signs.push((Sign::SendFailed(*code), sum.clone()));
        }
        for (cause, sum) in &self.retransmits {
            signs.push((Sign::Resent(*cause), sum.clone()));
        }
        if self.repaired.count > 0 {
            signs.push((Sign::Repaired, self.repaired.clone()));
        }
        for (why, sum) in &self.unsent {
            signs.push((Sign::Unsent(why.clone()), sum.clone()));
        }
        for ((reason, direction), sum) in &self.drops {
            match direction {
                Some(Direction::Sent) => {
                    signs.push((Sign::DroppedOut(reason.clone()), sum.clone()))
                }
                _ if is_decision(reason) => {
                    signs.push((Sign::DroppedIn(reason.clone()), sum.clone()))
                }
                _ => {}
            }
        }
        for (name, sum) in &self.devices {
            signs.push((Sign::Device(name.clone()), sum.clone()));
        }
        if self.blocked_sends.count > 0 {
            signs.push((Sign::Blocked, self.blocked_sends.clone()));
        }
        for (why, held) in [
            (WaitReason::PeerWindow, self.held_by_window),
            (WaitReason::WriterBlocked, self.held_by_buffer),
        ] {
            if let Some(held) = held {
                let mut sum = Sum::default();
                sum.add(held.last_ns, self.boot_ns_at(held.last_ns).unwrap_or(0), 1);
                sum.first_ns = held.first_ns;
                signs.push((Sign::Held(why), sum));
            }
        }
        let ends = self.ends();
        if self.resets_received.count > 0 && ends.is_empty() {
            signs.push((Sign::ResetReceived, self.resets_received.clone()));
        }
        if self.resets_sent.count > 0 {
            signs.push((Sign::ResetSent, self.resets_sent.clone()));
        }
        signs.extend(ends);
        for (why, sum) in self.waited() {
            signs.push((Sign::Waited(why), sum));
        }
        signs
    }

    /// Its waits, by what it waited for at last.
    fn waited(&self) -> BTreeMap<WaitReason, Sum> {
        let mut waits: BTreeMap<_, Sum> = BTreeMap::new();
        for wait in &self.waits {
            let sum = waits.entry(wait.latest.why).or_default();
            sum.add(wait.to_ns, self.boot_ns_at(wait.to_ns).unwrap_or(0), 1);
            sum.first_ns = sum.first_ns.min(wait.from_ns);
        }
        waits
    }

    /// How the connection ended, where it did not end in peace.
    fn ends(&self) -> Vec<(Sign, Sum)> {
        let mut ends: Vec<(Sign, Sum)> = Vec::new();
        for (at, change) in &self.transitions {
            let sign = match (change.from, change.to, change.errno.unwrap_or(0)) {
                (_, Some(TcpState::Close) | None, code @ 1..) => Sign::Ended(code),
                (Some(TcpState::SynSent), Some(TcpState::Close), 0) => Sign::NeverOpened,
                _ => continue,
            };
            let mut sum = Sum::default();
            let boot_ns = self.boot_ns_at(*at);
            sum.add(*at, boot_ns.unwrap_or(0), 1);
            match ends.iter_mut().find(|(known, _)| *known == sign) {
                Some((_, known)) => known.merge(&sum),
                None => ends.push((sign, sum)),
            }
        }
        ends
    }

    /// An automatic port could not be had: the socket sends without one.
    pub fn lacks_port(&self) -> bool {
        matches!(self.proto.as_str(), "udp" | "udplite") && self.local_port().unwrap_or(0) == 0
    }

    /// Does it wait for packets that this host may have dropped?
    pub fn misses_answers(&self) -> bool {
        self.timeouts() > 0 || self.proto != "tcp"
    }

    /// How much harm a sign is: one for a message that was not sent or a second of standing still, ten for a
    /// connection that was lost.
    pub fn harm(&self, sign: &Sign, sum: &Sum) -> f64 {
        let count = sum.count as f64;
        let is_tcp = self.proto == "tcp";
        match sign {
            Sign::SendFailed(_) => count,
            Sign::Resent(cause @ (Cause::Rto | Cause::Syn | Cause::SynAck)) => {
                let timeouts = self.timeouts().max(1) as f64;
                let usual = if *cause == Cause::Rto { 0.2 } else { 1.0 };
                let stalled = self.stalled_us as f64 / 1e6 / timeouts;
                count * if stalled > 0.0 { stalled } else { usual }
            }
            Sign::Resent(_) | Sign::Repaired | Sign::Unsent(_) => count / 50.0,
            // TCP repairs it; the error of the same call is counted already.
            Sign::DroppedOut(_) | Sign::Device(_) if is_tcp => count / 50.0,
            Sign::DroppedOut(_) | Sign::Device(_) => {
                let told: u64 = self.errors.values().map(|sum| sum.count).sum();
                sum.count.saturating_sub(told) as f64
            }
            Sign::Blocked => self.blocked_sends_us_max.unwrap_or(0) as f64 / 1e6,
            Sign::DroppedIn(_) | Sign::ResetSent => count / 50.0,
            Sign::ResetReceived | Sign::Ended(_) if self.open => 10.0,
            Sign::ResetReceived | Sign::Ended(_) | Sign::NeverOpened => 1.0,
            Sign::Held(why) => {
                let held = match why {
                    WaitReason::PeerWindow => self.held_by_window,
                    _ => self.held_by_buffer,
                };
                held.unwrap_or_default().us as f64 / 1e6
            }
            Sign::Waited(why) => {
                let waits = self.waits.iter().filter(|wait| wait.latest.why == *why);
                waits.map(|wait| wait.latest.for_us as f64 / 1e6).sum()
            }
        }
    }
}
