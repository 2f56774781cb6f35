//! What a message about an address of an interface says (`inet_fill_ifaddr`, `inet6_fill_ifaddr`).

use super::netlink::{Attributes, address, u8_at, u32_at};

/// `struct ifaddrmsg`.
pub const FIXED: usize = 8;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub ifindex: u32,
    /// With the length of its prefix: `10.0.0.1/24`.
    pub address: String,
    /// `IFA_F_…` of linux/if_addr.h.
    pub flags: u32,
}

/// The address, from the body of RTM_NEWADDR or RTM_DELADDR; `None` for families other than IPv4 and IPv6.
pub fn parse(body: &[u8]) -> Option<Address> {
    let prefix = u8_at(body, 1)?;
    let ifindex = u32_at(body, 4)?;
    let mut flags = u8_at(body, 2)?.into();
    let (mut local, mut peer) = (None, None);
    for (kind, value) in Attributes::after(body, FIXED) {
        match kind {
            libc::IFA_LOCAL => local = address(value),
            libc::IFA_ADDRESS => peer = address(value),
            libc::IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end.
    let own = local.or(peer)?;
    Some(Address {
        ifindex,
        address: format!("{own}/{prefix}"),
        flags,
    })
}

/// What keeps an address from being used, as `ip address` writes it.
pub fn flags(flags: u32) -> Vec<String> {
    let names = [
        (libc::IFA_F_TENTATIVE, "tentative"),
        (libc::IFA_F_DADFAILED, "dadfailed"),
        (libc::IFA_F_DEPRECATED, "deprecated"),
        (libc::IFA_F_OPTIMISTIC, "optimistic"),
    ];
    let set = names.into_iter().filter(|(bit, _)| flags & bit != 0);
    set.map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::netlink::build::{attribute, hostile};
    use super::*;

    fn message() -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 24, 0x80, 0];
        body.extend(3_u32.to_ne_bytes());
        body.extend(attribute(libc::IFA_ADDRESS, &[10, 0, 0, 9]));
        body.extend(attribute(libc::IFA_LOCAL, &[10, 0, 0, 1]));
        body.extend(attribute(libc::IFA_FLAGS, &0x88_u32.to_ne_bytes()));
        body
    }

    #[test]
    fn the_own_end_is_the_address() {
        let found = parse(&message()).unwrap();
        assert_eq!((found.ifindex, found.address.as_str()), (3, "10.0.0.1/24"));
        assert_eq!(flags(found.flags), ["dadfailed"]);
    }

    #[test]
    fn hostile_messages_are_survived() {
        for body in hostile(&message()) {
            parse(&body);
        }
        assert_eq!(parse(&message()[..8]), None);
    }
}
