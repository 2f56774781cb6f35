//! When which interface was down: shared by the rules about links.

use std::collections::BTreeMap;

use crate::{HostFacts, Socket};
use tracer_model::samples::{ChangeKind, LinkChange};

/// What a link that is down looks like to rules that do not know of it.
pub const EFFECTS: &[&str] = &[
    "neighbour_failed",
    "path_blackhole",
    "path_loss",
    "destination_loss",
    "peer_host_gone",
    "syn_blackhole",
    "device_errors",
    "no_route",
    "spurious_retransmits",
    "qdisc_overflow",
    "bufferbloat",
];

/// How often an interface went down, when first, and when it came back for good.
#[derive(Clone, Debug, Default)]
pub struct Down {
    pub times: u64,
    pub first_ns: i64,
    /// When it came up after the last time; `None`: it did not.
    pub up_ns: Option<i64>,
    /// When it was last seen to go down.
    pub last_ns: i64,
    /// Was it taken down, and did not lose its carrier?
    pub on_purpose: bool,
}

/// Of the interface: how often its carrier came or went.
const CARRIER: &str = "carrier_changes";
/// Trouble may show a little later, nanoseconds.
const LATE_NS: i64 = 2_000_000_000;

impl Down {
    fn at(wall_ns: i64) -> Self {
        Self {
            first_ns: wall_ns,
            last_ns: wall_ns,
            ..Self::default()
        }
    }

    /// Did all trouble of the socket fall in the time when the interface was away, or soon after?
    pub fn troubled(&self, host: &HostFacts, socket: &Socket, interface: &str) -> bool {
        // Trouble that was there before has another reason.
        host.is_on_way(socket, interface) && self.was_meanwhile(socket.first_ns, socket.first_ns)
    }

    /// Does all of this time, nanoseconds of the wall clock, lie in that when the interface went away and came back?
    pub fn was_meanwhile(&self, first_ns: i64, last_ns: i64) -> bool {
        let up = self.up_ns.unwrap_or(i64::MAX).max(self.last_ns);
        first_ns >= self.first_ns.saturating_sub(LATE_NS) && last_ns <= up.saturating_add(LATE_NS)
    }
}

/// Interfaces that went down, as rtnetlink and the counters of the link tell it.
pub fn downs(host: &HostFacts) -> BTreeMap<String, Down> {
    let mut all: BTreeMap<String, Down> = BTreeMap::new();
    for (name, change, wall_ns) in link_changes(host) {
        // Of tunnels and other devices without a carrier nothing is said here.
        if is_down(change) {
            let down = all.entry(name.clone()).or_insert_with(|| Down::at(wall_ns));
            down.times += 1;
            down.last_ns = wall_ns;
            down.up_ns = None;
            down.on_purpose |=
                !change.flags.is_empty() && !change.flags.iter().any(|flag| flag == "UP");
        } else if change.changed.iter().any(|what| what == CARRIER) {
            let down = all.entry(name.clone()).or_insert_with(|| Down::at(wall_ns));
            down.up_ns.get_or_insert(wall_ns);
        } else if let Some(down) = all.get_mut(name) {
            down.up_ns.get_or_insert(wall_ns);
        }
    }
    // The kernel tells it late, a second or more (linkwatch_do_dev()), and does not tell what was overtaken.
    for (name, begun_ns, ended_ns) in carrier_moved(host) {
        let down = all.entry(name.clone()).or_insert_with(|| Down {
            up_ns: Some(ended_ns),
            ..Down::at(ended_ns)
        });
        down.last_ns = down.last_ns.max(ended_ns);
        let mut told = link_changes(host);
        if !told.any(|(of, _, at)| of == name && (begun_ns..=ended_ns).contains(&at)) {
            down.first_ns = down.first_ns.min(begun_ns);
        }
    }
    let carrier = host.interface_counters();
    for (name, down) in &mut all {
        let changes = carrier.get(&(name.clone(), CARRIER.to_owned()));
        // A change that was overtaken by the next one still counts as two.
        down.times = down.times.max(changes.copied().unwrap_or(0) / 2);
    }
    all.retain(|_, down| down.times > 0);
    all
}

/// Changes of links: interface, change, wall clock.
fn link_changes(host: &HostFacts) -> impl Iterator<Item = (&String, &LinkChange, i64)> {
    host.changes
        .iter()
        .filter_map(|one| match &one.change.what {
            ChangeKind::Link(change) => Some((change.interface.as_ref()?, change, one.wall_ns)),
            _ => None,
        })
}

/// Intervals of samples in which a carrier came or went: interface, begin and end on the wall clock.
fn carrier_moved(host: &HostFacts) -> impl Iterator<Item = (&String, i64, i64)> {
    host.samples.iter().flat_map(|one| {
        let begun_ns = one.wall_ns - i64::try_from(one.sample.interval_ns).unwrap_or(0);
        let all = one.sample.interfaces.iter().flatten();
        all.filter(|interface| {
            interface
                .counters
                .get(CARRIER)
                .is_some_and(|grew| *grew > 0)
        })
        .map(move |interface| (&interface.name, begun_ns, one.wall_ns))
    })
}

fn is_down(change: &LinkChange) -> bool {
    matches!(change.operstate.as_deref(), Some("DOWN" | "LOWERLAYERDOWN"))
}
