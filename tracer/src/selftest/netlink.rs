//! The network of the self-test, by netlink: addresses on `lo`, and a wire between two interfaces.
//!
//! ```text
//! lo   198.18.0.1 (who sends), 198.18.0.2 (who receives)      2001:db8::1, 2001:db8::2
//! out  198.18.1.1/24  ──── narrow, whose end takes no frame of more than 1000 bytes of payload
//! ```
//! The addresses are those of benchmarks (RFC 2544) and of documentation (RFC 3849).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use tracer_capture::samples::netlink::{Netlink, attribute};

/// Who sends.
pub const SENDER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
/// Who receives.
pub const RECEIVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
/// This end of the wire.
pub const NEAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)),
];
/// What is said to be beyond it.
pub const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 1, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2)),
];
/// The interface at this end of the wire.
pub const WIRE: &str = "out";
const WIRE_END: &str = "narrow";
const NARROW_MTU: u32 = 1000;
/// So that segments are as on a common wire; the loopback's own would be 64 KiB.
const MTU: u32 = 1500;
const LOOPBACK: u32 = 1;
const NEIGHBOUR: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// What could be had.
#[derive(Clone, Debug)]
pub struct Network {
    /// Why there is no IPv6.
    pub v6: Result<(), String>,
    /// Why there is no wire.
    pub wire: Result<(), String>,
    /// Why the wire has no IPv6.
    pub wire_v6: Result<(), String>,
}

/// Sets up the network namespace of the calling thread.
///
/// # Errors
/// When not even IPv4 on the loopback can be had.
pub fn set_up() -> Result<Network> {
    let netlink =
        &mut Netlink::open(libc::NETLINK_ROUTE).context("cannot open a netlink socket")?;
    loopback(netlink).context("cannot set up the loopback interface")?;
    let v6 = loopback_v6(netlink);
    let wire = wire(netlink);
    let wire_v6 = match (&v6, &wire) {
        (Ok(()), Ok(index)) => neighbour(netlink, *index, 1),
        (Err(why), _) | (_, Err(why)) => Err(io::Error::other(why.to_string())),
    };
    let text =
        |result: io::Result<()>, what: &str| result.map_err(|error| format!("{what}: {error}"));
    Ok(Network {
        v6: text(v6, "this host gives a network namespace no IPv6"),
        wire_v6: text(wire_v6, "no wire for IPv6"),
        wire: text(
            wire.map(drop),
            "no pair of virtual interfaces (veth) can be made",
        ),
    })
}

/// What is made must not be there yet.
const NEW: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
// linux/if_link.h, linux/veth.h
const IFLA_GSO_MAX_SEGS: u16 = 40;
const VETH_INFO_PEER: u16 = 1;
const NUD_PERMANENT: u16 = 0x80;

fn loopback(netlink: &mut Netlink) -> io::Result<()> {
    // One segment per packet: what is lost is a segment, not a bundle.
    let one_segment = attribute(IFLA_GSO_MAX_SEGS, &1_u32.to_ne_bytes());
    up(netlink, LOOPBACK, &[mtu(MTU), one_segment].concat())?;
    for at in [SENDER[0], RECEIVER[0]] {
        address(netlink, LOOPBACK, at, 32)?;
    }
    Ok(())
}

fn loopback_v6(netlink: &mut Netlink) -> io::Result<()> {
    for at in [SENDER[1], RECEIVER[1]] {
        address(netlink, LOOPBACK, at, 128)?;
    }
    Ok(())
}

/// `struct ifinfomsg` of an interface that is up, or stays as it is.
fn link(index: u32, flags: i32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [index, flags as u32, flags as u32] {
        body.extend(word.to_ne_bytes());
    }
    body
}

fn mtu(bytes: u32) -> Vec<u8> {
    attribute(libc::IFLA_MTU, &bytes.to_ne_bytes())
}

fn up(netlink: &mut Netlink, index: u32, attributes: &[u8]) -> io::Result<()> {
    let body = [&link(index, libc::IFF_UP), attributes].concat();
    netlink.tell(libc::RTM_NEWLINK, 0, &body)
}

fn family(at: IpAddr) -> (u8, Vec<u8>) {
    match at {
        IpAddr::V4(at) => (libc::AF_INET as u8, at.octets().to_vec()),
        IpAddr::V6(at) => (libc::AF_INET6 as u8, at.octets().to_vec()),
    }
}

/// Without looking for duplicates, so that the address works at once.
fn address(netlink: &mut Netlink, index: u32, at: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, bytes) = family(at);
    // `struct ifaddrmsg`.
    let mut body = vec![family, prefix, libc::IFA_F_NODAD as u8, 0];
    body.extend(index.to_ne_bytes());
    body.extend(attribute(libc::IFA_LOCAL, &bytes));
    body.extend(attribute(libc::IFA_ADDRESS, &bytes));
    netlink.tell(libc::RTM_NEWADDR, NEW, &body)
}

/// Index of this end.
fn wire(netlink: &mut Netlink) -> io::Result<u32> {
    let name = |name: &str| attribute(libc::IFLA_IFNAME, format!("{name}\0").as_bytes());
    let end = [link(0, 0), name(WIRE_END)].concat();
    let data = attribute(VETH_INFO_PEER, &end);
    let kind = [
        attribute(libc::IFLA_INFO_KIND, b"veth"),
        attribute(libc::IFLA_INFO_DATA, &data),
    ];
    let kind = attribute(libc::IFLA_LINKINFO, &kind.concat());
    let pair = [link(0, 0), name(WIRE), kind].concat();
    netlink.tell(libc::RTM_NEWLINK, NEW, &pair)?;
    let (near, far) = (if_nametoindex(WIRE)?, if_nametoindex(WIRE_END)?);
    up(netlink, far, &mtu(NARROW_MTU))?;
    up(netlink, near, &[])?;
    neighbour(netlink, near, 0)?;
    Ok(near)
}

/// An address at this end, and who is said to be at the other: nobody is asked.
fn neighbour(netlink: &mut Netlink, index: u32, which: usize) -> io::Result<()> {
    address(netlink, index, NEAR[which], [24, 64][which])?;
    let (family, bytes) = family(FAR[which]);
    // `struct ndmsg`.
    let mut body = vec![family, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(NUD_PERMANENT.to_ne_bytes());
    body.extend([0, 0]);
    body.extend(attribute(libc::NDA_DST, &bytes));
    body.extend(attribute(libc::NDA_LLADDR, &NEIGHBOUR));
    netlink.tell(libc::RTM_NEWNEIGH, NEW, &body)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn ip(arguments: &str) -> serde_json::Value {
        let output = Command::new("ip")
            .arg("-j")
            .args(arguments.split(' '))
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[test]
    fn root_the_network_of_the_self_test_is_what_ip_says() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        // A thread of its own, so that the namespace goes with it.
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let network = set_up().unwrap();
            network.wire.unwrap();
            let lo = &ip("link show lo")[0];
            assert_eq!((&lo["mtu"], &lo["flags"][1]), (&1500.into(), &"UP".into()));
            let end = &ip("link show narrow")[0];
            assert_eq!(
                (&end["mtu"], &end["operstate"]),
                (&1000.into(), &"UP".into())
            );
            let own = ip("-4 addr show dev out");
            assert_eq!(own[0]["addr_info"][0]["local"], "198.18.1.1");
            assert_eq!(own[0]["addr_info"][0]["prefixlen"], 24);
            let far = &ip("-4 neigh show dev out")[0];
            assert_eq!(far["dst"], "198.18.1.2");
            assert_eq!(far["lladdr"], "02:00:00:00:00:01");
            assert_eq!(far["state"][0], "PERMANENT");
            if network.v6.is_ok() {
                network.wire_v6.unwrap();
                assert_eq!(ip("-6 neigh show dev out")[0]["dst"], "2001:db8:0:1::2");
            }
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
