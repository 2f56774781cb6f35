//! Faults of this host: its firewall, its programs, its queues, its devices, its limits.

use nix::fcntl::{Flock, FlockArg};

use super::play::{Play, Who};
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
    fault(
        "connections_tracked_full",
        "drop|exhaustion|refused",
        "kernel",
        "conntrack_full",
        conntrack_full,
    ),
    fault(
        "queue_short_tcp",
        "drop|stall",
        "kernel",
        "qdisc_overflow",
        |play| queue_short_tcp(play, false),
    )
    .everybody()
    .needs(&["nft", "tc"]),
    fault(
        "queue_short_class",
        "drop|stall",
        "kernel",
        "qdisc_overflow",
        |play| queue_short_tcp(play, true),
    )
    .everybody()
    .needs(&["nft", "tc"]),
    fault(
        "queue_short_datagrams",
        "drop|exhaustion",
        "kernel",
        "qdisc_overflow",
        |play| queue_short_datagrams(play, false),
    )
    .everybody()
    .needs(&["nft", "tc"]),
    fault(
        "queue_short_told",
        "exhaustion|drop",
        "kernel",
        "udp_device_queue_full|qdisc_overflow",
        |play| queue_short_datagrams(play, true),
    )
    .everybody()
    .needs(&["nft", "tc"]),
    fault(
        "link_lost",
        "stall|disconnect|drop",
        "nic",
        "link_down",
        |play| link_lost(play, false),
    )
    .everybody()
    .at(At::Host),
    fault(
        "link_taken_down",
        "stall|disconnect|drop|refused",
        "nic|kernel",
        "link_down",
        |play| link_lost(play, true),
    )
    .everybody()
    .at(At::Host),
    fault(
        "link_comes_and_goes",
        "stall|disconnect|drop",
        "nic",
        "link_flapping|link_down",
        link_comes_and_goes,
    )
    .everybody()
    .at(At::Host),
    fault(
        "device_refuses_large",
        "drop",
        "nic|kernel",
        "device_errors",
        device_refuses_large,
    )
    .everybody()
    .at(At::Host),
    fault(
        "tun_nobody_reads",
        "drop|stall|exhaustion",
        "app|kernel|nic",
        "tun_reader_slow",
        tun_nobody_reads,
    ),
    fault(
        "ports_gone_tcp",
        "exhaustion|refused",
        "kernel",
        "ports_exhausted",
        ports_gone_tcp,
    ),
    fault(
        "ports_gone_udp",
        "exhaustion|refused",
        "kernel",
        "ports_exhausted",
        ports_gone_udp,
    ),
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
    let who = play.client();
    let count = play.dice.between(1, 3);
    play.knock(who, &to, count, if count > 1 { 1 } else { 2 });
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
    let who = play.client();
    let count = play.dice.between(4, 9);
    play.knock(who, &to, count, 2);
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
    let who = play.client();
    let count = play.dice.between(1, 3);
    play.knock(who, &to, count, if count > 1 { 1 } else { 2 });
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

/// What conntrack may remember, on the whole machine: a lock keeps scenarios apart, and the limit comes back.
struct Limit(String, Flock<std::fs::File>);

const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

impl Limit {
    fn set(to: u64) -> Self {
        let file = std::fs::File::create("/run/sendtrace-conntrack-limit").expect("root may");
        let lock = Flock::lock(file, FlockArg::LockExclusive).expect("a lock");
        let before = std::fs::read_to_string(LIMIT).expect("conntrack");
        std::fs::write(LIMIT, to.to_string()).expect("root may");
        Self(before, lock)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = std::fs::write(LIMIT, &self.0);
        let _ = &self.1;
    }
}

/// A pool holds as many connections as the table of conntrack has room for: nothing new passes.
fn conntrack_full(play: &mut Play) {
    let (pool, to) = (play.well("hold"), play.sink());
    play.place.app().nft(
        "table inet track { chain out { type filter hook output priority 0; ct state new,established accept; }; }\n",
    );
    let count = 160;
    play.record();
    let holder = play.bystander();
    for number in 0..count {
        play.connect(holder, &format!("c{number}"), &pool);
    }
    play.calm();
    let who = play.client();
    let (size, gap) = (play.dice.between(20, 600), play.dice.between(10, 60));
    let limit = Limit::set(count - 20);
    let said = play.ask(who, &format!("queries {to} 60 {size} {gap}"));
    drop(limit);
    assert!(said.number("failed") > 30, "{said:?}");
    play.over();
    play.pass(2000);
}

/// A queue too short for its rate, under several uploads.
fn queue_short_tcp(play: &mut Play, class: bool) {
    let mbit = play.dice.between(2, 8);
    let queue = match class {
        true => format!(
            "tc qdisc add dev eth0 root handle 1: htb default 1 && tc class add dev eth0 parent 1: classid 1:1 htb \
             rate {mbit}mbit && tc qdisc add dev eth0 parent 1:1 pfifo limit 6"
        ),
        false => format!("tc qdisc add dev eth0 root tbf rate {mbit}mbit burst 4k limit 9k"),
    };
    play.sh(&queue);
    let to = play.server("drain");
    play.record();
    play.calm();
    let who = play.client();
    let count = play.dice.between(3, 7);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
    }
    for number in 0..count {
        play.ok(who, &format!("background uploader pump c{number} 8000000"));
    }
    play.fault(6000);
    assert!(play.sh("tc -s qdisc show dev eth0").contains("dropped"));
}

/// Datagrams in bursts that the queue does not take; whoever asked (IP_RECVERR) is told.
fn queue_short_datagrams(play: &mut Play, told: bool) {
    play.sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 6k");
    let to = play.sink();
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    if told {
        let level = if play.v6() { 6 } else { 4 };
        play.ok(who, &format!("recverr{level} u"));
    }
    let (count, size) = (play.dice.between(20, 60), play.dice.between(700, 1300));
    for _ in 0..12 {
        play.ok(who, &format!("flood u {count} {size} {to}"));
        play.pass(400);
    }
}

fn talk(play: &mut Play, to: &str) -> Who {
    let who = play.connected(to);
    let bytes = play.dice.between(100, 5000);
    play.ok(who, &format!("ask c 10 {bytes} 30"));
    play.tell(who, &format!("ask c 300 {bytes} 30"));
    who
}

/// The link goes for seconds: pulled, or taken down by somebody.
fn link_lost(play: &mut Play, here: bool) {
    let to = play.server("echo");
    play.record();
    talk(play, &to);
    play.calm();
    let (host, device) = if here {
        (&play.place.host, "eth0")
    } else {
        (&play.place.router, "toa")
    };
    host.ip(&format!("link set {device} down"));
    play.fault(4000);
    let host = if here {
        &play.place.host
    } else {
        &play.place.router
    };
    host.ip(&format!("link set {device} up"));
    play.over();
    play.pass(1500);
}

fn link_comes_and_goes(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    talk(play, &to);
    play.calm();
    for _ in 0..play.dice.between(4, 7) {
        play.place.router.ip("link set toa down");
        let ms = play.dice.between(300, 900);
        play.pass(ms);
        play.place.router.ip("link set toa up");
        let ms = play.dice.between(300, 900);
        play.pass(ms);
    }
    play.over();
}

/// The other end of the virtual cable takes only short frames.
fn device_refuses_large(play: &mut Play) {
    let to = play.sink();
    play.record();
    play.calm();
    play.place.router.ip("link set toa mtu 1280");
    let who = play.client();
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    let gap = play.dice.between(50, 250);
    for _ in 0..5000 / gap {
        play.ok(who, &format!("sendto u 300 {to}"));
        play.ok(who, &format!("sendto u 1390 {to}"));
        play.pass(gap);
    }
}

/// A VPN program that no longer reads its tun device.
fn tun_nobody_reads(play: &mut Play) {
    let vpn = play.bystander();
    play.ok(vpn, "tun t tun0");
    let (own, net) = match play.v6() {
        true => ("fd00:77::1/64", "[fd00:77::9]"),
        false => ("10.252.7.1/24", "10.252.7.9"),
    };
    play.place.app().ip("link set tun0 txqueuelen 20 up");
    let device = if play.v6() { "tun0 nodad" } else { "tun0" };
    play.place.app().ip(&format!("addr add {own} dev {device}"));
    play.record();
    play.calm();
    let who = play.client();
    let port = play.port();
    let net = if play.plan.family == super::Family::Mapped {
        "[::ffff:10.252.7.9]"
    } else {
        net
    };
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    for _ in 0..20 {
        play.ok(who, &format!("flood u 10 200 {net}:{port}"));
        play.pass(250);
    }
}

/// All local ports of a small range are in use towards one destination.
fn ports_gone_tcp(play: &mut Play) {
    let first = play.dice.between(30_000, 50_000);
    let count = play.dice.between(6, 14);
    play.sh(&format!(
        "echo {first} {} > /proc/sys/net/ipv4/ip_local_port_range",
        first + count - 1
    ));
    // Whoever disturbs would take them too.
    play.plan
        .noise
        .retain(|noise| *noise == super::Noise::Links);
    let to = play.server("echo");
    play.record();
    let who = play.client();
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
    }
    play.calm();
    play.knock(who, &to, 6, 2);
}

fn ports_gone_udp(play: &mut Play) {
    let first = play.dice.between(30_000, 50_000);
    let count = play.dice.between(6, 14);
    play.sh(&format!(
        "echo {first} {} > /proc/sys/net/ipv4/ip_local_port_range",
        first + count - 1
    ));
    play.plan
        .noise
        .retain(|noise| *noise == super::Noise::Links);
    let to = play.sink();
    play.record();
    let who = play.client();
    let any = if play.plan.family == super::Family::V4 {
        "0.0.0.0"
    } else {
        "[::]"
    };
    for number in 0..count {
        let kind = play.udp();
        play.ok(who, &format!("open h{number} {kind}"));
        play.ok(who, &format!("bind h{number} {any}:{}", first + number));
    }
    play.calm();
    let (queries, gap) = (play.dice.between(20, 80), play.dice.between(20, 60));
    let said = play.ask(who, &format!("queries {to} {queries} 60 {gap}"));
    assert!(said.number("failed") > 10, "{said:?}");
}
