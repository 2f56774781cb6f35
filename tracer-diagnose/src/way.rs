//! What is on a flow's way through this host: the addresses, routes and interfaces of the network namespace that was
//! recorded. Of other namespaces nothing is known, and nothing there is to blame.

use std::net::IpAddr;

use super::{HostFacts, Socket};
use tracer_model::event::Endpoint;
use tracer_model::samples::{Action, ChangeKind, Route};

/// Tables beside this one are chosen by rules, which are not recorded.
const MAIN: u32 = 254;

impl Socket {
    /// The address of the other end.
    pub fn remote_address(&self) -> Option<IpAddr> {
        address(self.remote.as_ref())
    }

    /// The address of this end, where it is bound to one.
    pub fn local_address(&self) -> Option<IpAddr> {
        address(self.local.as_ref()).filter(|address| !address.is_unspecified())
    }
}

fn address(endpoint: Option<&Endpoint>) -> Option<IpAddr> {
    match endpoint? {
        Endpoint::Inet(address) => Some(address.ip().to_canonical()),
        Endpoint::Address(address) => Some(address.to_canonical()),
        _ => None,
    }
}

impl HostFacts {
    /// Is it a socket of the network namespace that interfaces, routes and counters are of?
    pub fn describes(&self, socket: &Socket) -> bool {
        match (self.once.netns, socket.netns) {
            (Some(described), Some(netns)) => described == u64::from(netns),
            _ => true,
        }
    }

    /// Is it an address of this host, in the namespace that is described?
    pub fn has_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.interface_of(address).is_some()
    }

    /// Is it the broadcast address of a network that this host is in?
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        let interfaces = self.once.interfaces.iter().flatten();
        let mut own = interfaces
            .flat_map(|one| &one.addresses)
            .filter_map(|text| prefix(text));
        let last = |address: IpAddr, length: u32| match address {
            IpAddr::V4(v4) if length < 31 => {
                Some(IpAddr::V4((v4.to_bits() | (u32::MAX >> length)).into()))
            }
            _ => None,
        };
        own.any(|(own, length)| last(own, length) == Some(address))
    }

    /// The interface that has this address.
    fn interface_of(&self, address: IpAddr) -> Option<&str> {
        let mut all = self.once.interfaces.iter().flatten();
        let found = all.find(|one| {
            let mut prefixes = one.addresses.iter().filter_map(|text| prefix(text));
            prefixes.any(|(own, _)| own == address)
        });
        found?.name.as_deref()
    }

    /// The most specific route of the main table; `None` where no list of routes says it. The kernel's own routes to
    /// the prefixes of its interfaces are not in the list.
    pub fn route_to(&self, remote: IpAddr) -> Option<&Route> {
        let routes = self.once.routes.iter().flatten();
        // A route that was added while recording counts as well.
        let added = self
            .changes
            .iter()
            .filter_map(|one| match &one.change.what {
                ChangeKind::Route(change) if change.action != Action::Del => Some(&change.route),
                _ => None,
            });
        let fits = routes.chain(added).filter_map(|route| {
            let length = match (route.destination.as_str(), route.family.as_str()) {
                ("default", "inet") if remote.is_ipv4() => 0,
                ("default", "inet6") if remote.is_ipv6() => 0,
                (text, _) => {
                    let (network, length) = prefix(text)?;
                    contains(network, length, remote).then_some(length)?
                }
            };
            (route.table == MAIN || route.table == 0).then_some((length, route))
        });
        let metric = |route: &Route| std::cmp::Reverse(route.metric.unwrap_or(0));
        fits.max_by_key(|(length, route)| (*length, metric(route)))
            .map(|(_, route)| route)
    }

    /// The interface by which packets of this socket leave, as far as that is known.
    pub fn egress(&self, socket: &Socket) -> Option<&str> {
        if !self.describes(socket) {
            return None;
        }
        let remote = socket.remote_address()?;
        let mut all = self.once.interfaces.iter().flatten();
        let connected = all.find(|one| {
            let mut prefixes = one.addresses.iter().filter_map(|text| prefix(text));
            prefixes.any(|(own, length)| contains(own, length, remote))
        });
        let connected = connected.and_then(|one| one.name.as_deref());
        let routed = || self.route_to(remote)?.interface.as_deref();
        connected
            .or_else(routed)
            .or_else(|| self.interface_of(socket.local_address()?))
    }

    /// Do packets of this socket leave or come by this interface, or by one that it is a member of?
    pub fn is_on_way(&self, socket: &Socket, interface: &str) -> bool {
        if !self.describes(socket) {
            return false;
        }
        if socket.interfaces.iter().any(|one| one == interface) {
            return true;
        }
        let by_address = || self.interface_of(socket.local_address()?);
        let master = self.interface(interface).and_then(|one| one.master);
        [self.egress(socket), by_address()]
            .into_iter()
            .flatten()
            .any(|own| {
                own == interface
                    || master.is_some() && self.interface(own).map(|one| one.ifindex) == master
            })
    }
}

/// `10.0.0.1/24`, or an address alone.
fn prefix(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Some((address, length.parse().unwrap_or(whole)))
}

fn contains(network: IpAddr, length: u32, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((network, whole), (address, of)) = (bits(network), bits(address));
    let mask = u128::MAX.checked_shl(128 - length.min(whole)).unwrap_or(0);
    whole == of && network & mask == address & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tracer_model::event::Flow;

    fn host() -> HostFacts {
        let header = json!({
            "netns": 1,
            "interfaces": [
                {"name": "eth0", "ifindex": 2, "master": 4, "addresses": []},
                {"name": "bond0", "ifindex": 4, "addresses": ["10.1.0.1/24", "fd00::1/64"]},
                {"name": "veth9", "ifindex": 9, "addresses": ["10.9.0.1/24"]},
            ],
            "routes": [
                {"family": "inet", "destination": "default", "interface": "bond0", "table": 254, "route_type": "unicast"},
                {"family": "inet", "destination": "10.7.0.0/16", "table": 254, "route_type": "prohibit"},
            ],
        });
        HostFacts::new(
            "h".into(),
            jiff::tz::TimeZone::UTC,
            header.as_object().unwrap(),
        )
    }

    fn socket(remote: &str, netns: u32) -> Socket {
        let flow = Flow {
            proto: "tcp".into(),
            local: Some(Endpoint::Inet("10.1.0.1:40000".parse().unwrap())),
            remote: Some(Endpoint::Inet(remote.parse().unwrap())),
            netns: Some(netns),
            socket: Some(1),
        };
        Socket::new(0, &flow)
    }

    #[test]
    fn only_an_interface_of_the_same_namespace_and_of_the_route_is_on_the_way() {
        let host = host();
        for (remote, netns, interface, expected) in [
            ("8.8.8.8:53", 1, "bond0", true),
            ("8.8.8.8:53", 1, "eth0", true),
            ("8.8.8.8:53", 1, "veth9", false),
            ("8.8.8.8:53", 2, "bond0", false),
            ("10.9.0.7:80", 1, "veth9", true),
        ] {
            let socket = socket(remote, netns);
            assert_eq!(
                host.is_on_way(&socket, interface),
                expected,
                "{remote} {netns} {interface}"
            );
        }
    }

    #[test]
    fn the_most_specific_route_says_what_becomes_of_a_packet() {
        let host = host();
        let of = |remote: &str| {
            host.route_to(remote.parse().unwrap())
                .map(|route| route.route_type.as_str())
        };
        assert_eq!(of("10.7.1.1"), Some("prohibit"));
        assert_eq!(of("10.8.1.1"), Some("unicast"));
        assert_eq!(of("fd01::1"), None);
        assert!(host.has_address("10.9.0.1".parse().unwrap()));
        assert!(!host.has_address("10.9.0.2".parse().unwrap()));
    }
}
