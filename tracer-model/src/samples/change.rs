//! What changed in the network's configuration: the types of a trace.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A change that the kernel announced (rtnetlink(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was read, CLOCK_BOOTTIME: the announcement carries no time of its own.
    pub boot_ns: u64,
    #[serde(flatten)]
    pub what: ChangeKind,
}

/// What changed, with its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChangeKind {
    Link(LinkChange),
    Address(AddressChange),
    Route(RouteChange),
    Neighbour(NeighbourChange),
    /// Changes that are not in the trace.
    Lost(LostChanges),
    /// What a newer tool wrote.
    #[serde(untagged)]
    Unknown(Map<String, Value>),
}

impl ChangeKind {
    /// As `kind` says it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Link(_) => "link",
            Self::Address(_) => "address",
            Self::Route(_) => "route",
            Self::Neighbour(_) => "neighbour",
            Self::Lost(_) => "lost",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was made, or made anew: the kernel says the same of a route or address that is replaced.
    #[default]
    New,
    /// It was there before.
    Changed,
    /// It was removed.
    Del,
}

impl Action {
    /// As `action` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Del => "del",
        }
    }
}

/// An interface, as it is after the change (before, when it was removed).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkChange {
    pub action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub ifindex: u32,
    /// Which of the fields below changed, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// `UP`, `DOWN`, `LOWERLAYERDOWN`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operstate: Option<String>,
    /// `UP`, `LOWER_UP`, `RUNNING`…
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The interface that it belongs to (bridge, bond, VRF), by index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_address: Option<String>,
    /// The queueing discipline at its root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<String>,
    /// How often the carrier has come or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_changes: Option<u32>,
    /// `veth`, `bond`…; `None` for hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_kind: Option<String>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressChange {
    pub action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub ifindex: u32,
    /// With the length of its prefix: `10.0.0.1/24`.
    pub address: String,
    /// `tentative`, `dadfailed`, `deprecated`, `optimistic`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A route that came, went or is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteChange {
    pub action: Action,
    #[serde(flatten)]
    pub route: Route,
}

/// A route, of all tables but `local`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// `inet`, `inet6`.
    pub family: String,
    /// `default`, or `10.0.0.0/8`.
    pub destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    pub table: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Who made it: `kernel`, `static`, `dhcp`, `ra`, `bgp`…
    pub protocol: String,
    /// `unicast`, `blackhole`, `unreachable`, `prohibit`…
    pub route_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_source: Option<String>,
    /// Only when the route limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// How many ways there are, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hops: Option<u32>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// As `ip route` prints it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.route_type != "unicast" {
            write!(f, "{} ", self.route_type)?;
        }
        f.write_str(&self.destination)?;
        if let Some(gateway) = &self.gateway {
            write!(f, " via {gateway}")?;
        }
        match (&self.interface, self.ifindex) {
            (Some(name), _) => write!(f, " dev {name}")?,
            (None, Some(index)) => write!(f, " ifindex {index}")?,
            (None, None) => {}
        }
        if self.table != 254 {
            write!(f, " table {}", self.table)?;
        }
        write!(f, " proto {}", self.protocol)?;
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(count) = self.next_hops {
            write!(f, " next hops {count}")?;
        }
        Ok(())
    }
}

/// A neighbour that failed, came back, or has another link-layer address now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeighbourChange {
    pub action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub ifindex: u32,
    pub address: String,
    /// `REACHABLE`, `STALE`, `DELAY`, `PROBE`, `FAILED`, `PERMANENT`…
    pub state: String,
    /// The state that was known before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_was: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_address: Option<String>,
    /// Where it was before, when that is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_address_was: Option<String>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Changes that are missing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostChanges {
    /// `overrun`: the kernel could not keep them until they were read. `rate`: there were too many in a second.
    pub why: String,
    /// The kind of changes; `None` when any may be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// `None` when the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What a newer tool added.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// As `ip neigh` writes `NUD_…`.
pub fn neighbour_state(state: u16) -> String {
    let names = [
        (0x01, "INCOMPLETE"),
        (0x02, "REACHABLE"),
        (0x04, "STALE"),
        (0x08, "DELAY"),
        (0x10, "PROBE"),
        (0x20, "FAILED"),
        (0x40, "NOARP"),
        (0x80, "PERMANENT"),
        (0x00, "NONE"),
    ];
    let name = names.iter().find(|(number, _)| *number == state);
    name.map_or_else(|| format!("0x{state:x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_from_json_as_they_were() {
        let all = [
            ChangeKind::Link(LinkChange::default()),
            ChangeKind::Address(AddressChange {
                action: Action::Del,
                flags: vec!["tentative".to_owned()],
                ..AddressChange::default()
            }),
            ChangeKind::Route(RouteChange {
                action: Action::Changed,
                ..RouteChange::default()
            }),
            ChangeKind::Neighbour(NeighbourChange::default()),
            ChangeKind::Lost(LostChanges::default()),
        ];
        for what in all {
            let change = Change {
                boot_ns: u64::MAX,
                what,
            };
            let text = serde_json::to_string(&change).unwrap();
            assert!(!text.contains("null"), "{text}");
            assert_eq!(
                serde_json::from_str::<Change>(&text).unwrap(),
                change,
                "{text}"
            );
        }
    }

    #[test]
    fn a_kind_from_the_future_and_new_keys_are_kept() {
        for text in [
            r#"{"boot_ns":5,"kind":"nexthop","action":"new","id":7}"#,
            r#"{"boot_ns":5,"kind":"lost","why":"overrun","colour":"red"}"#,
        ] {
            let change: Change = serde_json::from_str(text).unwrap();
            assert_eq!(change.boot_ns, 5);
            assert_eq!(serde_json::to_string(&change).unwrap(), text);
        }
    }
}
