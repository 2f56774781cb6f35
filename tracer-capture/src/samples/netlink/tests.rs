use super::*;

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(HEADER + body.len())
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 2]);
    bytes.extend(7_u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn messages_and_attributes_are_taken_apart_with_their_padding() {
    let mut datagram = message(16, b"abcde");
    datagram.extend(message(17, b""));
    let found: Vec<_> = Messages(&datagram)
        .map(|message| (message.kind, message.sequence, message.body))
        .collect();
    assert_eq!(found, [(16, 7, &b"abcde"[..]), (17, 7, &b""[..])]);

    let mut attributes = attribute(0x8000 | 3, b"eth0\0");
    attributes.extend(attribute(4, b""));
    let found: Vec<_> = Attributes(&attributes).collect();
    assert_eq!(found, [(3, &b"eth0\0"[..]), (4, &b""[..])]);
}

#[test]
fn a_length_that_is_too_small_or_too_large_ends_the_walk() {
    for length in [0_u32, 3, 15, 1 << 20, u32::MAX] {
        let mut datagram = message(16, b"abcd");
        datagram[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Messages(&datagram).count(), 0, "{length}");
    }
    for length in [0_u16, 3, 9, u16::MAX] {
        let mut attribute = attribute(1, b"abcd");
        attribute[..2].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Attributes(&attribute).count(), 0, "{length}");
    }
}

#[test]
fn addresses_of_other_lengths_are_no_addresses() {
    assert_eq!(address(&[10, 0, 0, 1]).unwrap().to_string(), "10.0.0.1");
    assert_eq!(address(&[0; 5]), None);
    assert_eq!(link_address(&[2, 0, 0xff]).unwrap(), "02:00:ff");
    assert_eq!(link_address(&[]), None);
}

#[test]
fn the_kernel_answers_a_dump_at_once() {
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE).unwrap();
    let mut kinds = Vec::new();
    let body = [0; 16];
    netlink
        .dump(libc::RTM_GETLINK, &body, |kind, _| kinds.push(kind))
        .unwrap();
    assert!(kinds.contains(&libc::RTM_NEWLINK), "{kinds:?}");
    assert_eq!(
        netlink
            .dump(0xfff0, &body, |_, _| {})
            .unwrap_err()
            .raw_os_error(),
        Some(libc::EOPNOTSUPP)
    );
}
