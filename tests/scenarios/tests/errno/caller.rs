//! Errors that the caller's own arguments make, or the state that it left its socket in.

use scenarios::Connection;

use crate::matrix::{Expected, Ip, Matrix};

const NOTHING_SENT: (&str, i32) = ("EPIPE", libc::EPIPE);

pub fn checks(matrix: &mut Matrix, ip: Ip) {
    let (udp, tcp) = (ip.kind("udp"), ip.kind("tcp"));
    let to = ip.remote(9100);
    let name = |errno: &str, kind: &str, how: &str| format!("{errno} {kind} {how}");

    matrix.check(&name("EDESTADDRREQ", &udp, "no destination"), |m| {
        let mut peer = m.world.a.peer("nowhere");
        peer.ok(&format!("open u {udp}"));
        let error = ("EDESTADDRREQ", libc::EDESTADDRREQ);
        m.fails(&mut peer, "send u BYTES", ("udp", None), error)
    });
    matrix.check(&name("EINVAL", &udp, "port 0"), |m| {
        let mut peer = m.world.a.peer("port-zero");
        peer.ok(&format!("open u {udp}"));
        let zero = ip.remote(0);
        let error = ("EINVAL", libc::EINVAL);
        m.fails(
            &mut peer,
            &format!("sendto u BYTES {zero}"),
            ("udp", Some(&zero)),
            error,
        )
    });
    for (how, command) in [("sendto", "sendto"), ("sendmsg", "sendmsg")] {
        matrix.check(&name("EMSGSIZE", &udp, &format!("too long, {how}")), |m| {
            let mut peer = m.world.a.peer("too-long");
            peer.ok(&format!("open u {udp}"));
            let bytes = 70_000 + m.bytes();
            peer.fails(&format!("{command} u {bytes} {to}"), libc::EMSGSIZE);
            m.expect(&Expected {
                peer: &peer,
                bytes,
                proto: "udp",
                remote: Some(&to),
                name: "EMSGSIZE",
                errno: libc::EMSGSIZE,
                count: 1,
            })
        });
    }
    matrix.check(&name("EMSGSIZE", &udp, "longer than the MTU"), |m| {
        let mut peer = m.world.a.peer("no-fragments");
        peer.ok(&format!("open u {udp}"));
        peer.ok(&format!("{} u", ip.kind("no-fragments")));
        let bytes = 2_000 + m.bytes();
        peer.fails(&format!("sendto u {bytes} {to}"), libc::EMSGSIZE);
        m.expect(&Expected {
            peer: &peer,
            bytes,
            proto: "udp",
            remote: Some(&to),
            name: "EMSGSIZE",
            errno: libc::EMSGSIZE,
            count: 1,
        })
    });
    for kind in [&udp, &tcp] {
        matrix.check(&name("EFAULT", kind, "data at a bad address"), |m| {
            let error = ("EFAULT", libc::EFAULT);
            if kind == &tcp {
                let mut pair = connect(m, ip, "bad-pointer");
                let remote = pair.remote.clone();
                let flow = ("tcp", Some(remote.as_str()));
                m.fails(&mut pair.client, "send-unmapped c BYTES", flow, error)
            } else {
                let mut peer = m.world.a.peer("bad-pointer");
                peer.ok(&format!("open u {udp}"));
                peer.ok(&format!("connect u {to}"));
                let flow = ("udp", Some(to.as_str()));
                m.fails(&mut peer, "send-unmapped u BYTES", flow, error)
            }
        });
    }
    matrix.check(&name("EPIPE", &tcp, "after shutdown"), |m| {
        let mut pair = connect(m, ip, "shut-down");
        pair.client.ok("shutdown c");
        let remote = pair.remote.clone();
        let flow = ("tcp", Some(remote.as_str()));
        m.fails(&mut pair.client, "send c BYTES", flow, NOTHING_SENT)
    });
    matrix.check(&name("EPIPE", &tcp, "and killed by SIGPIPE"), |m| {
        let mut pair = connect(m, ip, "sigpipe");
        pair.client.ok("shutdown c");
        let bytes = m.bytes();
        pair.client.tell(&format!("send-or-die c {bytes}"));
        assert_eq!(pair.client.died_of(), Some(libc::SIGPIPE));
        m.expect(&Expected {
            peer: &pair.client,
            bytes,
            proto: "tcp",
            remote: Some(&pair.remote),
            name: "EPIPE",
            errno: libc::EPIPE,
            count: 1,
        })
    });
    matrix.check(&name("EPIPE", &tcp, "never connected"), |m| {
        let mut peer = m.world.a.peer("unconnected");
        peer.ok(&format!("open c {tcp}"));
        m.fails(&mut peer, "send c BYTES", ("tcp", None), NOTHING_SENT)
    });
    matrix.check(&name("ENOTCONN", &tcp, "never connected"), |_| {
        Err("a TCP socket that is not connected answers EPIPE, which is its own check".to_owned())
    });
}

/// What IP sockets do not return, from sockets that do.
pub fn other_families(matrix: &mut Matrix) {
    for kind in ["unix-stream", "unix-seqpacket", "unix-dgram"] {
        matrix.check(&format!("ENOTCONN {kind} never connected"), |m| {
            let mut peer = m.world.a.peer("unconnected");
            peer.ok(&format!("open u {kind}"));
            let proto = kind.replace('-', "_");
            let error = ("ENOTCONN", libc::ENOTCONN);
            m.fails(&mut peer, "send u BYTES", (&proto, None), error)
        });
    }
}

/// A connection whose client has this name.
pub fn connect(matrix: &Matrix, ip: Ip, name: &str) -> Connection {
    match ip {
        Ip::V4 => Connection::new(&matrix.world, name, "errno-server"),
        Ip::V6 => Connection::new6(&matrix.world, name, "errno-server"),
    }
}
