//! Errors that the way to the peer makes: routes, neighbours, and the peer itself.

use scenarios::{Host, SOON};

use crate::caller::connect;
use crate::matrix::{Ip, Matrix};

pub fn checks(matrix: &mut Matrix, ip: Ip) {
    let udp = ip.kind("udp");
    for (errno, name, route) in [
        (libc::ENETUNREACH, "ENETUNREACH", None),
        (libc::EHOSTUNREACH, "EHOSTUNREACH", Some("unreachable")),
        (libc::EACCES, "EACCES", Some("prohibit")),
        (libc::EINVAL, "EINVAL", Some("blackhole")),
    ] {
        let how = route.map_or("no route".to_owned(), |kind| format!("{kind} route"));
        matrix.check(&format!("{name} {udp} {how}"), |m| {
            let (to, net) = ip.pick(
                ("203.0.113.9:9200", "203.0.113.0/24"),
                ("[2001:db8::9]:9200", "2001:db8::/32"),
            );
            let version = ip.pick("-4", "-6");
            if let Some(kind) = route {
                m.world.a.ip(&format!("{version} route add {kind} {net}"));
            }
            let mut peer = m.world.a.peer("no-way");
            peer.ok(&format!("open u {udp}"));
            let ended = m.fails(
                &mut peer,
                &format!("sendto u BYTES {to}"),
                ("udp", Some(to)),
                (name, errno),
            );
            if route.is_some() {
                m.world.a.ip(&format!("{version} route del {net}"));
            }
            ended
        });
    }
    matrix.check(&format!("EACCES {udp} broadcast not asked for"), |m| {
        if ip == Ip::V6 {
            return Err("IPv6 has no broadcast".to_owned());
        }
        let mut peer = m.world.a.peer("broadcaster");
        peer.ok("open u udp4");
        let to = "10.99.1.255:9201";
        m.fails(
            &mut peer,
            &format!("sendto u BYTES {to}"),
            ("udp", Some(to)),
            ("EACCES", libc::EACCES),
        )
    });
    matrix.check(&format!("EHOSTUNREACH {udp} silent neighbour"), |m| {
        quick_neighbours(&m.world.a);
        let to = ip.pick("10.99.1.77:9202", "[fd99:1::77]:9202");
        let mut peer = m.world.a.peer("no-neighbour");
        peer.ok(&format!("open u {udp}"));
        peer.ok(&format!("{} u", ip.kind("recverr")));
        peer.ok(&format!("connect u {to}"));
        peer.ok("send u 10");
        peer.tell("await-error u");
        assert_eq!(peer.reply(2 * SOON), "ok".into(), "the neighbour");
        let error = ("EHOSTUNREACH", libc::EHOSTUNREACH);
        m.fails(&mut peer, "send u BYTES", ("udp", Some(to)), error)
    });
    matrix.check(&format!("ECONNREFUSED {udp} nobody there"), |m| {
        let to = ip.remote(9203);
        let mut peer = m.world.a.peer("refused");
        peer.ok(&format!("open u {udp}"));
        peer.ok(&format!("connect u {to}"));
        peer.ok("send u 10");
        peer.tell("await-error u");
        assert_eq!(peer.reply(2 * SOON), "ok".into(), "the ICMP message");
        let error = ("ECONNREFUSED", libc::ECONNREFUSED);
        m.fails(&mut peer, "send u BYTES", ("udp", Some(&to)), error)
    });
    tcp(matrix, ip);
}

fn tcp(matrix: &mut Matrix, ip: Ip) {
    let tcp = ip.kind("tcp");
    matrix.check(
        &format!("ECONNREFUSED {tcp} fast open to a closed port"),
        |m| {
            let to = ip.remote(9204);
            // Without a cookie: the first SYN may take data along, so the first send is what connects.
            m.world.a.sh("echo 5 > /proc/sys/net/ipv4/tcp_fastopen");
            let mut peer = m.world.a.peer("refused");
            for command in [
                &format!("open c {tcp}"),
                "fast-open c",
                &format!("connect c {to}"),
            ] {
                peer.ok(command);
            }
            let error = ("ECONNREFUSED", libc::ECONNREFUSED);
            // The kernel has forgotten the port by then, and so the destination is not told.
            m.fails(&mut peer, "send c BYTES", ("tcp", None), error)
        },
    );
    matrix.check(&format!("ECONNRESET {tcp} reset by the peer"), |m| {
        let mut pair = connect(m, ip, "was-reset");
        pair.warm_up();
        pair.server.ok("linger0 s");
        pair.server.ok("close s");
        pair.client.ok("await-error c");
        let remote = pair.remote.clone();
        let flow = ("tcp", Some(remote.as_str()));
        let error = ("ECONNRESET", libc::ECONNRESET);
        m.fails(&mut pair.client, "send c BYTES", flow, error)
    });
    matrix.check(&format!("ETIMEDOUT {tcp} unanswered data"), |m| {
        let mut pair = connect(m, ip, "unanswered");
        pair.warm_up();
        pair.client.ok("user-timeout c 300");
        m.world.b.filter("input", &["meta l4proto tcp drop"]);
        pair.client.ok("send c 10");
        pair.client.tell("await-error c");
        assert_eq!(pair.client.reply(2 * SOON), "ok".into(), "the time-out");
        m.world.b.filter("input", &[]);
        let remote = pair.remote.clone();
        let flow = ("tcp", Some(remote.as_str()));
        let error = ("ETIMEDOUT", libc::ETIMEDOUT);
        m.fails(&mut pair.client, "send c BYTES", flow, error)
    });
}

/// A neighbour that does not answer is given up after some hundred milliseconds.
fn quick_neighbours(host: &Host) {
    host.sh(
        "for v in ipv4 ipv6; do cd /proc/sys/net/$v/neigh/eth0; echo 20 > retrans_time_ms; \
         echo 5 > mcast_solicit; done",
    );
}
