//! What is written once per trace: the host as it was when the recording began.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::unistd::{SysconfVar, sysconf};
use tracer_model::samples::{InterfaceFacts, Inventory, Route, Zone};

use super::ethtool::Ask;
use super::link::{self, Link};
use super::netlink::Netlink;
use super::{address, interfaces, route, sysctl};

/// So many interfaces are described at most; the rest is counted.
const INTERFACES: usize = 256;
/// So many have their features listed, hardware first: the list is long.
const WITH_FEATURES: usize = 32;
/// So many addresses are listed per interface at most.
const ADDRESSES: usize = 64;
/// More routes than this are not listed.
const ROUTES: usize = 256;
/// Of a router's tables no more is looked at.
const ROUTES_SEEN: usize = 4096;

/// What the caller knows.
pub struct About<'a> {
    /// CLOCK_BOOTTIME of now.
    pub boot_ns: u64,
    /// The wall clock of now.
    pub now: Timestamp,
    pub tool_version: &'a str,
    pub arguments: &'a [String],
    /// In which times are printed on this host.
    pub zone: &'a TimeZone,
    /// The environment's `TZ`.
    pub tz: Option<&'a str>,
}

/// Looks at the host of the calling thread; `root` is `/`, except in tests. Takes a few milliseconds, and
/// needs no privilege.
pub fn read(root: &Path, about: &About<'_>) -> Inventory {
    let uname = nix::sys::utsname::uname().ok();
    let uname = |field: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        let text = uname.as_ref().map(field)?.to_string_lossy().into_owned();
        (!text.is_empty()).then_some(text)
    };
    let line = |path: &str| {
        let bytes = std::fs::read(root.join(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let cpus = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let (interfaces, left_out) = interface_facts().unzip();
    let routes = routes(interfaces.as_deref().unwrap_or_default());
    Inventory {
        host: uname(|uname| uname.nodename()),
        kernel_release: uname(|uname| uname.release()),
        kernel_version: uname(|uname| uname.version()),
        architecture: uname(|uname| uname.machine()),
        boot_id: line("proc/sys/kernel/random/boot_id"),
        cpus_online: cpus.and_then(|cpus| u32::try_from(cpus).ok()),
        uptime_ns: about.boot_ns,
        tool_version: about.tool_version.to_owned(),
        arguments: about.arguments.to_vec(),
        sysctls: sysctl::read(root),
        netns: super::netns(root),
        interfaces,
        interfaces_left_out: left_out.filter(|count| *count != 0),
        routes,
        zone: Some(Zone::of(about.zone, about.tz, about.now, |path| {
            std::fs::read(root.join(path)).ok()
        })),
    }
}

/// The interfaces, and how many are left out; `None` when the kernel does not list them.
fn interface_facts() -> Option<(Vec<InterfaceFacts>, u64)> {
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE).ok()?;
    let mut links = Vec::new();
    interfaces::list(&mut netlink, |link| links.push(link)).ok()?;
    let mut addresses = addresses(&mut netlink).unwrap_or_default();
    let mut ask = Ask::open().ok();
    // Hardware first: when there are too many, these are the ones that are listed.
    links.sort_by_key(|link| (!link.may_be_hardware(), link.index));
    let left_out = links.len().saturating_sub(INTERFACES) as u64;
    let mut facts: Vec<_> = links
        .iter()
        .take(INTERFACES)
        .enumerate()
        .map(|(number, link)| {
            let mut facts = of_link(link);
            facts.addresses = addresses.remove(&link.index).unwrap_or_default();
            if let (Some(ask), Some(name)) = (&mut ask, &link.name) {
                facts.driver = ask.driver(name);
                (facts.speed_mbit_per_s, facts.full_duplex) = ask.speed(name);
                if number < WITH_FEATURES {
                    facts.features_on = ask.features(name);
                }
            }
            facts
        })
        .collect();
    facts.sort_by_key(|facts| facts.ifindex);
    Some((facts, left_out))
}

fn of_link(link: &Link) -> InterfaceFacts {
    InterfaceFacts {
        name: link.name.clone(),
        ifindex: link.index,
        kind: link.kind.clone(),
        mtu: link.mtu,
        operstate: link.operstate.map(link::operstate),
        flags: link::flags(link.flags),
        link_address: link.address.clone(),
        master: link.master,
        qdisc: link.qdisc.clone(),
        tx_queue_packets: link.tx_queue_packets,
        tx_queues: link.tx_queues,
        rx_queues: link.rx_queues,
        gso_max_bytes: link.gso_max_bytes,
        gso_max_segments: link.gso_max_segments,
        carrier_changes: link.carrier_changes,
        ..InterfaceFacts::default()
    }
}

/// The routes that somebody made; `None` when there are too many, or the kernel does not list them.
fn routes(interfaces: &[InterfaceFacts]) -> Option<Vec<Route>> {
    let netlink = Netlink::open(libc::NETLINK_ROUTE).ok()?;
    let (mut all, mut seen) = (Vec::new(), 0);
    // `struct rtmsg` of no family: all of them.
    let listed = netlink.dump_some(libc::RTM_GETROUTE, &[0; 12], |kind, body| {
        seen += 1;
        let route = (kind == libc::RTM_NEWROUTE).then(|| route::parse(body));
        all.extend(route.flatten().filter(|route| route.protocol != "kernel"));
        seen < ROUTES_SEEN && all.len() <= ROUTES
    });
    if listed.is_err() || seen >= ROUTES_SEEN || all.len() > ROUTES {
        return None;
    }
    for route in &mut all {
        let mut named = interfaces.iter();
        let named = named.find(|one| Some(one.ifindex) == route.ifindex);
        route.interface = named.and_then(|one| one.name.clone());
    }
    Some(all)
}

fn addresses(netlink: &mut Netlink) -> io::Result<BTreeMap<u32, Vec<String>>> {
    let mut all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    netlink.dump(libc::RTM_GETADDR, &[0; address::FIXED], |kind, body| {
        if kind == libc::RTM_NEWADDR
            && let Some(found) = address::parse(body)
        {
            let of_one = all.entry(found.ifindex).or_default();
            if of_one.len() < ADDRESSES {
                of_one.push(found.address);
            }
        }
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_described_and_comes_back_from_json() {
        let arguments = ["record".to_owned(), "-w".to_owned(), "a b".to_owned()];
        let about = About {
            boot_ns: 5,
            now: Timestamp::UNIX_EPOCH,
            tool_version: "0.1.0",
            arguments: &arguments,
            zone: &TimeZone::UTC,
            tz: None,
        };
        let once = read(Path::new("/"), &about);
        assert!(
            once.kernel_release.is_some() && once.boot_id.as_ref().is_some_and(|id| id.len() == 36)
        );
        assert!(once.sysctls["net.ipv4.tcp_retries2"].parse::<u32>().is_ok());
        let interfaces = once.interfaces.as_ref().unwrap();
        let lo = interfaces
            .iter()
            .find(|one| one.name.as_deref() == Some("lo"))
            .unwrap();
        assert_eq!((lo.ifindex, lo.speed_mbit_per_s), (1, None));
        assert!(lo.features_on.is_some() && lo.flags.contains(&"LOOPBACK".to_owned()));
        assert_eq!(once.arguments, arguments);
        let text = serde_json::to_string(&once).unwrap();
        assert!(!text.contains("null"), "{text}");
        assert_eq!(serde_json::from_str::<Inventory>(&text).unwrap(), once);
    }

    #[test]
    fn nothing_is_needed_and_what_is_new_is_skipped() {
        let once: Inventory = serde_json::from_str(r#"{"host":"a","colour":"red"}"#).unwrap();
        assert_eq!((once.host.as_deref(), once.interfaces), (Some("a"), None));
    }
}
