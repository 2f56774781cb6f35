//! What a message about an interface says (rtnetlink(7), `rtnl_fill_ifinfo`).

use super::netlink::{Attributes, link_address, text, u8_at, u16_at, u32_at, u64_at};

/// `struct ifinfomsg`.
pub const FIXED: usize = 16;

/// The counters of `struct rtnl_link_stats64`, in its order; newer kernels append.
pub const STATISTICS: [&str; 25] = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_window_errors",
    "rx_compressed",
    "tx_compressed",
    "rx_nohandler",
    "rx_otherhost_dropped",
];

/// An interface, as far as the message describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: Option<String>,
    /// `ARPHRD_…` of linux/if_arp.h.
    pub hardware: u16,
    /// `IFF_…` of linux/if.h.
    pub flags: u32,
    pub mtu: Option<u32>,
    pub operstate: Option<u8>,
    pub master: Option<u32>,
    pub address: Option<String>,
    pub kind: Option<String>,
    pub qdisc: Option<String>,
    pub tx_queue_packets: Option<u32>,
    pub tx_queues: Option<u32>,
    pub rx_queues: Option<u32>,
    pub gso_max_bytes: Option<u32>,
    pub gso_max_segments: Option<u32>,
    /// How often the carrier came or went.
    pub carrier_changes: Option<u32>,
    /// As [`STATISTICS`] names them, as many as the kernel has.
    pub statistics: Vec<u64>,
}

impl Link {
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Neither made of software nor the loopback: there may be a cable.
    pub fn may_be_hardware(&self) -> bool {
        self.kind.is_none() && self.flags & libc::IFF_LOOPBACK as u32 == 0
    }
}

/// The interface, from the body of RTM_NEWLINK or RTM_DELLINK; `None` for a message about something else, such
/// as a port of a bridge (the family is then AF_BRIDGE).
pub fn parse(body: &[u8]) -> Option<Link> {
    if i32::from(u8_at(body, 0)?) != libc::AF_UNSPEC {
        return None;
    }
    let mut link = Link {
        hardware: u16_at(body, 2)?,
        index: u32_at(body, 4)?,
        flags: u32_at(body, 8)?,
        ..Link::default()
    };
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            libc::IFLA_IFNAME => link.name = Some(text(value)),
            libc::IFLA_ADDRESS => link.address = link_address(value),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0),
            libc::IFLA_MASTER => link.master = u32_at(value, 0).filter(|index| *index != 0),
            libc::IFLA_OPERSTATE => link.operstate = u8_at(value, 0),
            libc::IFLA_QDISC => link.qdisc = Some(text(value)),
            libc::IFLA_TXQLEN => link.tx_queue_packets = u32_at(value, 0),
            libc::IFLA_NUM_TX_QUEUES => link.tx_queues = u32_at(value, 0),
            libc::IFLA_NUM_RX_QUEUES => link.rx_queues = u32_at(value, 0),
            IFLA_GSO_MAX_SEGS => link.gso_max_segments = u32_at(value, 0),
            IFLA_GSO_MAX_SIZE => link.gso_max_bytes = u32_at(value, 0),
            libc::IFLA_CARRIER_CHANGES => link.carrier_changes = u32_at(value, 0),
            libc::IFLA_LINKINFO => {
                let mut nested = Attributes(value);
                let kind = nested.find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value));
            }
            libc::IFLA_STATS64 => {
                let counters = (0..STATISTICS.len()).map_while(|at| u64_at(value, at * 8));
                link.statistics = counters.collect();
            }
            _ => {}
        }
    }
    Some(link)
}

// linux/if_link.h
const IFLA_GSO_MAX_SEGS: u16 = 40;
const IFLA_GSO_MAX_SIZE: u16 = 41;

/// RFC 2863 as `ip link` writes it.
pub fn operstate(number: u8) -> String {
    let names = [
        "UNKNOWN",
        "NOTPRESENT",
        "DOWN",
        "LOWERLAYERDOWN",
        "TESTING",
        "DORMANT",
        "UP",
    ];
    let name = names.get(usize::from(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// The flags that tell whether something can be sent, as `ip link` writes them.
pub fn flags(flags: u32) -> Vec<String> {
    /// libc has it for other systems only.
    const IFF_LOWER_UP: u32 = 1 << 16;
    let names = [
        (IFF_LOWER_UP, "LOWER_UP"),
        (libc::IFF_UP as u32, "UP"),
        (libc::IFF_RUNNING as u32, "RUNNING"),
        (libc::IFF_LOOPBACK as u32, "LOOPBACK"),
        (libc::IFF_PROMISC as u32, "PROMISC"),
        (libc::IFF_NOARP as u32, "NOARP"),
        (libc::IFF_MASTER as u32, "MASTER"),
        (libc::IFF_SLAVE as u32, "SLAVE"),
    ];
    let set = names.into_iter().filter(|(bit, _)| flags & bit != 0);
    set.map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::netlink::build::{attribute, hostile};
    use super::*;

    /// A message about `eth0`, with `statistics` counters of value 5.
    pub fn message(statistics: usize) -> Vec<u8> {
        let mut body = vec![0; 2];
        body.extend(1_u16.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend(0x1_1043_u32.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        body.extend(attribute(libc::IFLA_MTU, &1500_u32.to_ne_bytes()));
        body.extend(attribute(libc::IFLA_OPERSTATE, &[6]));
        let info = attribute(libc::IFLA_INFO_KIND, b"veth\0");
        body.extend(attribute(0x8000 | libc::IFLA_LINKINFO, &info));
        body.extend(attribute(4000, b"from the future"));
        let counters: Vec<u8> = [5_u64]
            .repeat(statistics)
            .iter()
            .flat_map(|c| c.to_ne_bytes())
            .collect();
        body.extend(attribute(libc::IFLA_STATS64, &counters));
        body
    }

    #[test]
    fn an_interface_is_read_from_its_message() {
        let link = parse(&message(23)).unwrap();
        assert_eq!(
            (link.index, link.name.as_deref(), link.mtu),
            (7, Some("eth0"), Some(1500))
        );
        assert_eq!(
            (link.kind.as_deref(), link.statistics.len()),
            (Some("veth"), 23)
        );
        assert_eq!(flags(link.flags), ["LOWER_UP", "UP", "RUNNING"]);
        assert_eq!(link.operstate.map(operstate).as_deref(), Some("UP"));
        assert!(link.is_up() && !link.may_be_hardware());
    }

    #[test]
    fn a_newer_kernel_may_append_counters() {
        assert_eq!(
            parse(&message(40)).unwrap().statistics.len(),
            STATISTICS.len()
        );
    }

    #[test]
    fn a_port_of_a_bridge_is_no_interface() {
        let mut body = message(0);
        body[0] = libc::AF_BRIDGE as u8;
        assert_eq!(parse(&body), None);
    }

    #[test]
    fn hostile_messages_are_survived() {
        for body in hostile(&message(3)) {
            if let Some(link) = parse(&body) {
                assert!(link.statistics.len() <= STATISTICS.len());
            }
        }
    }

    #[test]
    fn a_state_from_the_future_is_its_number() {
        assert_eq!(operstate(200), "200");
    }
}
