//! The network of the self-test, by netlink: addresses on `lo`, and a wire between two interfaces.
//!
//! ```text
//! lo   198.18.0.1 (who sends), 198.18.0.2 (who receives)      2001:db8::1, 2001:db8::2
//! out  198.18.1.1/24  ──── narrow, whose end takes no frame of more than 1000 bytes of payload
//! ```
//! The addresses are those of benchmarks (RFC 2544) and of documentation (RFC 3849).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, new_connection};

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, netlink, _) = new_connection().context("cannot open a netlink socket")?;
        tokio::spawn(connection);
        loopback(&netlink)
            .await
            .context("cannot set up the loopback interface")?;
        let v6 = loopback_v6(&netlink).await;
        let wire = wire(&netlink).await;
        let wire_v6 = match (&v6, &wire) {
            (Ok(()), Ok(index)) => neighbour(&netlink, *index, 1).await,
            (Err(why), _) | (_, Err(why)) => Err(anyhow::anyhow!("{why:#}")),
        };
        let text =
            |result: Result<()>, what: &str| result.map_err(|error| format!("{what}: {error:#}"));
        Ok(Network {
            v6: text(v6, "this host gives a network namespace no IPv6"),
            wire_v6: text(wire_v6, "no wire for IPv6"),
            wire: text(
                wire.map(drop),
                "no pair of virtual interfaces (veth) can be made",
            ),
        })
    })
}

async fn loopback(netlink: &Handle) -> Result<()> {
    let change = LinkUnspec::new_with_index(LOOPBACK)
        .mtu(MTU)
        // One segment per packet: what is lost is a segment, not a bundle.
        .append_extra_attribute(LinkAttribute::GsoMaxSegs(1))
        .up()
        .build();
    netlink.link().change(change).execute().await?;
    for at in [SENDER[0], RECEIVER[0]] {
        netlink.address().add(LOOPBACK, at, 32).execute().await?;
    }
    Ok(())
}

async fn loopback_v6(netlink: &Handle) -> Result<()> {
    for at in [SENDER[1], RECEIVER[1]] {
        address(netlink, LOOPBACK, at, 128).await?;
    }
    Ok(())
}

/// Without looking for duplicates, so that the address works at once.
async fn address(netlink: &Handle, index: u32, at: IpAddr, prefix: u8) -> Result<()> {
    let mut request = netlink.address().add(index, at, prefix);
    request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    Ok(request.execute().await?)
}

/// Index of this end.
async fn wire(netlink: &Handle) -> Result<u32> {
    let pair = LinkVeth::new(WIRE, WIRE_END).build();
    netlink.link().add(pair).execute().await?;
    let (near, far) = (if_nametoindex(WIRE)?, if_nametoindex(WIRE_END)?);
    let far = LinkUnspec::new_with_index(far).mtu(NARROW_MTU).up().build();
    netlink.link().change(far).execute().await?;
    let up = LinkUnspec::new_with_index(near).up().build();
    netlink.link().change(up).execute().await?;
    neighbour(netlink, near, 0).await?;
    Ok(near)
}

/// An address at this end, and who is said to be at the other: nobody is asked.
async fn neighbour(netlink: &Handle, index: u32, family: usize) -> Result<()> {
    let prefix = [24, 64][family];
    address(netlink, index, NEAR[family], prefix).await?;
    let neighbour = netlink
        .neighbours()
        .add(index, FAR[family])
        .link_layer_address(&NEIGHBOUR);
    Ok(neighbour.execute().await?)
}
