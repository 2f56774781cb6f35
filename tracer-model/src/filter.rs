//! Filters: what the user typed, resolved on this host into the form that the BPF programs take.
//!
//! [`resolve`] is pure; what only the host can answer comes through [`Host`]. [`FilterSpec::matches`] is the
//! same filter in user space, for what the kernel could not decide.

use crate::linux;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use tracer_common::{Config, event_kind as number, filter as bit};

use crate::event::EventKind;

mod matching;

/// Which events are wanted, as typed. Values of one kind are alternatives, kinds must all match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Processes, by id.
    pub pid: Vec<u32>,
    /// Processes, by name.
    pub comm: Vec<Comm>,
    /// Processes in a cgroup (v2) or below it.
    pub cgroup: Option<String>,
    /// Network namespace: a name of ip-netns(8), a path, `pid:N`, or its inode number.
    pub netns: Option<String>,
    /// Ports, local or remote.
    pub port: Vec<u16>,
    /// Remote addresses or networks.
    pub remote: Vec<IpNet>,
    /// Protocols.
    pub proto: Vec<Proto>,
    /// Event kinds.
    pub event: Vec<EventKind>,
    /// Errors of sends and connections.
    pub errno: Vec<u32>,
}

/// What `--proto` knows. `tcp` includes MPTCP, `icmp` ICMPv6; `raw` is raw sockets of IP,
/// whatever their protocol, `unix` every type of unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Proto {
    Tcp,
    Udp,
    Udplite,
    Sctp,
    Icmp,
    Raw,
    Unix,
    Packet,
    Netlink,
    Can,
}

impl Proto {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Tcp,
        Self::Udp,
        Self::Udplite,
        Self::Sctp,
        Self::Icmp,
        Self::Raw,
        Self::Unix,
        Self::Packet,
        Self::Netlink,
        Self::Can,
    ];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Udplite => "udplite",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
            Self::Raw => "raw",
            Self::Unix => "unix",
            Self::Packet => "packet",
            Self::Netlink => "netlink",
            Self::Can => "can",
        }
    }
}

/// `comm` of a process, NUL-padded as the kernel keeps it (`TASK_COMM_LEN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comm(pub [u8; 16]);

/// What only the host knows.
pub trait Host {
    /// When the process started, nanoseconds of CLOCK_BOOTTIME; `None` when there is no such process.
    fn process_start_ns(&self, pid: u32) -> Option<u64>;
    /// Inode number of a network namespace given as a name, a path, `pid:N` or the inode number itself.
    fn netns_inode(&self, netns: &str) -> anyhow::Result<u32>;
    /// The cgroup at a path, with or without the mount point in front.
    fn cgroup(&self, path: &str) -> anyhow::Result<Cgroup>;
}

/// A cgroup that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// `None`: the BPF programs do not know it (v1), and user space decides.
    pub in_kernel: Option<InKernel>,
    /// Path below the mount point, as events print it: `/` or `/system.slice/batch.service`.
    pub path: String,
}

/// A cgroup (v2) as the kernel knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InKernel {
    /// Inode number of its directory.
    pub id: u64,
    /// Depth below the root, which is level 0.
    pub level: u64,
}

/// Settings beside the filters that the BPF programs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Individual events per second and event kind.
    pub rate: u64,
    /// List sends that would block one by one.
    pub would_block: bool,
    /// List a send that was blocked for so long though it succeeded, nanoseconds.
    pub blocked_ns: u64,
    /// Take the children of the wanted processes along.
    pub follow: bool,
}

/// Why filters could not be resolved.
#[derive(Debug)]
pub enum Error {
    /// The arguments contradict each other: exit status 2.
    Usage(String),
    /// The host has nothing of that name: exit status 1.
    Host(anyhow::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Host(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Error {}

/// Filters in the form that the BPF programs take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterSpec {
    /// For `.rodata`. `wake_bytes` and `file_refs_bias` are 0: they are not the filter's business.
    pub config: Config,
    /// Processes as (pid, start in nanoseconds of CLOCK_BOOTTIME). The start may be cut to the clock tick
    /// (10 ms) that procfs shows; with the bit [`tracer_common::EXACT_START`] it is not. Children found under `--follow` are added here by whoever learns of them.
    pub pids: Vec<(u32, u64)>,
    /// Processes by number alone, whenever they started: of [`resolve_offline`], where nobody can be asked.
    pub pid_numbers: Vec<u32>,
    /// `comm`, NUL-padded.
    pub comms: Vec<[u8; 16]>,
    /// Ports, host byte order.
    pub ports: Vec<u16>,
    /// Prefixes as (length of 128, address), IPv4 as `::ffff:a.b.c.d` with 96 added to the length: keys of a
    /// longest-prefix-match map. A prefix of IPv6 that covers the mapped range comes in parts (96 at most),
    /// so that `::/0` does not catch IPv4.
    pub remotes: Vec<(u32, [u8; 16])>,
    /// Protocols, for [`FilterSpec::matches`]; the BPF programs have them in `config`.
    pub protos: Vec<Proto>,
    /// Path of the wanted cgroup, as events print it.
    pub cgroup: Option<String>,
    /// The BPF programs lets every cgroup pass.
    pub cgroup_is_decided_here: bool,
}

/// The clock tick in which procfs shows start times, nanoseconds (USER_HZ is 100).
const TICK_NS: u64 = 10_000_000;

/// How many values of one kind the BPF programs take: the sizes of their maps.
const MAX_PIDS: usize = 4096;
const MAX_COMMS: usize = 64;
const MAX_PORTS: usize = 1024;
const MAX_REMOTES: usize = 1024;

/// Errnos that an application sees as EINTR, or as a call that restarts: ERESTARTSYS, ERESTARTNOINTR,
/// ERESTARTNOHAND and ERESTART_RESTARTBLOCK (`include/linux/errno.h`).
const RESTARTS: [u32; 4] = [512, 513, 514, 516];
/// Everything that hooks produce.
const EVERY_KIND: u64 = (1 << number::COUNT) - 1;
/// Event kinds that carry an errno.
const WITH_ERRNO: u64 = 1 << number::SEND_ERROR | 1 << number::CONNECTION;

/// Resolves filters against the host.
pub fn resolve(
    filters: &Filters,
    settings: Settings,
    host: &dyn Host,
) -> Result<FilterSpec, Error> {
    let mut resolved = common(filters, number::FAILURES)?;
    let config = &mut resolved.config;
    config.rate = settings.rate;
    config.blocked_ns = settings.blocked_ns;
    config.list_would_block =
        u64::from(settings.would_block || filters.errno.contains(&(linux::EAGAIN as u32)));
    if settings.follow && !filters.pid.is_empty() {
        config.filters |= bit::FOLLOW;
    }
    if let Some(netns) = &filters.netns {
        config.netns = u64::from(host.netns_inode(netns).map_err(Error::Host)?);
    }
    if let Some(path) = &filters.cgroup {
        let cgroup = host.cgroup(path).map_err(Error::Host)?;
        match cgroup.in_kernel {
            Some(known) => (config.cgroup_id, config.cgroup_level) = (known.id, known.level),
            None => {
                config.filters &= !bit::CGROUP;
                resolved.cgroup_is_decided_here = true;
            }
        }
        resolved.cgroup = Some(cgroup.path);
    }
    for pid in &filters.pid {
        let start_ns = host.process_start_ns(*pid).ok_or_else(|| {
            Error::Host(anyhow::anyhow!(
                "no process with pid {pid}: it may have ended; list processes with ps"
            ))
        })?;
        resolved.pids.push((*pid, start_ns));
    }
    sort(&mut resolved.pids);
    within("--pid", resolved.pids.len(), MAX_PIDS)?;
    Ok(resolved)
}

/// Resolves filters for events that were recorded, or that only user space looks at: no host is asked. For
/// [`FilterSpec::matches`] alone, not for the BPF programs.
///
/// A pid is any process that had the number, a cgroup is compared by its path, a network namespace must be its
/// inode number. Without `--event` every event kind is wanted, `send` included: it is there only if it was asked
/// for when it was recorded.
///
/// # Errors
/// [`Error::Usage`] only.
pub fn resolve_offline(filters: &Filters) -> Result<FilterSpec, Error> {
    let mut resolved = common(filters, EVERY_KIND)?;
    if let Some(netns) = &filters.netns {
        let number = netns
            .strip_prefix("net:[")
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(netns);
        resolved.config.netns = number.parse::<u32>().map(u64::from).map_err(|_| {
            Error::Usage(format!(
                "--netns {}: in a trace a network namespace is known by its inode number alone: give the \
                 one that events show as flow.netns, for example 4026531840",
                netns.escape_debug()
            ))
        })?;
    }
    resolved.cgroup = filters
        .cgroup
        .as_ref()
        .map(|path| format!("/{}", path.trim_matches('/')));
    resolved.pid_numbers = filters.pid.clone();
    sort(&mut resolved.pid_numbers);
    Ok(resolved)
}

/// What needs no host. `unless_named`: the event kinds that are wanted when none is named.
fn common(filters: &Filters, unless_named: u64) -> Result<FilterSpec, Error> {
    let mut resolved = FilterSpec::default();
    let config = &mut resolved.config;
    config.event_kinds = event_kinds(&filters.event, unless_named, !filters.errno.is_empty())?;

    let on = [
        (bit::PID, !filters.pid.is_empty()),
        (bit::COMM, !filters.comm.is_empty()),
        (bit::CGROUP, filters.cgroup.is_some()),
        (bit::NETNS, filters.netns.is_some()),
        (bit::PORT, !filters.port.is_empty()),
        (bit::REMOTE, !filters.remote.is_empty()),
        (bit::PROTO, !filters.proto.is_empty()),
        (bit::ERRNO, !filters.errno.is_empty()),
    ];
    config.filters = on
        .iter()
        .filter(|(_, on)| *on)
        .fold(0, |bits, (bit, _)| bits | bit);

    for errno in &filters.errno {
        set(&mut config.errnos, *errno);
        if *errno == linux::EINTR as u32 {
            RESTARTS
                .iter()
                .for_each(|errno| set(&mut config.errnos, *errno));
        }
    }
    for proto in &filters.proto {
        select(*proto, config);
    }
    resolved.comms = filters.comm.iter().map(|comm| comm.0).collect();
    resolved.ports = filters.port.clone();
    resolved.remotes = filters
        .remote
        .iter()
        .flat_map(|net| prefixes(*net))
        .collect();
    sort(&mut resolved.comms);
    sort(&mut resolved.ports);
    sort(&mut resolved.remotes);
    resolved.protos = filters.proto.clone();
    within("--comm", resolved.comms.len(), MAX_COMMS)?;
    within("--port", resolved.ports.len(), MAX_PORTS)?;
    within("--remote", resolved.remotes.len(), MAX_REMOTES)?;
    Ok(resolved)
}

fn within(name: &str, count: usize, most: usize) -> Result<(), Error> {
    if count > most {
        return Err(Error::Usage(format!(
            "{name} takes {most} values at most, not {count}"
        )));
    }
    Ok(())
}

/// Bit per wanted event kind.
fn event_kinds(wanted: &[EventKind], unless_named: u64, by_errno: bool) -> Result<u64, Error> {
    let asked = wanted
        .iter()
        .filter_map(|event_kind| kind_bit(*event_kind))
        .fold(0, |bits, bit| bits | bit);
    let asked = if wanted.is_empty() {
        unless_named
    } else {
        asked
    };
    if !by_errno {
        return Ok(asked);
    }
    match asked & WITH_ERRNO {
        0 => Err(Error::Usage(
            "--errno needs an event kind that carries an errno: add send_error or connection to --event, \
             or leave --event out"
                .to_string(),
        )),
        both => Ok(both),
    }
}

/// `None` for what the BPF programs do not produce.
fn kind_bit(event_kind: EventKind) -> Option<u64> {
    event_kind.number().map(|number| 1 << number)
}

/// Sets the bits of a protocol: of IP protocols by number, of other families by family. Bit 0 of the families
/// (AF_UNSPEC) stands for raw sockets of IP, whatever their protocol.
fn select(proto: Proto, config: &mut Config) {
    let (families, protocols): (&[i32], &[i32]) = match proto {
        Proto::Tcp => (&[], &[linux::IPPROTO_TCP]),
        Proto::Udp => (&[], &[linux::IPPROTO_UDP]),
        Proto::Udplite => (&[], &[linux::IPPROTO_UDPLITE]),
        Proto::Sctp => (&[], &[linux::IPPROTO_SCTP]),
        Proto::Icmp => (&[], &[linux::IPPROTO_ICMP, linux::IPPROTO_ICMPV6]),
        Proto::Raw => (&[linux::AF_UNSPEC], &[]),
        Proto::Unix => (&[linux::AF_UNIX], &[]),
        Proto::Packet => (&[linux::AF_PACKET], &[]),
        Proto::Netlink => (&[linux::AF_NETLINK], &[]),
        Proto::Can => (&[linux::AF_CAN], &[]),
    };
    families
        .iter()
        .for_each(|family| config.families |= 1 << family);
    protocols
        .iter()
        .for_each(|protocol| set(&mut config.protocols, *protocol as u32));
}

/// Sets a bit of a bitmap; numbers beyond its end are ignored (the parsers refuse them).
fn set(bitmap: &mut [u64], number: u32) {
    if let Some(word) = bitmap.get_mut(number as usize / 64) {
        *word |= 1 << (number % 64);
    }
}

fn sort<T: Ord>(values: &mut Vec<T>) {
    values.sort_unstable();
    values.dedup();
}

/// `::ffff:0:0`, where IPv4 lives among IPv6 addresses.
const MAPPED: u128 = 0xffff_0000_0000;

/// See [`FilterSpec::remotes`].
fn prefixes(net: IpNet) -> Vec<(u32, [u8; 16])> {
    let length = u32::from(net.prefix_len());
    let (length, address) = match net.trunc().network() {
        IpAddr::V4(address) => (96 + length, address.to_ipv6_mapped().to_bits()),
        IpAddr::V6(address) => (length, address.to_bits()),
    };
    let covers_mapped = length < 96 && (MAPPED ^ address).leading_zeros() >= length;
    if !covers_mapped {
        return vec![(length, address.to_be_bytes())];
    }
    // Each longer prefix on the way to the mapped range with its last bit flipped: all but that range.
    (length + 1..=96)
        .map(|length| {
            let last = 1u128 << (128 - length);
            let address = (MAPPED ^ last) & !(last - 1);
            (length, address.to_be_bytes())
        })
        .collect()
}

#[cfg(test)]
mod tests;
