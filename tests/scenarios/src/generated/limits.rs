//! Faults of what this host can carry: its queues, its links and devices, its ports, its tables.

use nix::fcntl::{Flock, FlockArg};

use super::play::{Play, Who};
use super::{At, Kind, fault};

pub const ALL: &[Kind] = &[
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
    // With its link, the host takes the addresses of IPv6 away.
    .also("local_address_removed")
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
    )
    // The device lets the packets' socket go before it looks for room.
    .everybody(),
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
             rate {mbit}mbit && tc qdisc add dev eth0 parent 1:1 pfifo limit 4"
        ),
        false => format!("tc qdisc add dev eth0 root tbf rate {mbit}mbit burst 3k limit 6k"),
    };
    // BBR paces itself and keeps the queue short.
    play.sh(&format!(
        "echo reno > /proc/sys/net/ipv4/tcp_congestion_control; {queue}"
    ));
    let to = play.server("drain");
    play.record();
    play.calm();
    let who = play.client();
    // A few connections keep so little in the queue that nothing is dropped (TCP small queues).
    let count = play.dice.between(6, 10);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
    }
    for number in 0..count {
        play.ok(who, &format!("background uploader pump c{number} 8000000"));
    }
    play.fault(6000);
    let dropped = dropped(play);
    assert!(dropped > 10, "{dropped} dropped");
}

/// Packets that the queues of the applications' device have dropped.
fn dropped(play: &Play) -> u64 {
    let said = play.sh("tc -s qdisc show dev eth0");
    let counts = said.split("(dropped ").skip(1);
    counts
        .filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok())
        .sum()
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
