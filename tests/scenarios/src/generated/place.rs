//! Where a scenario is played: a host, perhaps with a container, a router, a long path, and servers far away.
//!
//! ```text
//! container eth0 10.N.3.2 ─ host ─ eth0 10.N.1.H ─ 10.N.1.254 router 10.N.2.254 ─ relay ─ eth0 10.N.2.11…15 far
//!                                                                                     and fdNN:1::, fdNN:2::, fdNN:3::
//! ```

use std::sync::{Mutex, PoisonError};

use super::dice::Dice;
use crate::relay::Relay;
use crate::world::{Host, relay, wire};

/// What is drawn of a place.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Second byte of all addresses.
    pub net: u64,
    /// Last byte of the host's address.
    pub host: u64,
    pub rtt_ms: u64,
    /// The host's address is on a bridge.
    pub bridge: bool,
    /// The router hides the host behind its own address.
    pub nat: bool,
    pub container: Option<Container>,
}

/// How a container is connected to its host; its addresses are always hidden behind the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Routed,
    Bridged,
}

pub struct Place {
    pub host: Host,
    pub container: Option<Host>,
    pub router: Host,
    pub far: Host,
    pub ground: Ground,
    relay: (Mutex<Relay>, Host),
}

/// Addresses of the far host.
pub const SERVERS: u64 = 5;

impl Ground {
    pub fn draw(dice: &mut Dice) -> Self {
        let container = match dice.between(0, 4) {
            0 => Some(Container::Routed),
            1 => Some(Container::Bridged),
            _ => None,
        };
        Self {
            net: dice.between(1, 250),
            host: dice.between(2, 200),
            rtt_ms: dice.between(1, 12) * dice.between(1, 8),
            bridge: dice.percent(25),
            nat: dice.percent(30),
            container,
        }
    }

    fn v4(&self, lan: u64, host: u64) -> String {
        format!("10.{}.{lan}.{host}", self.net)
    }

    fn v6(&self, lan: u64, host: u64) -> String {
        format!("fd{:02x}:{lan}::{host:x}", self.net)
    }

    /// Address of the far host, without port.
    pub fn server(&self, number: u64, v6: bool) -> String {
        match v6 {
            true => self.v6(2, 11 + number),
            false => self.v4(2, 11 + number),
        }
    }

    /// The network of the far host.
    pub fn far_net(&self, v6: bool) -> String {
        match v6 {
            true => format!("fd{:02x}:2::/64", self.net),
            false => format!("10.{}.2.0/24", self.net),
        }
    }

    /// An address on the host's own wire.
    pub fn near(&self, host: u64, v6: bool) -> String {
        match v6 {
            true => self.v6(1, host),
            false => self.v4(1, host),
        }
    }

    /// The gateway of the host or of its container.
    pub fn gateway(&self, v6: bool) -> String {
        match (self.container.is_some(), v6) {
            (false, _) => self.near(254, v6),
            (true, true) => self.v6(3, 1),
            (true, false) => self.v4(3, 1),
        }
    }

    /// The address of the applications.
    pub fn own(&self, v6: bool) -> String {
        match (self.container.is_some(), v6) {
            (false, _) => self.near(self.host, v6),
            (true, true) => self.v6(3, 2),
            (true, false) => self.v4(3, 2),
        }
    }
}

impl Place {
    pub fn new(ground: &Ground) -> Self {
        let [host, router, far] = ["a", "r", "b"].map(|role| Host::new(role, "", ""));
        wire(&host, "eth0", &router, "toa");
        let relay = relay(&router, "tob", &far, "eth0");
        let mut near = "eth0";
        if ground.bridge {
            near = "br0";
            host.ip("link add br0 type bridge");
            host.ip("link set eth0 master br0 up");
        }
        let up = |at: &Host, device: &str, lan: u64, number: u64| {
            at.up(
                device,
                &format!("{}/24", ground.v4(lan, number)),
                &format!("{}/64", ground.v6(lan, number)),
            );
        };
        up(&host, near, 1, ground.host);
        up(&router, "toa", 1, 254);
        up(&router, "tob", 2, 254);
        for number in 0..SERVERS {
            up(&far, "eth0", 2, 11 + number);
        }
        let gateway = |at: &Host, lan: u64, number: u64| {
            at.ip(&format!("route add default via {}", ground.v4(lan, number)));
            at.ip(&format!(
                "-6 route add default via {}",
                ground.v6(lan, number)
            ));
        };
        gateway(&host, 1, 254);
        gateway(&far, 2, 254);
        forwards(&router);
        let container = ground.container.map(|kind| {
            let container = Host::new("c", "", "");
            let inner = match kind {
                Container::Routed => "vethc0",
                Container::Bridged => "cni0",
            };
            wire(&container, "eth0", &host, "vethc0");
            if kind == Container::Bridged {
                host.ip("link add cni0 type bridge");
                host.ip("link set vethc0 master cni0 up");
            }
            up(&host, inner, 3, 1);
            up(&container, "eth0", 3, 2);
            gateway(&container, 3, 1);
            forwards(&host);
            masquerade(&host, near);
            container
        });
        if ground.nat {
            masquerade(&router, "tob");
        }
        for host in [Some(&host), Some(&far), container.as_ref()]
            .into_iter()
            .flatten()
        {
            host.ip("link set eth0 gso_max_segs 1");
        }
        let place = Self {
            host,
            container,
            router,
            far,
            ground: ground.clone(),
            relay,
        };
        place.path("");
        place
    }

    /// Sets both directions of the path anew, beside their delay: the words of the relay.
    pub fn path(&self, words: &str) {
        self.way("there", words);
        self.way("back", words);
    }

    /// Sets one direction of the path anew: `there` or `back`.
    pub fn way(&self, direction: &str, words: &str) {
        let delay_us = self.ground.rtt_ms * 500;
        let line = format!("{direction} delay_us={delay_us} {words}");
        let (relay, _) = &self.relay;
        relay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(&line);
    }

    /// The namespace of the applications.
    pub fn app(&self) -> &Host {
        self.container.as_ref().unwrap_or(&self.host)
    }

    /// The device by which the applications leave their namespace, with its address.
    pub fn device(&self) -> &'static str {
        match self.ground.bridge && self.container.is_none() {
            true => "br0",
            false => "eth0",
        }
    }
}

fn forwards(host: &Host) {
    host.sh("cd /proc/sys/net; echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding");
}

fn masquerade(host: &Host, device: &str) {
    host.nft(&format!(
        "table inet nat {{ chain out {{ type nat hook postrouting priority 100; oifname {device} masquerade; }}; }}\n"
    ));
}
