//! One socket towards one remote end, and all that was seen of it.

use std::collections::BTreeMap;
use tracer_model::linux;

use super::{Held, Sum};
use tracer_model::event::{
    Attribution, Cause, Connection, Detail, Direction, Endpoint, Event, Flow, Outcome, Owner,
    PacketDrop, Tcp, TcpState, Trigger, Waiting,
};
use tracer_model::samples::{SocketSample, TcpInfo};

/// Events of a socket that are kept as they are, from its beginning and from its end.
const KEPT_FIRST: usize = 40;
const KEPT_LAST: usize = 40;
/// Samples that are kept.
const SAMPLES: usize = 64;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This host did.
    Client,
    /// The remote end did.
    Server,
    /// It was open before anything of it was seen, or there is no connection.
    #[default]
    Unknown,
}

/// The extremes of what [`Tcp`] said at events; `None` where no event said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpRange {
    pub srtt_us: Option<(u64, u64)>,
    pub rto_us_max: Option<u64>,
    pub backoff_max: Option<u32>,
    pub cwnd_segments_min: Option<u32>,
    pub peer_window_bytes_min: Option<u32>,
    pub send_queue_bytes_max: Option<u32>,
    pub sndbuf_bytes_max: Option<u32>,
    pub unacked_segments_max: Option<u32>,
    pub last_ack_us_ago_max: Option<u64>,
    pub pmtu_bytes: Option<(u32, u32)>,
    pub mss_bytes: Option<(u32, u32)>,
}

/// A stretch of time without sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub from_ns: i64,
    pub to_ns: i64,
    /// Sends before it.
    pub before: u64,
}

/// A time in which a socket waited, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it began, nanoseconds of the wall clock.
    pub from_ns: i64,
    /// When it was last seen to go on, or ended, nanoseconds of the wall clock.
    pub to_ns: i64,
    /// It was over before the recording was.
    pub ended: bool,
    /// What the last event said.
    pub latest: Waiting,
}

impl Wait {
    fn new(wall_ns: i64, waiting: &Waiting) -> Self {
        let ns = i64::try_from(waiting.for_us.saturating_mul(1_000)).unwrap_or(i64::MAX);
        Self {
            from_ns: wall_ns.saturating_sub(ns),
            to_ns: wall_ns,
            ended: false,
            latest: waiting.clone(),
        }
    }

    fn add(&mut self, wall_ns: i64, waiting: &Waiting) {
        self.to_ns = self.to_ns.max(wall_ns);
        self.ended = waiting.ended;
        self.latest = waiting.clone();
    }
}

/// Segments that a process sent to a host over all its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSegments {
    pub resent: u64,
    pub delivered: u64,
    /// What the host said that it got twice.
    pub duplicates: Option<u64>,
}

/// A socket towards one remote end.
#[derive(Clone, Debug, Default)]
pub struct Socket {
    /// Index of the host that recorded.
    pub host: usize,
    pub proto: String,
    pub local: Option<Endpoint>,
    pub remote: Option<Endpoint>,
    pub netns: Option<u32>,
    /// The kernel's cookie.
    pub cookie: Option<u64>,
    /// The best that an event said.
    pub owner: Owner,
    pub role: Role,
    /// Time of the first event, nanoseconds of the wall clock.
    pub first_ns: i64,
    /// Time of the last event, nanoseconds of the wall clock.
    pub last_ns: i64,
    /// Was the connection open at some time? The kernel tells of none that opens and closes in peace.
    pub open: bool,
    /// Retransmits that left the host, or whose outcome the kernel does not tell, by their cause.
    pub retransmits: BTreeMap<Cause, Sum>,
    /// What ACKs after a time-out showed to be lost as well, and was sent again then.
    pub repaired: Sum,
    /// Retransmits that stayed on the host, by the kernel's word for it.
    pub unsent: BTreeMap<String, Sum>,
    /// The largest `attempt` of a retransmit by timer.
    pub attempts: u32,
    /// Errors of sends, by errno.
    pub errors: BTreeMap<u32, Sum>,
    /// The longest that a send blocked before it failed, by errno.
    pub blocked_us: BTreeMap<u32, u64>,
    pub resets_sent: Sum,
    pub resets_received: Sum,
    /// The state in which the first RST came in.
    pub reset_state: Option<TcpState>,
    /// How long it had waited at its time-outs before they sent something again, microseconds, added up.
    pub stalled_us: u64,
    /// By reason and direction; where the kernel gave none, the function that dropped it, with parentheses; empty
    /// where that is not known either.
    pub drops: BTreeMap<(String, Option<Direction>), Sum>,
    /// Where packets were dropped: function names, by reason and direction as in `drops`.
    pub locations: BTreeMap<(String, Option<Direction>), Vec<String>>,
    /// Answers of the device that were not success, by name.
    pub devices: BTreeMap<String, Sum>,
    /// Interfaces that drops and answers of the device were on.
    pub interfaces: Vec<String>,
    /// Changes of state, with an errno where the kernel ended the connection with one.
    pub transitions: Vec<(i64, Connection)>,
    /// Sends that took something, where they were recorded.
    pub sends: Sum,
    /// Times in which it waited although nothing failed; the last of them.
    pub waits: Vec<Wait>,
    /// What its process sent to this host over all its sockets.
    pub flow: Option<FlowSegments>,
    /// Time in which the window of the peer held back what its process had for this host, although little passed.
    pub held_by_window: Option<Held>,
    /// Time in which the send buffer held it back.
    pub held_by_buffer: Option<Held>,
    /// Sends that took what they should, but were blocked for long.
    pub blocked_sends: Sum,
    /// The longest of them, microseconds.
    pub blocked_sends_us_max: Option<u64>,
    /// The longest time between two sends.
    pub pause: Option<Pause>,
    /// The second longest time between two sends.
    pub pause_before: Option<Pause>,
    pub tcp: TcpRange,
    pub samples: Vec<(i64, SocketSample)>,
    /// The first and last events, as they were; the owner is left out.
    pub events: Vec<(i64, Event)>,
    /// Where the next one goes once there are as many as are kept: the last of them are a ring until all is read.
    pub(super) oldest: usize,
}

impl Socket {
    pub(super) fn new(host: usize, flow: &Flow) -> Self {
        Self {
            host,
            proto: flow.proto.to_string(),
            local: flow.local.clone(),
            remote: flow.remote.clone(),
            netns: flow.netns,
            cookie: flow.socket,
            ..Self::default()
        }
    }

    /// Adds an event.
    pub(super) fn add(&mut self, wall_ns: i64, event: &Event, keep: bool) {
        if self.first_ns == 0 {
            self.first_ns = wall_ns;
        }
        self.last_ns = self.last_ns.max(wall_ns);
        self.belongs_to(&event.owner);
        match event.owner.grade {
            Attribution::AtConnect if self.role == Role::Unknown => self.role = Role::Client,
            Attribution::AtAccept if self.role == Role::Unknown => self.role = Role::Server,
            _ => {}
        }
        if let Some(tcp) = &event.tcp {
            self.tcp.add(tcp);
            self.open |= tcp.state.is_some_and(was_open);
        }
        self.detail(wall_ns, event);
        if keep {
            self.keep(wall_ns, event);
        }
    }

    /// Takes an owner that is surer than the known one.
    pub(super) fn belongs_to(&mut self, owner: &Owner) {
        if rank(owner.grade) > rank(self.owner.grade) {
            self.owner = owner.clone();
        }
    }

    fn detail(&mut self, wall_ns: i64, event: &Event) {
        let (boot_ns, count) = (event.boot_ns, event.count);
        let add = |sum: &mut Sum, bytes: Option<u64>, segments: Option<u64>| {
            sum.add(wall_ns, boot_ns, count);
            if let Some(bytes) = bytes {
                sum.bytes = sum.bytes.saturating_add(bytes);
                sum.sized = sum.sized.saturating_add(count);
            }
            sum.segments = sum.segments.saturating_add(segments.unwrap_or(0));
        };
        match &event.detail {
            Detail::Retransmit(r) => {
                let sum = match r.outcome {
                    // An ACK after a time-out, not another time-out (tcp_xmit_retransmit_queue()).
                    Outcome::Sent if r.cause == Cause::Rto && r.trigger == Trigger::Ack => {
                        &mut self.repaired
                    }
                    Outcome::Sent => self.retransmits.entry(r.cause).or_default(),
                    failed => self.unsent.entry(failed.name().into_owned()).or_default(),
                };
                add(sum, r.bytes, r.segments);
                if r.trigger == Trigger::Timer
                    && r.cause != Cause::Tlp
                    && r.outcome == Outcome::Sent
                {
                    let waited = event.tcp.as_ref().and_then(|tcp| tcp.rto_us);
                    let waited = waited.unwrap_or(0).saturating_mul(count);
                    self.stalled_us = self.stalled_us.saturating_add(waited);
                }
                self.attempts = self.attempts.max(r.attempt.unwrap_or(0));
                match r.cause {
                    Cause::Syn => self.role = Role::Client,
                    Cause::SynAck => self.role = Role::Server,
                    _ => {}
                }
            }
            Detail::SendError(e) => {
                add(
                    self.errors.entry(e.errno).or_default(),
                    e.requested_bytes,
                    None,
                );
                let blocked = self.blocked_us.entry(e.errno).or_default();
                *blocked = (*blocked).max(e.blocked_us.unwrap_or(0));
            }
            Detail::Drop(d) => {
                let key = (why_dropped(d), d.direction);
                let places = self.locations.entry(key.clone()).or_default();
                note(places, d.location.as_deref());
                add(self.drops.entry(key).or_default(), d.bytes, None);
                let interface = d.interface.as_ref().map(|name| name.lossy().into_owned());
                note(&mut self.interfaces, interface.as_deref());
            }
            Detail::Device(d) => {
                let sum = self.devices.entry(d.name().into_owned()).or_default();
                add(sum, d.bytes, None);
                let interface = d.interface.as_ref().map(|name| name.lossy().into_owned());
                note(&mut self.interfaces, interface.as_deref());
            }
            Detail::Reset(r) => match r.direction {
                Some(Direction::Sent) => add(&mut self.resets_sent, None, None),
                Some(Direction::Received) => {
                    let state = event.tcp.as_ref().and_then(|tcp| tcp.state);
                    self.reset_state = self.reset_state.or(state);
                    add(&mut self.resets_received, None, None);
                }
                None => {}
            },
            Detail::Connection(c) => self.transition(wall_ns, c),
            Detail::Send(s) => {
                if self.sends.count > 0 && count == 1 {
                    let pause = Pause {
                        from_ns: self.sends.last_ns,
                        to_ns: wall_ns,
                        before: self.sends.count,
                    };
                    if self.pause.is_none_or(|known| pause.ns() > known.ns()) {
                        self.pause_before = self.pause.replace(pause);
                    } else if self
                        .pause_before
                        .is_none_or(|known| pause.ns() > known.ns())
                    {
                        self.pause_before = Some(pause);
                    }
                }
                add(&mut self.sends, Some(s.sent_bytes), None);
            }
            Detail::Waiting(w) => {
                if self.waits.last().is_none_or(|last| last.ended) {
                    if self.waits.len() == KEPT_LAST {
                        self.waits.remove(0);
                    }
                    self.waits.push(Wait::new(wall_ns, w));
                }
                if let Some(last) = self.waits.last_mut() {
                    last.add(wall_ns, w);
                }
            }
            Detail::Blocked(b) => {
                add(&mut self.blocked_sends, b.sent_bytes, None);
                let longest = &mut self.blocked_sends_us_max;
                *longest = (*longest).max(b.blocked_us);
            }
            Detail::Lost(_) => {}
        }
    }

    fn transition(&mut self, wall_ns: i64, change: &Connection) {
        match change.from {
            Some(TcpState::SynSent) => self.role = Role::Client,
            Some(TcpState::SynRecv | TcpState::NewSynRecv) => self.role = Role::Server,
            Some(state) => self.open |= was_open(state),
            None => {}
        }
        if self.transitions.len() < KEPT_FIRST {
            self.transitions.push((wall_ns, change.clone()));
        }
    }

    /// All is read: the last events in their order.
    pub(super) fn finish(&mut self) {
        if let Some(last) = self.events.get_mut(KEPT_FIRST..) {
            last.rotate_left(std::mem::take(&mut self.oldest));
        }
    }

    /// Keeps the first and the last events.
    fn keep(&mut self, wall_ns: i64, event: &Event) {
        let kept = Event {
            owner: Owner::default(),
            flow: None,
            ..event.clone()
        };
        if self.events.len() < KEPT_FIRST + KEPT_LAST {
            self.events.push((wall_ns, kept));
        } else {
            self.events[KEPT_FIRST + self.oldest] = (wall_ns, kept);
            self.oldest = (self.oldest + 1) % KEPT_LAST;
        }
    }

    pub(super) fn sample(&mut self, wall_ns: i64, sample: &SocketSample) {
        if self.first_ns == 0 {
            self.first_ns = wall_ns;
        }
        self.last_ns = self.last_ns.max(wall_ns);
        if self.samples.len() < SAMPLES {
            self.samples.push((wall_ns, sample.clone()));
        }
    }

    /// Retransmits of one cause.
    pub fn resent(&self, cause: Cause) -> u64 {
        self.retransmits.get(&cause).map_or(0, |sum| sum.count)
    }

    /// Times that a timer sent something again: time-outs of data, of SYN and of SYN-ACK.
    pub fn timeouts(&self) -> u64 {
        self.resent(Cause::Rto) + self.resent(Cause::Syn) + self.resent(Cause::SynAck)
    }

    /// Errors with this errno.
    pub fn failed(&self, errno: i32) -> u64 {
        let errno = errno.unsigned_abs();
        self.errors.get(&errno).map_or(0, |sum| sum.count)
    }

    /// Segments sent again because they seemed lost.
    pub fn resent_segments(&self) -> u64 {
        let sums = self
            .retransmits
            .iter()
            .filter(|(cause, _)| **cause != Cause::Mtu);
        let sums = sums.map(|(_, sum)| sum).chain([&self.repaired]);
        sums.map(|sum| sum.segments).sum()
    }

    /// Segments that were sent again in smaller pieces, after the path had said what it takes: none of them was lost by
    /// chance.
    fn cut_segments(&self) -> u64 {
        let cut = self.retransmits.get(&Cause::Mtu);
        cut.map_or(0, |sum| sum.segments)
    }

    /// The last sample in which the socket was found.
    pub fn last_sample(&self) -> Option<&SocketSample> {
        let mut samples = self.samples.iter().rev();
        samples.find_map(|(_, sample)| sample.tcp.is_some().then_some(sample))
    }

    /// `tcp_info` of that sample.
    pub fn last_info(&self) -> Option<&TcpInfo> {
        self.last_sample()?.tcp.as_ref()
    }

    /// Segments that the peer has acknowledged since the connection opened.
    pub fn delivered_segments(&self) -> Option<u64> {
        self.last_info()?.delivered_segments.map(u64::from)
    }

    /// Segments that the peer got twice, as it says itself (DSACK, RFC 2883).
    /// Without a sample of the socket: its share of what its process heard from this host.
    pub fn duplicates(&self) -> Option<u64> {
        if let Some(info) = self.last_info() {
            return info.dsack_dups_segments.map(u64::from);
        }
        let flow = self.flow?;
        let (all, own) = (flow.resent, self.resent_segments().min(flow.resent));
        (flow.duplicates? * own).checked_div(all)
    }

    /// Segments sent again and segments that arrived, both until the last sample, since the connection began.
    /// Without a sample of the socket: of all that its process sent to this host meanwhile.
    pub fn sent_until_sample(&self) -> Option<(u64, u64)> {
        let Some(info) = self.last_info() else {
            let flow = self.flow?;
            return Some((
                flow.resent.saturating_sub(self.cut_segments()),
                flow.delivered,
            ));
        };
        let resent = info.total_retrans_segments.map(u64::from);
        let resent = resent.map(|all| all.saturating_sub(self.cut_segments()));
        let resent = resent.unwrap_or_else(|| self.resent_segments());
        Some((resent, u64::from(info.delivered_segments?)))
    }

    /// Part of what was sent that was sent again: 0 to 1.
    pub fn resent_part(&self) -> Option<f64> {
        let (resent, delivered) = self.sent_until_sample()?;
        (delivered + resent > 0).then(|| resent as f64 / (delivered + resent) as f64)
    }

    /// The least and the greatest round-trip time, microseconds: of events and samples.
    pub fn rtt_us(&self) -> Option<(u64, u64)> {
        let mut range = self.tcp.srtt_us;
        for (_, sample) in &self.samples {
            let info = sample.tcp.as_ref();
            let values = info.map_or([None, None], |info| [info.min_rtt_us, info.rtt_us]);
            values
                .into_iter()
                .flatten()
                .for_each(|us| least_most(&mut range, Some(u64::from(us))));
        }
        range
    }

    /// How long the peer had been silent when something was first sent again, microseconds.
    pub fn silent_before_us(&self) -> Option<u64> {
        self.events.iter().find_map(|(_, event)| {
            let resent = matches!(&event.detail, Detail::Retransmit(_));
            event.tcp.as_ref()?.last_ack_us_ago.filter(|_| resent)
        })
    }

    /// Dropped packets on their way out, for which this is true of the reason.
    pub fn dropped(&self, wanted: impl Fn(&str) -> bool) -> Sum {
        let drops = self.drops.iter();
        let of = drops.filter(|((reason, direction), _)| {
            *direction == Some(Direction::Sent) && wanted(reason)
        });
        Sum::of(of.map(|(_, sum)| sum))
    }

    /// CLOCK_BOOTTIME of the event at this time of the wall clock, where it was kept.
    pub fn boot_ns_at(&self, wall_ns: i64) -> Option<u64> {
        let mut kept = self.events.iter();
        kept.find_map(|(at, event)| (*at == wall_ns).then_some(event.boot_ns))
    }

    /// The errno with which the kernel ended the connection, and when.
    pub fn ended_with(&self) -> Option<(i64, u32)> {
        let mut changes = self.transitions.iter().rev();
        changes.find_map(|(at, change)| {
            let errno = change.errno.filter(|errno| *errno != 0)?;
            // A connect of datagrams that fails has no state.
            change
                .to
                .is_none_or(|to| to == TcpState::Close)
                .then_some((*at, errno))
        })
    }

    /// Sends that failed. Would-block is no failure: an event loop lives on it.
    pub fn failures(&self) -> u64 {
        let again = linux::EAGAIN.unsigned_abs();
        let errors = self.errors.iter().filter(|(errno, _)| **errno != again);
        errors.map(|(_, sum)| sum.count).sum()
    }

    /// Everything that calls for an explanation, in events: errors, time-outs, connections that were ended, packets
    /// that this host dropped. Fast retransmits are how TCP works, and count for little.
    pub fn trouble(&self) -> u64 {
        let count = |sums: &mut dyn Iterator<Item = &Sum>| sums.map(|sum| sum.count).sum::<u64>();
        self.failures()
            + self.timeouts()
            + u64::from(self.ended_with().is_some())
            + self.dropped(|_| true).count
            + count(&mut self.devices.values())
            + count(&mut self.unsent.values())
            + (self.resent(Cause::Fast) + self.resent(Cause::Tlp)) / 10
    }

    /// Port of the local end.
    pub fn local_port(&self) -> Option<u16> {
        port(self.local.as_ref())
    }

    /// Port of the remote end.
    pub fn remote_port(&self) -> Option<u16> {
        port(self.remote.as_ref())
    }
}

/// The reason; where the kernel says none (IPv6 often, before 5.17 always), the function: `neigh_invalidate()`.
fn why_dropped(drop: &PacketDrop) -> String {
    match (&drop.reason, &drop.location) {
        (Some(reason), _) if reason != "NOT_SPECIFIED" => reason.clone(),
        (_, Some(location)) => {
            let function = location.split('+').next().unwrap_or_default();
            format!("{function}()")
        }
        (reason, None) => reason.clone().unwrap_or_default(),
    }
}

/// A state that only an open connection comes to.
const fn was_open(state: TcpState) -> bool {
    !matches!(
        state,
        TcpState::SynSent
            | TcpState::SynRecv
            | TcpState::NewSynRecv
            | TcpState::Listen
            | TcpState::Close
            | TcpState::BoundInactive
    )
}

fn port(endpoint: Option<&Endpoint>) -> Option<u16> {
    match endpoint? {
        Endpoint::Inet(address) => Some(address.port()),
        _ => None,
    }
}

impl Pause {
    /// Its length, nanoseconds.
    pub const fn ns(self) -> i64 {
        self.to_ns.saturating_sub(self.from_ns)
    }
}

impl TcpRange {
    fn add(&mut self, tcp: &Tcp) {
        least_most(&mut self.srtt_us, tcp.srtt_us);
        most(&mut self.rto_us_max, tcp.rto_us);
        most(&mut self.backoff_max, tcp.backoff);
        least(&mut self.cwnd_segments_min, tcp.cwnd_segments);
        least(&mut self.peer_window_bytes_min, tcp.peer_window_bytes);
        most(&mut self.send_queue_bytes_max, tcp.send_queue_bytes);
        most(&mut self.sndbuf_bytes_max, tcp.sndbuf_bytes);
        most(&mut self.unacked_segments_max, tcp.unacked_segments);
        most(&mut self.last_ack_us_ago_max, tcp.last_ack_us_ago);
        least_most(&mut self.pmtu_bytes, tcp.pmtu_bytes);
        least_most(&mut self.mss_bytes, tcp.mss_bytes);
    }
}

fn most<T: Ord + Copy>(known: &mut Option<T>, new: Option<T>) {
    *known = (*known).max(new);
}

fn least<T: Ord + Copy>(known: &mut Option<T>, new: Option<T>) {
    *known = match (*known, new) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

fn least_most<T: Ord + Copy>(known: &mut Option<(T, T)>, new: Option<T>) {
    if let Some(new) = new {
        let (low, high) = known.unwrap_or((new, new));
        *known = Some((low.min(new), high.max(new)));
    }
}

fn note(known: &mut Vec<String>, new: Option<&str>) {
    if let Some(new) = new
        && known.len() < 8
        && !known.iter().any(|one| one == new)
    {
        known.push(new.to_owned());
    }
}

/// How much an owner of this grade is to be believed.
const fn rank(grade: Attribution) -> u8 {
    match grade {
        Attribution::Unknown => 0,
        Attribution::LastKnown => 1,
        Attribution::Seeded => 2,
        Attribution::AtListen => 3,
        Attribution::Shared | Attribution::AtAccept | Attribution::AtConnect => 4,
        Attribution::Kernel | Attribution::AtSend => 5,
    }
}
