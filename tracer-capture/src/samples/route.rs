//! What messages about routes and neighbours say (`fib_dump_info`, `rt6_fill_node`, `neigh_fill_info`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{Attributes, address, link_address, u8_at, u16_at, u32_at};
use tracer_model::samples::Route;

/// `struct rtmsg` and `struct ndmsg` alike.
const FIXED: usize = 12;
/// A cached decision, not a route.
const RTM_F_CLONED: u32 = 0x200;
const RTAX_MTU: u16 = 2;
/// Addresses that the host has: the record of the address says it already.
const TABLE_LOCAL: u32 = 255;

/// The route, from the body of RTM_NEWROUTE or RTM_DELROUTE; `None` for other families than IPv4 and IPv6, for
/// cached decisions, and for the table `local`, which only repeats the addresses.
pub fn parse(body: &[u8]) -> Option<Route> {
    let family = i32::from(u8_at(body, 0)?);
    let (name, anywhere): (_, IpAddr) = match family {
        libc::AF_INET => ("inet", Ipv4Addr::UNSPECIFIED.into()),
        libc::AF_INET6 => ("inet6", Ipv6Addr::UNSPECIFIED.into()),
        _ => return None,
    };
    let prefix = u8_at(body, 1)?;
    let mut route = Route {
        family: name.to_owned(),
        table: u8_at(body, 4)?.into(),
        protocol: protocol(u8_at(body, 5)?),
        route_type: route_type(u8_at(body, 7)?),
        ..Route::default()
    };
    if u32_at(body, 8)? & RTM_F_CLONED != 0 {
        return None;
    }
    let mut destination = anywhere;
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            libc::RTA_DST => destination = address(value)?,
            libc::RTA_GATEWAY => route.gateway = address(value).map(|ip| ip.to_string()),
            // The family of the gateway stands before it: IPv4 by way of IPv6.
            libc::RTA_VIA => {
                let via = value.get(2..).and_then(address);
                route.gateway = via.map(|ip| ip.to_string());
            }
            libc::RTA_PREFSRC => route.preferred_source = address(value).map(|ip| ip.to_string()),
            libc::RTA_OIF => route.ifindex = u32_at(value, 0),
            libc::RTA_PRIORITY => route.metric = u32_at(value, 0),
            libc::RTA_TABLE => route.table = u32_at(value, 0)?,
            libc::RTA_METRICS => {
                let mtu = Attributes(value).find(|(kind, _)| *kind == RTAX_MTU);
                route.mtu = mtu.and_then(|(_, value)| u32_at(value, 0));
            }
            libc::RTA_MULTIPATH => route.next_hops = Some(next_hops(value)),
            _ => {}
        }
    }
    route.destination = match prefix {
        0 => "default".to_owned(),
        _ => format!("{destination}/{prefix}"),
    };
    (route.table != TABLE_LOCAL).then_some(route)
}

/// How many `struct rtnexthop` there are: each has its length first.
fn next_hops(mut value: &[u8]) -> u32 {
    let mut count = 0;
    while let Some(length) = u16_at(value, 0).map(usize::from) {
        if length < 8 || length > value.len() {
            break;
        }
        count += 1;
        value = value.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    count
}

/// As iproute2 names them.
fn protocol(number: u8) -> String {
    match number {
        1 => "redirect".to_owned(),
        2 => "kernel".to_owned(),
        3 => "boot".to_owned(),
        4 => "static".to_owned(),
        9 => "ra".to_owned(),
        12 => "bird".to_owned(),
        16 => "dhcp".to_owned(),
        18 => "keepalived".to_owned(),
        186 => "bgp".to_owned(),
        187 => "isis".to_owned(),
        188 => "ospf".to_owned(),
        189 => "rip".to_owned(),
        192 => "eigrp".to_owned(),
        other => other.to_string(),
    }
}

fn route_type(number: u8) -> String {
    let names = [
        "none",
        "unicast",
        "local",
        "broadcast",
        "anycast",
        "multicast",
        "blackhole",
        "unreachable",
        "prohibit",
        "throw",
        "nat",
    ];
    let name = names.get(usize::from(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// A neighbour, as a message describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub ifindex: u32,
    pub address: IpAddr,
    /// `NUD_…` of linux/neighbour.h.
    pub state: u16,
    pub link_address: Option<String>,
}

/// The neighbour, from the body of RTM_NEWNEIGH or RTM_DELNEIGH; `None` for entries of bridges (AF_BRIDGE).
pub fn parse_neighbour(body: &[u8]) -> Option<Neighbour> {
    if !matches!(i32::from(u8_at(body, 0)?), libc::AF_INET | libc::AF_INET6) {
        return None;
    }
    let (mut at, mut link) = (None, None);
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            libc::NDA_DST => at = address(value),
            libc::NDA_LLADDR => link = link_address(value),
            _ => {}
        }
    }
    Some(Neighbour {
        ifindex: u32_at(body, 4)?,
        state: u16_at(body, 8)?,
        address: at?,
        link_address: link,
    })
}

#[cfg(test)]
pub mod tests {
    use super::super::netlink::build::{attribute, hostile};
    use super::*;

    fn message() -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 8, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(libc::RTA_DST, &[10, 0, 0, 0]));
        body.extend(attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1]));
        body.extend(attribute(libc::RTA_OIF, &3_u32.to_ne_bytes()));
        body.extend(attribute(libc::RTA_PRIORITY, &100_u32.to_ne_bytes()));
        body.extend(attribute(
            libc::RTA_METRICS,
            &attribute(RTAX_MTU, &1400_u32.to_ne_bytes()),
        ));
        body.extend(attribute(
            libc::RTA_MULTIPATH,
            &[8, 0, 0, 0, 1, 0, 0, 0].repeat(2),
        ));
        body
    }

    pub fn any() -> Route {
        parse(&message()).unwrap()
    }

    #[test]
    fn a_route_reads_as_ip_route_prints_it() {
        let route = parse(&message()).unwrap();
        assert_eq!(
            (route.family.as_str(), route.destination.as_str()),
            ("inet", "10.0.0.0/8")
        );
        assert_eq!(route.gateway.as_deref(), Some("192.0.2.1"));
        assert_eq!(
            (route.ifindex, route.metric, route.mtu),
            (Some(3), Some(100), Some(1400))
        );
        assert_eq!(
            (route.protocol.as_str(), route.route_type.as_str()),
            ("static", "unicast")
        );
        assert_eq!((route.table, route.next_hops), (254, Some(2)));
    }

    #[test]
    fn cached_decisions_and_the_local_table_are_no_routes() {
        let mut body = message();
        body[9] = 2;
        assert_eq!(parse(&body), None);
        body = message();
        body[4] = 255;
        assert_eq!(parse(&body), None);
    }

    #[test]
    fn a_neighbour_is_read() {
        let mut body = vec![libc::AF_INET6 as u8, 0, 0, 0, 5, 0, 0, 0, 0x20, 0, 0, 1];
        body.extend(attribute(libc::NDA_DST, &Ipv6Addr::LOCALHOST.octets()));
        let found = parse_neighbour(&body).unwrap();
        assert_eq!((found.ifindex, found.state), (5, 0x20));
        assert_eq!(
            (found.address, found.link_address),
            (Ipv6Addr::LOCALHOST.into(), None)
        );
    }

    #[test]
    fn hostile_messages_are_survived() {
        for body in hostile(&message()) {
            parse(&body);
            parse_neighbour(&body);
        }
    }
}
