use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::super::netlink::build::{attribute, hostile};
use super::*;

fn key(local: &str, remote: &str) -> SocketKey {
    SocketKey {
        proto: SocketProto::Tcp,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        cookie: None,
        netns: None,
    }
}

fn answer(state: u8) -> Vec<u8> {
    let mut body = vec![0; FIXED];
    body[1] = state;
    body[2] = 1;
    body[3] = 5;
    body[52..56].copy_from_slice(&400_u32.to_ne_bytes());
    body[60..64].copy_from_slice(&92_160_u32.to_ne_bytes());
    body.extend(attribute(INET_DIAG_INFO, &[1; 104]));
    body.extend(attribute(INET_DIAG_CONG, b"cubic\0"));
    body.extend(attribute(INET_DIAG_SKMEMINFO, &[1; 36]));
    body
}

#[test]
fn an_answer_is_read_with_its_timer_and_attributes() {
    let mut sample = SocketSample::default();
    fill(&answer(1), &key("10.0.0.1:1", "10.0.0.2:2"), &mut sample);
    assert_eq!(sample.found, Found::Yes);
    assert_eq!(sample.state.as_deref(), Some("ESTABLISHED"));
    assert_eq!(sample.send_queue_bytes, Some(92_160));
    let timer = sample.timer.unwrap();
    assert_eq!(
        (timer.kind.as_str(), timer.expires_ms, timer.retrans),
        ("on", 400, 5)
    );
    assert_eq!(sample.congestion.as_deref(), Some("cubic"));
    assert!(sample.memory.is_some_and(|memory| memory.drops.is_some()));
    assert!(sample.tcp.is_some_and(|tcp| tcp.bytes_sent.is_none()));
}

#[test]
fn whoever_listens_is_not_the_connection_that_was_asked_for() {
    let mut sample = SocketSample::default();
    fill(
        &answer(TCP_LISTEN),
        &key("10.0.0.1:1", "10.0.0.2:2"),
        &mut sample,
    );
    assert_eq!((sample.found, sample.state), (Found::NotFound, None));
}

#[test]
fn hostile_answers_are_survived() {
    let key = key("[::1]:1", "[::1]:2");
    for body in hostile(&answer(1)) {
        fill(&body, &key, &mut SocketSample::default());
    }
}

#[test]
fn what_a_newer_tool_found_is_unknown_here() {
    let text = r#"{"proto":"tcp","found":"in_limbo","colour":"red"}"#;
    let sample: SocketSample = serde_json::from_str(text).unwrap();
    assert_eq!(
        (sample.proto.as_str(), sample.found),
        ("tcp", Found::Unknown)
    );
    for found in [
        Found::Yes,
        Found::TimeWait,
        Found::Other,
        Found::NotFound,
        Found::OtherNetns,
        Found::Unknown,
    ] {
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(
            serde_json::from_str::<Found>(&text).unwrap(),
            found,
            "{text}"
        );
    }
}

/// A connection within this process: both ends.
fn connection(listen: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

fn key_of(socket: &TcpStream) -> SocketKey {
    SocketKey {
        proto: SocketProto::Tcp,
        local: socket.local_addr().unwrap(),
        remote: socket.peer_addr().unwrap(),
        cookie: socket2::SockRef::from(socket).cookie().ok(),
        netns: None,
    }
}

#[test]
fn a_connection_is_found_by_its_addresses_and_its_cookie() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(probe) = TcpListener::bind(listen) else {
            continue; // No IPv6 here.
        };
        drop(probe);
        let (_listener, mut client, mut server) = connection(listen);
        client.write_all(b"twelve bytes").unwrap();
        server.write_all(b"ok").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();

        let sample = sample(&mut netlink, &key_of(&server), None);
        assert_eq!(sample.found, Found::Yes, "{sample:?}");
        assert_eq!(sample.state.as_deref(), Some("ESTABLISHED"));
        assert_eq!(sample.recv_queue_bytes, Some(12));
        let tcp = sample.tcp.unwrap();
        assert_eq!(tcp.bytes_received, Some(12));
        assert!(sample.memory.unwrap().sndbuf_bytes > 0 && sample.congestion.is_some());
    }
}

#[test]
fn another_socket_with_the_same_addresses_is_told_apart_by_its_cookie() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    let (_listener, client, _server) = connection("127.0.0.1:0");
    let mut other = key_of(&client);
    other.cookie = other.cookie.map(|cookie| cookie ^ 1 << 40);
    let sample = sample(&mut netlink, &other, None);
    assert_eq!((sample.found, sample.tcp), (Found::Other, None));
}

#[test]
fn a_closed_socket_is_said_so_although_its_listener_is_still_there() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    let (_listener, client, server) = connection("127.0.0.1:0");
    let (of_client, of_server) = (key_of(&client), key_of(&server));
    // A reset leaves nothing behind on either side.
    socket2::SockRef::from(&client)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    drop(server);
    for key in [&of_client, &of_server] {
        assert_eq!(sample(&mut netlink, key, None).found, Found::NotFound);
        let without = SocketKey {
            cookie: None,
            ..key.clone()
        };
        assert_eq!(sample(&mut netlink, &without, None).found, Found::NotFound);
    }
}

#[test]
fn a_connection_in_its_last_minute_has_no_cookie_to_tell() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    let (_listener, client, mut server) = connection("127.0.0.1:0");
    let key = key_of(&client);
    drop(client);
    // The end of the other side has come: now close this one, which ends the client's wait for it.
    server.read_exact(&mut [0]).unwrap_err();
    drop(server);
    assert_eq!(sample(&mut netlink, &key, None).found, Found::TimeWait);
}

#[test]
fn a_connected_udp_socket_is_found() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    let (one, other) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    one.connect(other.local_addr().unwrap()).unwrap();
    let key = SocketKey {
        proto: SocketProto::Udp,
        local: one.local_addr().unwrap(),
        remote: other.local_addr().unwrap(),
        cookie: socket2::SockRef::from(&one).cookie().ok(),
        netns: None,
    };
    let sample = sample(&mut netlink, &key, None);
    assert_eq!(sample.found, Found::Yes, "{sample:?}");
    assert!(sample.memory.is_some() && sample.tcp.is_none());
}

#[test]
fn a_socket_of_another_namespace_is_not_looked_for_here() {
    let mut netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).unwrap();
    let elsewhere = SocketKey {
        netns: Some(4),
        ..key("127.0.0.1:1", "127.0.0.1:2")
    };
    assert_eq!(
        sample(&mut netlink, &elsewhere, Some(5)).found,
        Found::OtherNetns
    );
}
