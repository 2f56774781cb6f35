//! What else was different: a comparison tells about one change only when there was one.

use std::collections::BTreeSet;

use super::Side;
use crate::TimedChange;
use tracer_model::samples::{Action, ChangeKind, InterfaceFacts, Inventory, Route};

/// Recordings that differ by more than this in length or traffic are hardly comparable.
const FACTOR: f64 = 4.0;
/// Counters that stand among the settings.
const NO_SETTINGS: [&str; 1] = ["net.netfilter.nf_conntrack_count"];
/// Changes that are named at most per recording.
const NAMED: usize = 20;

/// A setting that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `sysctl net.ipv4.tcp_retries2`, `interface eth0 mtu`.
    pub what: String,
    /// `None`: it was not there.
    pub before: Option<String>,
    /// `None`: it is not there any more.
    pub after: Option<String>,
}

/// What was different, beside what was measured.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub settings: Vec<Setting>,
    /// Both recordings begin with a list of the routes.
    pub knows_routes: bool,
    /// Changes of the network's configuration while it was recorded before, and after.
    pub during: [Vec<TimedChange>; 2],
    /// Of those, how many more there were.
    pub unnamed: usize,
    /// What makes the comparison doubtful, for people.
    pub warnings: Vec<String>,
}

/// How a recording was made: what was listed at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedFilters {
    /// For people: the filters as they are typed; empty for none.
    pub filters: String,
    /// Was part of what the host does left out by process, address, port, protocol or errno?
    pub narrow: bool,
    /// Were sends that would block listed?
    pub would_block: bool,
}

impl Setup {
    pub fn new(before: &Side, after: &Side) -> Self {
        let mut setup = Self::default();
        let (one, other) = (once(before), once(after));
        if let (Some(one), Some(other)) = (one, other) {
            setup.settings = settings(one, other);
            setup.knows_routes = one.routes.is_some() && other.routes.is_some();
        }
        for (number, side) in [before, after].into_iter().enumerate() {
            let changes = side.observed.hosts.iter().flat_map(|host| &host.changes);
            let mut changes: Vec<_> = changes.filter(|change| is_setup(change)).cloned().collect();
            setup.unnamed += changes.len().saturating_sub(NAMED);
            changes.truncate(NAMED);
            setup.during[number] = changes;
        }
        setup.warn(before, after);
        setup
    }

    /// Settings that differ and changes while it was recorded, together.
    pub fn changes(&self) -> usize {
        self.settings.len() + self.during.iter().map(Vec::len).sum::<usize>() + self.unnamed
    }

    fn warn(&mut self, before: &Side, after: &Side) {
        let changes = self.changes();
        let mut warnings = Vec::new();
        if changes > 1 {
            warnings.push(format!(
                "{changes} things changed, not one: which of them made the difference cannot be told"
            ));
        }
        hosts(before, after, &mut warnings);
        recordings(before, after, &mut warnings);
        extent(before, after, &mut warnings);
        for (side, name) in [(before, "before"), (after, "after")] {
            let lost = side.observed.coverage.lost.count;
            if lost > 0 {
                warnings.push(format!(
                    "{lost} events were lost {name}: there were more than it shows"
                ));
            }
            let totals = side.observed.coverage.totals.events.iter();
            let missed: u64 = totals.filter_map(|(_, totals)| totals.missed).sum();
            if missed > 0 {
                warnings.push(format!("the kernel skipped {missed} runs of hooks {name}"));
            }
        }
        self.warnings = warnings;
    }
}

fn once(side: &Side) -> Option<&Inventory> {
    side.observed.hosts.first().map(|host| &host.once)
}

fn hosts(before: &Side, after: &Side, warnings: &mut Vec<String>) {
    let (Some(one), Some(other)) = (once(before), once(after)) else {
        return;
    };
    if let (Some(one), Some(other)) = (&one.host, &other.host)
        && one != other
    {
        warnings.push(format!("they are of different hosts: {one} and {other}"));
    } else if let (Some(one), Some(other)) = (&one.boot_id, &other.boot_id)
        && one != other
    {
        warnings.push("the host was started anew in between".to_owned());
    }
}

fn recordings(before: &Side, after: &Side, warnings: &mut Vec<String>) {
    let event_kinds = |side: &Side| side.observed.coverage.event_kinds.clone();
    if let (Some(one), Some(other)) = (event_kinds(before), event_kinds(after))
        && one != other
    {
        let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let (only_before, only_after) = (
            list(one.difference(&other).collect()),
            list(other.difference(&one).collect()),
        );
        let mut parts = Vec::new();
        for (names, when) in [(only_before, "before"), (only_after, "after")] {
            if !names.is_empty() {
                parts.push(format!("{names} only {when}"));
            }
        }
        warnings.push(format!(
            "different event kinds were recorded: {}",
            parts.join("; ")
        ));
    }
    if before.recorded_filters.filters != after.recorded_filters.filters {
        let words = |side: &Side| match side.recorded_filters.filters.as_str() {
            "" => "none".to_owned(),
            filters => filters.to_owned(),
        };
        warnings.push(format!(
            "they were recorded with different filters: before {}; after {}",
            words(before),
            words(after)
        ));
    }
    if before.recorded_filters.would_block != after.recorded_filters.would_block {
        warnings.push("sends that would block were listed in one of them only".to_owned());
    }
    let not_seen = |side: &Side| -> BTreeSet<String> {
        side.observed.coverage.not_seen.iter().cloned().collect()
    };
    let (one, other) = (not_seen(before), not_seen(after));
    for (these, those, when) in [(&one, &other, "before"), (&other, &one, "after")] {
        for lost in these.difference(those) {
            warnings.push(format!("only {when} this could not be seen: {lost}"));
        }
    }
}

fn extent(before: &Side, after: &Side, warnings: &mut Vec<String>) {
    let far = |one: f64, other: f64| one > other * FACTOR || other > one * FACTOR;
    let (one, other) = (before.seconds(), after.seconds());
    if far(one, other) {
        warnings.push(format!(
            "their lengths differ by more than {FACTOR} times: {one:.1} s and {other:.1} s"
        ));
    }
    let packets = |side: &Side| {
        let traffic = &side.collector.traffic;
        let sampled = traffic.sampled_ns as f64 / 1e9;
        (sampled > 0.0).then(|| traffic.packets() as f64 / sampled)
    };
    if let (Some(one), Some(other)) = (packets(before), packets(after))
        && far(one, other)
    {
        warnings.push(format!(
            "their traffic differs by more than {FACTOR} times: {one:.0} and {other:.0} packets/s"
        ));
    }
    if let (Some(one), Some(other)) = (before.observed.span, after.observed.span) {
        let same = match (before.host(), after.host()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        if same && one.0 < other.1 && other.0 < one.1 {
            warnings.push("they overlap in time: part of it is on both sides".to_owned());
        } else if same && other.1 <= one.0 {
            warnings.push("AFTER is older than BEFORE".to_owned());
        }
    }
}

/// The settings that differ.
fn settings(before: &Inventory, after: &Inventory) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut compare = |what: String, before: Option<String>, after: Option<String>| {
        if before != after {
            all.push(Setting {
                what,
                before,
                after,
            });
        }
    };
    let text = |text: &Option<String>| text.clone();
    let same_kernel = before.kernel_release == after.kernel_release;
    compare(
        "kernel release".to_owned(),
        text(&before.kernel_release),
        text(&after.kernel_release),
    );
    if same_kernel {
        let (one, other) = (text(&before.kernel_version), text(&after.kernel_version));
        compare("kernel version".to_owned(), one, other);
    }
    let version =
        |once: &Inventory| (!once.tool_version.is_empty()).then(|| once.tool_version.clone());
    compare(
        "version of sendtrace".to_owned(),
        version(before),
        version(after),
    );
    let names: BTreeSet<_> = before.sysctls.keys().chain(after.sysctls.keys()).collect();
    for name in names {
        let (one, other) = (before.sysctls.get(name), after.sysctls.get(name));
        // Another kernel has other settings, or another tool asks for others.
        let both = one.is_some() && other.is_some();
        let alike = same_kernel && before.tool_version == after.tool_version;
        if (both || alike) && !NO_SETTINGS.contains(&name.as_str()) {
            compare(format!("sysctl {name}"), one.cloned(), other.cloned());
        }
    }
    if let (Some(one), Some(other)) = (&before.interfaces, &after.interfaces) {
        interfaces(one, other, &mut compare);
    }
    if let (Some(one), Some(other)) = (&before.routes, &after.routes) {
        routes(one, other, &mut compare);
    }
    all
}

/// Routes to one destination in one table belong together.
fn routes(
    before: &[Route],
    after: &[Route],
    compare: &mut dyn FnMut(String, Option<String>, Option<String>),
) {
    let key = |route: &Route| (route.family.clone(), route.table, route.destination.clone());
    let keys: BTreeSet<_> = before.iter().chain(after).map(key).collect();
    for wanted in keys {
        let of = |all: &[Route]| {
            let mut these: Vec<_> = all.iter().filter(|route| key(route) == wanted).collect();
            these.sort_by_key(|route| route.metric);
            let these: Vec<_> = these.into_iter().map(Route::to_string).collect();
            (!these.is_empty()).then(|| these.join("; "))
        };
        let (family, _, destination) = &wanted;
        let family = if family == "inet6" { " -6" } else { "" };
        compare(
            format!("route{family} {destination}"),
            of(before),
            of(after),
        );
    }
}

fn interfaces(
    before: &[InterfaceFacts],
    after: &[InterfaceFacts],
    compare: &mut dyn FnMut(String, Option<String>, Option<String>),
) {
    let name = |facts: &InterfaceFacts| {
        facts
            .name
            .clone()
            .unwrap_or_else(|| format!("ifindex {}", facts.ifindex))
    };
    let names: BTreeSet<_> = before.iter().chain(after).map(name).collect();
    for interface in names {
        let find = |all: &[InterfaceFacts]| all.iter().find(|one| name(one) == interface).cloned();
        let (one, other) = match (find(before), find(after)) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => {
                let there = |side: Option<InterfaceFacts>| side.map(|_| "there".to_owned());
                compare(format!("interface {interface}"), there(one), there(other));
                continue;
            }
        };
        for ((field, one), (_, other)) in fields(&one).into_iter().zip(fields(&other)) {
            compare(format!("interface {interface} {field}"), one, other);
        }
        if let (Some(one), Some(other)) = (&one.features_on, &other.features_on) {
            let (one, other): (BTreeSet<_>, BTreeSet<_>) =
                (one.iter().collect(), other.iter().collect());
            for feature in one.symmetric_difference(&other) {
                let is = |set: &BTreeSet<&String>| {
                    Some(if set.contains(feature) { "on" } else { "off" }.to_owned())
                };
                compare(
                    format!("interface {interface} {feature}"),
                    is(&one),
                    is(&other),
                );
            }
        }
    }
}

/// What somebody sets; not what happens to it.
fn fields(facts: &InterfaceFacts) -> Vec<(&'static str, Option<String>)> {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let mut addresses: Vec<_> = facts
        .addresses
        .iter()
        // The kernel makes them of what is compared already.
        .filter(|address| !address.starts_with("fe80:"))
        .cloned()
        .collect();
    addresses.sort();
    vec![
        ("driver", facts.driver.clone()),
        ("mtu", number(facts.mtu)),
        ("qdisc", facts.qdisc.clone()),
        ("tx_queue_packets", number(facts.tx_queue_packets)),
        ("tx_queues", number(facts.tx_queues)),
        ("rx_queues", number(facts.rx_queues)),
        ("gso_max_bytes", number(facts.gso_max_bytes)),
        ("gso_max_segments", number(facts.gso_max_segments)),
        ("speed_mbit_per_s", number(facts.speed_mbit_per_s)),
        (
            "full_duplex",
            facts.full_duplex.map(|full| full.to_string()),
        ),
        ("addresses", Some(addresses.join(" "))),
    ]
}

/// Changes that somebody made, not what links and neighbours do by themselves.
fn is_setup(change: &TimedChange) -> bool {
    match &change.change.what {
        ChangeKind::Route(change) => change.route.protocol != "kernel",
        ChangeKind::Address(address) => {
            address.action != Action::Changed && !address.address.starts_with("fe80:")
        }
        ChangeKind::Link(link) => match link.action {
            Action::Changed => link
                .changed
                .iter()
                .any(|field| matches!(field.as_str(), "mtu" | "qdisc" | "master" | "link_address")),
            Action::New | Action::Del => true,
        },
        ChangeKind::Neighbour(_) | ChangeKind::Lost(_) | ChangeKind::Unknown(_) => false,
    }
}
