//! Changes of links, addresses, routes and neighbours as the kernel announces them.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::address;
use super::interfaces;
use super::link::{self, Link};
use super::netlink::{Listener, Netlink};
use super::route::{self, Neighbour};
use tracer_model::samples::{
    Action, AddressChange, Change, ChangeKind, LinkChange, LostChanges, NeighbourChange,
    RouteChange, neighbour_state,
};

/// `RTNLGRP_…` of linux/rtnetlink.h: links, neighbours, and addresses and routes of IPv4 and IPv6.
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];
/// At most this many changes of one kind are recorded per second; the rest are counted.
const PER_SECOND: u64 = 200;
const SECOND_NS: u64 = 1_000_000_000;
/// So many datagrams are read at once at most: the caller has other things to do.
const AT_ONCE: usize = 4096;
/// So many neighbours are remembered at most.
const REMEMBERED: usize = 16 * 1024;
const NUD_FAILED: u16 = 0x20;
const NUD_INCOMPLETE: u16 = 0x01;

/// Receives the changes of the network namespace in which it was opened.
pub struct Changes {
    listener: Listener,
    /// For what is there already, and again after an overrun.
    netlink: Netlink,
    known: Known,
    rate: Rate,
}

impl Changes {
    /// Begins to listen; what is there now is the base. Needs no privilege, but with CAP_NET_ADMIN the kernel
    /// gives more room for bursts.
    ///
    /// # Errors
    /// When the kernel does not let listen.
    pub fn open() -> io::Result<Self> {
        let mut this = Self {
            listener: Listener::open(&GROUPS)?,
            netlink: Netlink::open(libc::NETLINK_ROUTE)?,
            known: Known::default(),
            rate: Rate::default(),
        };
        this.relist(&mut Vec::new());
        Ok(this)
    }

    /// All changes since the last call, without waiting. `now_boot_ns` (CLOCK_BOOTTIME) becomes their time, so
    /// call it as soon as [`AsFd::as_fd`] is readable, and each second while there are many.
    pub fn drain(&mut self, now_boot_ns: u64) -> Vec<Change> {
        let mut found = Vec::new();
        for _ in 0..AT_ONCE {
            let known = &mut self.known;
            let next = self
                .listener
                .next(|kind, body| found.extend(known.change(kind, body)));
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let overrun = error.raw_os_error() == Some(libc::ENOBUFS);
                    found.push(ChangeKind::Lost(LostChanges {
                        why: if overrun {
                            "overrun".to_owned()
                        } else {
                            error.to_string()
                        },
                        ..LostChanges::default()
                    }));
                    self.relist(&mut found);
                    if !overrun {
                        break;
                    }
                }
            }
        }
        let told = self.rate.limit(found, now_boot_ns);
        told.into_iter()
            .map(|what| Change {
                boot_ns: now_boot_ns,
                what,
            })
            .collect()
    }

    /// Looks at what is there: `found` gets the links that are not as they were known.
    fn relist(&mut self, found: &mut Vec<ChangeKind>) {
        let mut links = Vec::new();
        // What cannot be listed is learned from the changes to come.
        if interfaces::list(&mut self.netlink, |link| links.push(link)).is_ok() {
            found.extend(self.known.all_links(links));
        }
        let known = &mut self.known;
        known.neighbours.clear();
        let _ = self
            .netlink
            .dump(libc::RTM_GETNEIGH, &[0; 12], |kind, body| {
                if kind == libc::RTM_NEWNEIGH
                    && let Some(neighbour) = route::parse_neighbour(body)
                {
                    known.remember(&neighbour);
                }
            });
    }
}

impl AsFd for Changes {
    /// Readable when there are changes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.fd()
    }
}

impl AsRawFd for Changes {
    /// The same, for an event loop.
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// What was known before a change: announcements repeat what stays the same.
#[derive(Default)]
struct Known {
    links: BTreeMap<u32, Link>,
    neighbours: BTreeMap<(u32, IpAddr), (u16, Option<String>)>,
}

impl Known {
    fn change(&mut self, kind: u16, body: &[u8]) -> Option<ChangeKind> {
        match kind {
            libc::RTM_NEWLINK => self.link(link::parse(body)?),
            libc::RTM_DELLINK => {
                let link = link::parse(body)?;
                self.links.remove(&link.index);
                Some(ChangeKind::Link(told(&link, Action::Del, Vec::new())))
            }
            libc::RTM_NEWADDR | libc::RTM_DELADDR => {
                let address = address::parse(body)?;
                Some(ChangeKind::Address(AddressChange {
                    action: action(kind == libc::RTM_NEWADDR),
                    interface: self.name(address.ifindex),
                    ifindex: address.ifindex,
                    address: address.address,
                    flags: address::flags(address.flags),
                    ..AddressChange::default()
                }))
            }
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                let mut route = route::parse(body)?;
                route.interface = route.ifindex.and_then(|index| self.name(index));
                Some(ChangeKind::Route(RouteChange {
                    action: action(kind == libc::RTM_NEWROUTE),
                    route,
                }))
            }
            libc::RTM_NEWNEIGH => self.neighbour(&route::parse_neighbour(body)?),
            libc::RTM_DELNEIGH => {
                let gone = route::parse_neighbour(body)?;
                self.neighbours.remove(&(gone.ifindex, gone.address));
                None
            }
            _ => None,
        }
    }

    fn name(&self, index: u32) -> Option<String> {
        self.links.get(&index)?.name.clone()
    }

    fn link(&mut self, mut link: Link) -> Option<ChangeKind> {
        link.statistics.clear();
        let old = self.links.get(&link.index);
        let (action, changed) = match old {
            None => (Action::New, Vec::new()),
            Some(old) => (Action::Changed, differences(old, &link)),
        };
        let what = (action == Action::New || !changed.is_empty())
            .then(|| ChangeKind::Link(told(&link, action, changed)));
        self.links.insert(link.index, link);
        what
    }

    /// Takes the links as they are now, and tells what was missed.
    fn all_links(&mut self, links: Vec<Link>) -> Vec<ChangeKind> {
        let mut gone = std::mem::take(&mut self.links);
        let mut found = Vec::new();
        for link in links {
            if let Some(old) = gone.remove(&link.index) {
                self.links.insert(link.index, old);
            }
            found.extend(self.link(link));
        }
        let gone = gone.values();
        found.extend(gone.map(|link| ChangeKind::Link(told(link, Action::Del, Vec::new()))));
        found
    }

    fn remember(&mut self, neighbour: &Neighbour) {
        let key = (neighbour.ifindex, neighbour.address);
        if self.neighbours.len() < REMEMBERED || self.neighbours.contains_key(&key) {
            let value = (neighbour.state, neighbour.link_address.clone());
            self.neighbours.insert(key, value);
        }
    }

    /// Told are failures, the return from them, and another link-layer address: the way from REACHABLE over STALE
    /// and back is what every neighbour walks all the time.
    fn neighbour(&mut self, neighbour: &Neighbour) -> Option<ChangeKind> {
        let key = (neighbour.ifindex, neighbour.address);
        // The question itself is no answer yet.
        if neighbour.state & NUD_INCOMPLETE != 0 {
            return None;
        }
        let old = self.neighbours.get(&key).cloned();
        let had_failed = old.as_ref().map(|(state, _)| state & NUD_FAILED != 0);
        let has_failed = neighbour.state & NUD_FAILED != 0;
        let link_was = old.as_ref().and_then(|(_, link)| link.clone());
        let moved = link_was.is_some()
            && neighbour.link_address.is_some()
            && link_was != neighbour.link_address;
        let mut now = neighbour.clone();
        if has_failed {
            // A failed one has none, and may come back at the old one.
            now.link_address = link_was.clone();
        }
        self.remember(&now);
        let is_news = if has_failed {
            had_failed != Some(true)
        } else {
            had_failed == Some(true) || moved
        };
        is_news.then(|| {
            ChangeKind::Neighbour(NeighbourChange {
                action: if old.is_some() {
                    Action::Changed
                } else {
                    Action::New
                },
                interface: self.name(neighbour.ifindex),
                ifindex: neighbour.ifindex,
                address: neighbour.address.to_string(),
                state: neighbour_state(neighbour.state),
                state_was: old.map(|(state, _)| neighbour_state(state)),
                link_address: neighbour.link_address.clone(),
                link_address_was: link_was.filter(|_| moved || has_failed),
                ..NeighbourChange::default()
            })
        })
    }
}

fn action(is_new: bool) -> Action {
    if is_new { Action::New } else { Action::Del }
}

fn told(link: &Link, action: Action, changed: Vec<String>) -> LinkChange {
    LinkChange {
        action,
        interface: link.name.clone(),
        ifindex: link.index,
        changed,
        operstate: link.operstate.map(link::operstate),
        flags: link::flags(link.flags),
        mtu: link.mtu,
        master: link.master,
        link_address: link.address.clone(),
        qdisc: link.qdisc.clone(),
        carrier_changes: link.carrier_changes,
        link_kind: link.kind.clone(),
        ..LinkChange::default()
    }
}

fn differences(old: &Link, new: &Link) -> Vec<String> {
    let all = [
        ("interface", old.name != new.name),
        ("operstate", old.operstate != new.operstate),
        ("flags", link::flags(old.flags) != link::flags(new.flags)),
        ("mtu", old.mtu != new.mtu),
        ("master", old.master != new.master),
        ("link_address", old.address != new.address),
        ("qdisc", old.qdisc != new.qdisc),
        (
            "carrier_changes",
            old.carrier_changes != new.carrier_changes,
        ),
    ];
    let changed = all.into_iter().filter(|(_, differs)| *differs);
    changed.map(|(name, _)| name.to_owned()).collect()
}

/// How many changes of each kind were recorded and withheld in the current second.
#[derive(Default)]
struct Rate {
    since_boot_ns: u64,
    seen: BTreeMap<&'static str, u64>,
}

impl Rate {
    /// Leaves out what is too much, and says so when the second is over.
    fn limit(&mut self, found: Vec<ChangeKind>, now_boot_ns: u64) -> Vec<ChangeKind> {
        let mut told = Vec::new();
        if now_boot_ns.saturating_sub(self.since_boot_ns) >= SECOND_NS {
            for (of, seen) in std::mem::take(&mut self.seen) {
                if let Some(count) = seen.checked_sub(PER_SECOND).filter(|count| *count > 0) {
                    told.push(ChangeKind::Lost(LostChanges {
                        why: "rate".to_owned(),
                        of: Some(of.to_owned()),
                        count: Some(count),
                        ..LostChanges::default()
                    }));
                }
            }
            self.since_boot_ns = now_boot_ns;
        }
        for what in found {
            // That something was lost is always told; there is one per overrun.
            if !matches!(what, ChangeKind::Lost(_)) {
                let seen = self.seen.entry(what.name()).or_default();
                *seen += 1;
                if *seen > PER_SECOND {
                    continue;
                }
            }
            told.push(what);
        }
        told
    }
}

#[cfg(test)]
mod tests;
