//! The ends of every family.

use tracer_common::{DestinationPath, head_flag};

use super::*;

#[test]
fn ends_are_shown_as_users_know_them() {
    let flow = flow_of(tcp4(), 0);
    assert_eq!(text(flow.local).as_deref(), Some("10.0.0.1:43210"));
    assert_eq!(text(flow.remote).as_deref(), Some("10.0.0.12:443"));
    assert_eq!(
        (flow.proto.as_ref(), flow.netns, flow.socket),
        ("tcp", Some(77), Some(31))
    );

    let mut mapped = WireFlow {
        family: 10,
        ..tcp4()
    };
    mapped.local = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    mapped.remote = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let flow = flow_of(mapped, 0);
    assert_eq!(
        text(flow.local).as_deref(),
        Some("10.0.0.1:43210"),
        "v4-mapped"
    );
    assert_eq!(text(flow.remote).as_deref(), Some("[2001:db8::1]:443"));

    let raw = flow_of(
        WireFlow {
            sock_type: 3,
            protocol: 1,
            ..tcp4()
        },
        0,
    );
    assert_eq!(
        (raw.proto.as_ref(), text(raw.remote).as_deref()),
        ("raw", Some("10.0.0.12"))
    );
}

#[test]
fn a_remote_end_that_is_not_known_is_missing() {
    assert_eq!(flow_of(tcp4(), head_flag::NO_REMOTE).remote, None);
    let unconnected = WireFlow {
        remote: [0; 16],
        remote_port: 0,
        cookie: 0,
        netns: 0,
        ..tcp4()
    };
    let half = WireFlow {
        remote_port: 0,
        ..tcp4()
    };
    assert_eq!(flow_of(half, 0).remote, None, "the port is gone");
    let asked_for = flow_of(half, head_flag::NAMED_REMOTE).remote;
    assert_eq!(text(asked_for).as_deref(), Some("10.0.0.12:0"));
    let flow = flow_of(unconnected, head_flag::NO_SOCKET);
    assert_eq!((flow.remote, flow.socket, flow.netns), (None, None, None));
    assert_eq!(
        crate::decode::flow(&WireFlow::default(), 0, &Default::default(), &Host),
        None
    );
}

#[test]
fn netlink_packet_and_unix_sockets_have_their_own_ends() {
    let mut netlink = WireFlow {
        family: 16,
        sock_type: 3,
        ..Default::default()
    };
    netlink.local[..4].copy_from_slice(&4_242_u32.to_ne_bytes());
    let flow = flow_of(netlink, 0);
    assert_eq!(text(flow.local).as_deref(), Some("pid 4242"));
    assert_eq!(text(flow.remote).as_deref(), Some("kernel"));

    let mut packet = WireFlow {
        family: 17,
        sock_type: 3,
        netns: 77,
        ..Default::default()
    };
    packet.remote[..4].copy_from_slice(&2_u32.to_ne_bytes());
    assert_eq!(text(flow_of(packet, 0).remote).as_deref(), Some("eth0"));
    packet.netns = 78;
    assert_eq!(
        text(flow_of(packet, 0).remote).as_deref(),
        Some("ifindex 2")
    );

    let unix = WireFlow {
        family: 1,
        sock_type: 2,
        ..Default::default()
    };
    let cases: [(&[u8], Option<&str>); 5] = [
        (b"/run/log", Some("/run/log")),
        (b"/run/log\0\0", Some("/run/log")),
        (b"\0abstract", Some("@abstract")),
        (b"", None),
        (b"\0", None),
    ];
    for (name, expected) in cases {
        let mut path = DestinationPath {
            len: name.len() as u32,
            ..Default::default()
        };
        path.path[..name.len()].copy_from_slice(name);
        let flow = crate::decode::flow(&unix, 0, &path, &Host).expect("a flow");
        assert_eq!(text(flow.remote).as_deref(), expected);
    }
    let long = DestinationPath {
        len: u32::MAX,
        path: [b'x'; 108],
    };
    assert_eq!(
        text(
            crate::decode::flow(&unix, 0, &long, &Host)
                .expect("a flow")
                .remote
        ),
        Some("x".repeat(108))
    );
}

#[test]
fn a_closed_socket_that_gave_its_port_back_has_no_local_end() {
    let mut closed = tcp4();
    closed.local_port = 0;
    let flow = flow_of(closed, 0);
    assert_eq!(text(flow.local), None);
    assert_eq!(text(flow.remote), Some("10.0.0.12:443".to_owned()));
}
