//! The filter in user space, over events. Kinds must all match, values of one kind are alternatives.

use std::net::IpAddr;

use tracer_common::{EXACT_START, filter as bit, is_start};

use super::{FilterSpec, Proto, TICK_NS};
use crate::event::{Counted, Detail, Endpoint, Event, EventKind, Flow, Owner, RawName};

/// The start of a wanted process in the form that [`is_start`] compares.
const fn kept(start: u64) -> u64 {
    match start & EXACT_START {
        0 => start / TICK_NS,
        _ => start,
    }
}

impl FilterSpec {
    /// Whether the user wants this event. What is not known does not match; lost events always do, since a
    /// loss is never hidden.
    pub fn matches(&self, event: &Event) -> bool {
        let Some(number) = event.kind().number() else {
            return event.kind() == EventKind::Lost;
        };
        self.config.event_kinds >> number & 1 == 1
            && self.matches_errno(&event.detail)
            && self.matches_flow(event.flow.as_ref())
            && self.matches_owner(&event.owner)
    }

    /// Is the event kind one that is wanted?
    pub fn wants_kind(&self, event_kind: EventKind) -> bool {
        let number = event_kind.number();
        number.is_none_or(|number| self.config.event_kinds >> number & 1 == 1)
    }

    /// [`Self::matches`] for an event of which only this is known.
    pub fn matches_parts(
        &self,
        event_kind: EventKind,
        errno: Option<u32>,
        owner: &Owner,
        flow: Option<&Flow>,
    ) -> bool {
        event_kind == EventKind::Lost
            || (self.wants_kind(event_kind)
                && self.wants_errno(errno)
                && self.matches_flow(flow)
                && self.matches_owner(owner))
    }

    /// The same filter for what was counted instead of listed; `--errno` takes none of it.
    pub fn matches_counted(&self, counted: &Counted) -> bool {
        let nobody = Owner::default();
        self.wants_kind(counted.event_kind)
            && !self.on(bit::ERRNO)
            && self.matches_flow(counted.flow.as_ref())
            && self.matches_owner(counted.owner.as_ref().unwrap_or(&nobody))
    }

    /// The part of [`Self::matches`] that asks who: process, name and cgroup. Of a shared socket any holder
    /// counts for the first two; one process must match both.
    pub fn matches_owner(&self, owner: &Owner) -> bool {
        let process = self.matches_process(owner.pid, owner.started_boot_ns, owner.comm.as_ref())
            || owner.holders.iter().any(|holder| {
                self.matches_process(
                    Some(holder.pid),
                    holder.started_boot_ns,
                    holder.comm.as_ref(),
                )
            });
        process
            && self.cgroup.as_ref().is_none_or(|wanted| {
                owner
                    .cgroup
                    .as_ref()
                    .is_some_and(|path| is_below(path, wanted))
            })
    }

    /// Identity is pid and start time: a process whose start is not known is not taken for the wanted one,
    /// unless the number is all that was wanted.
    fn matches_process(
        &self,
        pid: Option<u32>,
        start_ns: Option<u64>,
        comm: Option<&RawName>,
    ) -> bool {
        let by_pid = !self.on(bit::PID)
            || pid.is_some_and(|pid| self.pid_numbers.contains(&pid))
            || pid.zip(start_ns).is_some_and(|(pid, start_ns)| {
                self.pids
                    .iter()
                    .any(|(wanted, start)| *wanted == pid && is_start(kept(*start), start_ns))
            });
        let by_comm = !self.on(bit::COMM)
            || comm.is_some_and(|comm| {
                self.comms
                    .iter()
                    .any(|wanted| RawName::from_padded(wanted).as_ref() == Some(comm))
            });
        by_pid && by_comm
    }

    fn matches_flow(&self, flow: Option<&Flow>) -> bool {
        if !self.on(bit::NETNS | bit::PORT | bit::REMOTE | bit::PROTO) {
            return true;
        }
        let Some(flow) = flow else {
            return false;
        };
        let ports = [&flow.local, &flow.remote].map(|end| end.as_ref().and_then(port));
        (!self.on(bit::NETNS)
            || flow
                .netns
                .is_some_and(|netns| u64::from(netns) == self.config.netns))
            && (!self.on(bit::PORT) || ports.iter().flatten().any(|port| self.ports.contains(port)))
            && (!self.on(bit::REMOTE)
                || flow
                    .remote
                    .as_ref()
                    .and_then(address)
                    .is_some_and(|address| self.covers(address)))
            && (!self.on(bit::PROTO)
                || self
                    .protos
                    .iter()
                    .any(|proto| is_called(*proto, &flow.proto)))
    }

    fn matches_errno(&self, detail: &Detail) -> bool {
        let errno = match detail {
            Detail::SendError(send) => Some(send.errno),
            Detail::Connection(connection) => connection.errno,
            _ => None,
        };
        self.wants_errno(errno)
    }

    fn wants_errno(&self, errno: Option<u32>) -> bool {
        let wanted = |errno: u32| {
            self.config
                .errnos
                .get(errno as usize / 64)
                .is_some_and(|word| word >> (errno % 64) & 1 == 1)
        };
        !self.on(bit::ERRNO) || errno.is_some_and(wanted)
    }

    fn covers(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        self.remotes.iter().any(|(length, prefix)| {
            (address ^ u128::from_be_bytes(*prefix)).leading_zeros() >= *length
        })
    }

    /// Whether one of these filters is on.
    fn on(&self, bits: u64) -> bool {
        self.config.filters & bits != 0
    }
}

fn port(end: &Endpoint) -> Option<u16> {
    match end {
        Endpoint::Inet(address) => Some(address.port()),
        _ => None,
    }
}

fn address(end: &Endpoint) -> Option<IpAddr> {
    match end {
        Endpoint::Inet(address) => Some(address.ip()),
        Endpoint::Address(address) => Some(*address),
        _ => None,
    }
}

/// Whether a cgroup is the wanted one or below it; `/a/bc` is not below `/a/b`.
fn is_below(path: &str, wanted: &str) -> bool {
    path.strip_prefix(wanted.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a word of `--proto` covers a name of [`crate::event::proto_name`].
fn is_called(proto: Proto, name: &str) -> bool {
    match proto {
        Proto::Tcp => matches!(name, "tcp" | "mptcp"),
        Proto::Udp => name == "udp",
        Proto::Udplite => name == "udplite",
        Proto::Sctp => name == "sctp",
        Proto::Icmp => name == "icmp",
        Proto::Raw => name == "raw",
        Proto::Unix => name == "unix" || name.starts_with("unix_"),
        Proto::Packet => name == "packet",
        Proto::Netlink => name == "netlink",
        Proto::Can => name == "can",
    }
}
