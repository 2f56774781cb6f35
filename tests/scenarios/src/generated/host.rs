//! Faults of what this host lets pass: its firewall, programs on its interfaces and cgroups, its policies.

use super::play::Play;
use super::{At, Kind, fault};

pub const ALL: &[Kind] = &[
    fault(
        "firewall_datagrams",
        "drop|refused",
        "kernel",
        "local_firewall",
        firewall_datagrams,
    ),
    fault(
        "firewall_connects",
        "drop|stall|refused",
        "kernel",
        "local_firewall",
        firewall_connects,
    ),
    fault(
        "firewall_conversation",
        "drop|stall|disconnect",
        "kernel",
        "local_firewall",
        firewall_conversation,
    ),
    fault(
        "firewall_refuses",
        "refused|drop",
        "kernel",
        "local_firewall",
        firewall_refuses,
    ),
    fault(
        "firewall_answers",
        "drop|stall",
        "kernel",
        "local_firewall",
        firewall_answers,
    ),
    fault(
        "firewall_at_random",
        "drop|stall",
        "kernel",
        "local_firewall",
        firewall_at_random,
    ),
    fault(
        "firewall_forwarding",
        "drop|stall|refused",
        "kernel",
        "local_firewall",
        firewall_forwarding,
    )
    .at(At::Container),
    fault(
        "program_on_interface_out",
        "drop|stall",
        "kernel",
        "tc_drop",
        |play| program_on_interface(play, true),
    )
    .everybody(),
    fault(
        "program_on_interface_in",
        "drop|stall",
        "kernel",
        "tc_drop",
        |play| program_on_interface(play, false),
    )
    .everybody(),
    fault(
        "program_refuses_datagrams",
        "drop|refused",
        "kernel",
        "bpf_drop|ecomm",
        program_refuses_datagrams,
    ),
    fault(
        "program_drops_answers",
        "drop|stall",
        "kernel",
        "bpf_drop",
        |play| program_of_cgroup(play, false),
    ),
    fault(
        "program_drops_sends",
        "drop|stall|refused",
        "kernel",
        "bpf_drop",
        |play| program_of_cgroup(play, true),
    ),
    fault(
        "socket_filter",
        "drop|stall",
        "kernel|app",
        "bpf_drop",
        socket_filter,
    ),
    fault(
        "reverse_path",
        "drop|stall",
        "kernel",
        "rp_filter",
        reverse_path,
    )
    .everybody()
    .at(At::Host),
    fault(
        "ipsec_blocks",
        "drop|stall|refused",
        "kernel",
        "ipsec_policy",
        ipsec_blocks,
    )
    .everybody(),
];

/// Datagrams to a port for which the sender is told EPERM.
fn firewall_datagrams(play: &mut Play) {
    let to = play.sink();
    play.record();
    let who = play.client();
    let (size, gap) = (play.dice.between(20, 1200), play.dice.between(50, 400));
    play.ok(who, &format!("queries {to} 3 {size} {gap}"));
    play.calm();
    let verdict = play.dice.pick(&["drop", "reject"]);
    let rule = format!("{} {verdict}", play.to("udp", &to));
    play.place.app().filter("output", &[&rule]);
    let count = 5000 / gap;
    let said = play.ask(who, &format!("queries {to} {count} {size} {gap}"));
    assert_eq!(said.number("failed"), count);
}

/// Connects that a rule of this host swallows.
fn firewall_connects(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    let rule = format!("{} drop", play.to("tcp", &to));
    play.place.app().filter("output", &[&rule]);
    let who = play.clients();
    let count = play.dice.between(1, 3);
    play.knock_all(&who, &to, count, if count > 1 { 1 } else { 2 });
}

/// A rule that comes while a conversation goes on.
fn firewall_conversation(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    let bytes = play.dice.between(100, 9000);
    play.ok(who, &format!("ask c 10 {bytes} 30"));
    play.calm();
    let rule = format!("{} drop", play.to("tcp", &to));
    play.place.app().filter("output", &[&rule]);
    play.tell(who, &format!("ask c 10 {bytes} 30"));
    play.fault(5000);
}

/// A rule that answers connects with a RST of its own.
fn firewall_refuses(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    let rule = format!("{} reject with tcp reset", play.to("tcp", &to));
    play.place.app().filter("output", &[&rule]);
    let who = play.clients();
    let count = play.dice.between(4, 9);
    play.knock_all(&who, &to, count, 2);
}

/// The answers are stopped where they come in.
fn firewall_answers(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 600 30");
    play.calm();
    let rule = format!("{} drop", play.from("tcp", &to));
    play.place.app().filter("input", &[&rule]);
    play.tell(who, "ask c 10 600 30");
    play.fault(5000);
}

/// One packet of some is dropped here.
fn firewall_at_random(play: &mut Play) {
    let to = play.server("drain");
    play.record();
    let who = play.connected(&to);
    let of_100 = play.dice.between(8, 25);
    let rule = format!(
        "{} numgen random mod 100 < {of_100} drop",
        play.to("tcp", &to)
    );
    play.place.app().filter("output", &[&rule]);
    play.calm();
    play.tell(who, "trickle c 300 4000 20");
    play.fault(6000);
}

/// The host does not forward what its container sends.
fn firewall_forwarding(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    let rule = format!("{} drop", play.to("tcp", &to));
    play.place.host.filter("forward", &[&rule]);
    let who = play.clients();
    let count = play.dice.between(1, 3);
    play.knock_all(&who, &to, count, if count > 1 { 1 } else { 2 });
}

/// A program on the interface (tcx) drops long packets, as a broken policy does.
fn program_on_interface(play: &mut Play, out: bool) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 100 30");
    play.calm();
    let namespace = std::fs::File::open(play.place.app().path()).expect("the namespace");
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("root");
            let interface = nix::net::if_::if_nametoindex("eth0").expect("eth0");
            crate::drop_on_interface(interface, out, 600).expect("the kernel takes the program");
        });
        inside.join().expect("it is loaded");
    });
    let bytes = play.dice.between(900, 6000);
    play.tell(who, &format!("ask c 5 {bytes} 50"));
    play.fault(5500);
}

/// A program on the cgroup answers sends with an errno of its choice.
fn program_refuses_datagrams(play: &mut Play) {
    let to = play.sink();
    let who = play.client();
    let errno = *play
        .dice
        .pick(&[&libc::ECOMM, &libc::EPERM, &libc::EACCES, &libc::EIO]);
    // Through an IPv6 socket, IPv4 datagrams are refused by the IPv4 hook.
    let v6 = play.v6();
    let cgroup = play.cgroup(who);
    crate::refuse_datagrams(cgroup, v6, errno).expect("the kernel takes the program");
    play.record();
    play.calm();
    let (count, size) = (play.dice.between(6, 40), play.dice.between(10, 1000));
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    for _ in 0..count {
        assert_eq!(play.fails(who, &format!("sendto u {size} {to}")), errno);
        let gap = play.dice.between(50, 300);
        play.pass(gap);
    }
}

/// A program on the cgroup drops every packet of it, out or in.
fn program_of_cgroup(play: &mut Play, out: bool) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.calm();
    let cgroup = play.cgroup(who);
    crate::drop_of_cgroup(cgroup, out).expect("the kernel takes the program");
    // A socket belongs to the cgroup in which it was opened.
    let kind = play.tcp();
    for _ in 0..2 {
        play.ok(who, &format!("open d {kind}"));
        play.ok(who, "syn-retries d 1");
        play.fails(who, &format!("connect d {to}"));
        play.pass(300);
    }
}

/// The application's own filter lets nothing in.
fn socket_filter(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 8 300 30");
    play.calm();
    play.ok(who, "deaf c");
    play.tell(who, "ask c 4 300 30");
    play.fault(5000);
}

/// Answers come in by another interface than the one that leads back, and strict filtering drops them.
fn reverse_path(play: &mut Play) {
    let net = play.plan.ground.net;
    let own = play.plan.ground.own(false);
    play.plan.family = super::Family::V4;
    let to = play.server("echo");
    let (host, router) = (&play.place.host, &play.place.router);
    host.ip(&format!(
        "link add eth1 type veth peer name toa1 netns {}",
        router.name
    ));
    host.up(
        "eth1",
        &format!("10.{net}.4.1/24"),
        &format!("fd{net:02x}:4::1/64"),
    );
    router.up(
        "toa1",
        &format!("10.{net}.4.254/24"),
        &format!("fd{net:02x}:4::fe/64"),
    );
    host.sh("cd /proc/sys/net/ipv4/conf; echo 1 > all/rp_filter; echo 1 > eth1/rp_filter");
    let established = play.dice.percent(50);
    play.record();
    let who = play.client();
    let turn = format!("route add {own}/32 via 10.{net}.4.1 dev toa1");
    if established {
        play.connect(who, "c", &to);
        play.ok(who, "ask c 10 500 20");
        play.calm();
        play.place.router.ip(&turn);
        play.tell(who, "ask c 10 500 20");
        play.fault(5000);
    } else {
        play.calm();
        play.place.router.ip(&turn);
        play.knock(who, &to, 2, 1);
    }
}

/// A policy of IPsec that blocks what goes out, or what comes in.
fn ipsec_blocks(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    let (own, far) = (
        play.plan.ground.own(play.v6()),
        play.plan.ground.far_net(play.v6()),
    );
    let policy = match play.dice.percent(50) {
        true => format!("src {own} dst {far} dir out"),
        false => format!("src {far} dst {own} dir in"),
    };
    play.place
        .app()
        .ip(&format!("xfrm policy add {policy} action block"));
    let who = play.client();
    play.knock(who, &to, 2, 1);
}
