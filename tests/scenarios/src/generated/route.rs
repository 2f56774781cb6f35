//! Faults of routes, addresses and neighbours.

use super::play::Play;
use super::{At, Family, Kind, fault};

pub const ALL: &[Kind] = &[
    fault(
        "route_gone",
        "refused|disconnect|drop|stall",
        "kernel",
        "no_route",
        route_gone,
    )
    .everybody(),
    fault(
        "route_unreachable",
        "refused|drop|stall|disconnect",
        "kernel",
        "route_refused",
        |play| route_refused(play, "unreachable"),
    )
    .everybody(),
    fault(
        "route_prohibit",
        "refused|drop|stall|disconnect",
        "kernel",
        "route_refused",
        |play| route_refused(play, "prohibit"),
    )
    .everybody(),
    fault(
        "route_blackhole",
        "refused|drop|stall|disconnect",
        "kernel",
        "route_refused",
        |play| route_refused(play, "blackhole"),
    )
    .everybody(),
    fault(
        "address_taken_away",
        "stall|disconnect|refused|drop",
        "kernel",
        "local_address_removed",
        address_taken_away,
    )
    .everybody(),
    fault(
        "source_loopback",
        "refused|stall|drop",
        "app|kernel",
        "source_address",
        source_loopback,
    ),
    fault(
        "source_only_v6",
        "refused",
        // Where routes of the namespace are not recorded, it looks like a missing one.
        "app|kernel",
        "source_address|no_route",
        source_only_v6,
    ),
    fault(
        "source_device_down",
        "refused|stall|drop",
        "kernel|app|nic",
        "source_address|no_route|link_down",
        source_device_down,
    ),
    fault(
        "source_in_use",
        "refused|exhaustion",
        "app|kernel",
        "port_in_use|source_address|ports_exhausted",
        source_in_use,
    ),
    fault(
        "neighbour_missing",
        "refused|drop|stall",
        "network|peer",
        "neighbour_failed",
        neighbour_missing,
    )
    .at(At::Host),
    fault(
        "gateway_gone",
        "disconnect|stall|refused|drop",
        "network",
        "neighbour_failed",
        gateway_gone,
    )
    .everybody()
    .at(At::Host),
    fault(
        "address_twice",
        "stall|disconnect",
        "network|peer",
        "address_conflict",
        address_twice,
    )
    .everybody()
    .at(At::Host),
];

/// Somebody deletes the default route while datagrams and connects go on.
fn route_gone(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.calm();
    let six = play.six();
    play.place.app().ip(&format!("{six} route del default"));
    let (count, gap) = (play.dice.between(5, 25), play.dice.between(100, 300));
    let said = play.ask(who, &format!("queries {to} {count} 120 {gap}"));
    assert_eq!(said.number("failed"), count);
    play.knock(who, &to, 2, 1);
}

/// A route that says no, in one of three ways.
fn route_refused(play: &mut Play, how: &str) {
    let to = play.sink();
    play.record();
    let who = play.client();
    play.ok(who, &format!("queries {to} 3 100 50"));
    play.calm();
    let (six, far) = (play.six(), play.plan.ground.far_net(play.v6()));
    play.place.app().ip(&format!("{six} route add {how} {far}"));
    let (count, gap) = (play.dice.between(5, 25), play.dice.between(100, 300));
    let said = play.ask(who, &format!("queries {to} {count} 120 {gap}"));
    assert_eq!(said.number("failed"), count);
    play.knock(who, &to, 2, 1);
}

/// The address of established connections is removed from the interface.
fn address_taken_away(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.calm();
    let (own, device) = (play.plan.ground.own(play.v6()), play.place.device());
    // Another one stays, and with it the routes.
    let (spare, length) = match play.v6() {
        true => (own.replace("::", "::77:"), 64),
        false => (format!("{}.77", own.rsplit_once('.').expect("dots").0), 24),
    };
    play.place.app().sh(&format!(
        "echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries; echo 1 > /proc/sys/net/ipv4/conf/{device}/promote_secondaries"
    ));
    play.place
        .app()
        .ip(&format!("addr add {spare}/{length} dev {device}"));
    play.place
        .app()
        .ip(&format!("addr del {own}/{length} dev {device}"));
    play.tell(who, "ask c 20 300 30");
    play.fault(5500);
}

/// Connects from an address of the loopback to somewhere else.
fn source_loopback(play: &mut Play) {
    play.plan.family = Family::V4;
    let to = play.server("echo");
    play.record();
    play.calm();
    let who = play.client();
    for _ in 0..play.dice.between(4, 10) {
        play.ok(who, "open k tcp4");
        play.ok(who, "syn-retries k 1");
        play.ok(who, "bind k 127.0.0.1:0");
        play.fails(who, &format!("connect k {to}"));
        play.ok(who, "close k");
        let pause = play.dice.between(200, 900);
        play.pass(pause);
    }
}

/// A socket that speaks IPv6 only is to reach an IPv4 address.
fn source_only_v6(play: &mut Play) {
    play.plan.family = Family::Mapped;
    let to = play.server("echo");
    play.record();
    play.calm();
    let who = play.client();
    for _ in 0..play.dice.between(4, 10) {
        play.ok(who, "open k tcp6");
        play.ok(
            who,
            &format!("option k {} {} 1", libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        );
        play.fails(who, &format!("connect k {to}"));
        play.ok(who, "close k");
        let pause = play.dice.between(200, 900);
        play.pass(pause);
    }
}

/// The socket is bound to an interface that is down.
fn source_device_down(play: &mut Play) {
    let to = play.server("echo");
    play.place
        .app()
        .ip("link add spare0 type veth peer name spare1");
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.tcp();
    for _ in 0..play.dice.between(4, 10) {
        play.ok(who, &format!("open k {kind}"));
        play.ok(who, "device k spare0");
        play.ok(who, "syn-retries k 1");
        play.fails(who, &format!("connect k {to}"));
        play.ok(who, "close k");
        let pause = play.dice.between(200, 900);
        play.pass(pause);
    }
}

/// Each connect wants the same local port, which an open connection to the same place has.
fn source_in_use(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    let (kind, port) = (play.tcp(), play.dice.between(20_000, 29_000));
    let any = if play.plan.family == Family::V4 {
        "0.0.0.0"
    } else {
        "[::]"
    };
    let open = |play: &mut Play, name: &str| {
        play.ok(who, &format!("open {name} {kind}"));
        play.ok(
            who,
            &format!(
                "option {name} {} {} 1",
                libc::SOL_SOCKET,
                libc::SO_REUSEADDR
            ),
        );
        play.ok(who, &format!("bind {name} {any}:{port}"));
    };
    open(play, "c");
    play.ok(who, &format!("connect c {to}"));
    play.calm();
    for _ in 0..play.dice.between(4, 10) {
        open(play, "k");
        assert_eq!(
            play.fails(who, &format!("connect k {to}")),
            libc::EADDRNOTAVAIL
        );
        play.ok(who, "close k");
        let pause = play.dice.between(200, 900);
        play.pass(pause);
    }
}

/// A host on the own wire that does not answer.
fn neighbour_missing(play: &mut Play) {
    let address = play
        .plan
        .ground
        .near(play.dice.between(201, 250), play.v6());
    let port = play.port();
    let to = match play.plan.family {
        Family::V4 => format!("{address}:{port}"),
        Family::V6 => format!("[{address}]:{port}"),
        Family::Mapped => format!("[::ffff:{address}]:{port}"),
    };
    play.truth.remotes.push(address);
    // As long as usual.
    play.sh(&format!("echo 3 > /proc/sys/net/ipv6/neigh/{}/mcast_solicit; echo 1000 > /proc/sys/net/ipv6/neigh/{}/retrans_time_ms", play.place.device(), play.place.device()));
    play.record();
    play.calm();
    let who = play.client();
    play.knock(who, &to, 2, 2);
}

/// The router goes: nobody answers for the gateway any more.
fn gateway_gone(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.calm();
    play.place.router.ip("addr flush dev toa");
    play.place
        .host
        .ip(&format!("neigh flush dev {}", play.place.device()));
    play.truth.remotes.push(play.plan.ground.gateway(play.v6()));
    play.sh(&format!("echo 3 > /proc/sys/net/ipv6/neigh/{}/mcast_solicit; echo 1000 > /proc/sys/net/ipv6/neigh/{}/retrans_time_ms", play.place.device(), play.place.device()));
    play.tell(who, "ask c 8 300 30");
    let other = play.client();
    play.knock(other, &to, 2, 2);
    play.pass(1500);
}

/// A second host on the wire claims the gateway's address, again and again.
fn address_twice(play: &mut Play) {
    play.plan.family = Family::V4;
    let to = play.server("echo");
    let thief = crate::Host::new("t", "", "");
    let (host, device) = (&play.place.router, "toa");
    // The router's port and the thief's are on one bridge.
    host.ip("link add br9 type bridge");
    host.ip(&format!("link set {device} master br9"));
    let gateway = play.plan.ground.gateway(false);
    host.ip(&format!("addr del {gateway}/24 dev {device}"));
    host.ip(&format!("addr add {gateway}/24 dev br9"));
    host.ip("link set br9 up");
    crate::world::wire(&thief, "eth0", host, "port9");
    host.ip("link set port9 master br9 up");
    // It says so whenever its MAC address changes.
    thief.sh("echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify");
    thief.ip("link set eth0 up");
    play.place
        .host
        .ip(&format!("neigh flush dev {}", play.place.device()));
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.tell(who, "ask c 500 300 30");
    play.calm();
    thief.ip(&format!("addr add {gateway}/24 dev eth0"));
    for number in 0..4 {
        thief.ip(&format!("link set eth0 address 02:00:00:00:09:0{number}"));
        play.pass(1300);
    }
    assert!(play.place.app().snmp("Tcp", "RetransSegs") > 1);
}
