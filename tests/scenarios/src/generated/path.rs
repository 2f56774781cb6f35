//! Faults between the hosts: packets are lost, held up, refused, or swallowed.

use super::play::{Play, Who};
use super::{Kind, fault};

pub const ALL: &[Kind] = &[
    fault(
        "loss_everywhere",
        "stall",
        "network",
        "path_loss",
        loss_everywhere,
    )
    .everybody(),
    fault(
        "loss_one_destination",
        "stall",
        "network",
        "destination_loss|path_loss",
        loss_one_destination,
    ),
    fault(
        "loss_of_small_requests",
        "stall",
        "network",
        "path_loss|destination_loss|tail_loss",
        loss_of_small_requests,
    )
    .everybody(),
    fault(
        "loss_of_acks",
        "stall|waste",
        "network",
        "ack_loss|path_loss|spurious_retransmits",
        loss_of_acks,
    )
    .everybody(),
    fault(
        "outages",
        "stall",
        "network",
        "path_blackhole|path_loss|path_outages",
        outages,
    )
    .everybody(),
    fault(
        "dark_for_good",
        "disconnect|stall",
        "network",
        "path_blackhole",
        dark_for_good,
    ),
    fault(
        "dark_for_a_while",
        "stall",
        "network",
        "path_blackhole",
        dark_for_a_while,
    ),
    fault(
        "dark_behind_proxy",
        "disconnect|stall",
        "network",
        "path_blackhole",
        dark_behind_proxy,
    ),
    fault(
        "dark_back",
        "disconnect|stall",
        "network",
        "path_blackhole|ack_loss",
        dark_back,
    ),
    fault(
        "connects_swallowed",
        "stall|refused|disconnect",
        "network",
        "syn_blackhole",
        connects_swallowed,
    ),
    fault(
        "answers_to_connects_swallowed",
        "stall|refused|disconnect",
        "network",
        "syn_blackhole",
        answers_to_connects_swallowed,
    ),
    fault(
        "idle_forgotten",
        "disconnect|stall",
        "network",
        "idle_timeout",
        |play| idle(play, "drop"),
    ),
    fault(
        "idle_reset",
        "disconnect",
        "network",
        "idle_reset",
        |play| idle(play, "reject with tcp reset"),
    ),
    fault(
        "large_packets_swallowed",
        "stall|disconnect",
        "network",
        "pmtu_blackhole",
        large_packets_swallowed,
    )
    .everybody(),
    fault(
        "queue_of_the_path_too_long",
        "stall",
        "network",
        "bufferbloat",
        queue_too_long,
    )
    .everybody(),
    fault(
        "policed",
        "stall",
        "network",
        "policer|path_loss|destination_loss",
        policed,
    ),
    fault(
        "out_of_order",
        "waste|stall",
        "network",
        "spurious_retransmits|reordering",
        out_of_order,
    )
    .everybody(),
    fault(
        "delay_jumps",
        "waste|stall",
        "network",
        "spurious_retransmits",
        delay_jumps,
    )
    .everybody(),
    fault(
        "delivered_twice",
        "waste",
        "network",
        "duplicate_delivery",
        delivered_twice,
    )
    .everybody(),
    fault(
        "router_forbids",
        "refused|stall|disconnect",
        "network|peer",
        "icmp_reject",
        |play| router_refuses(play, "admin-prohibited"),
    ),
    fault(
        "router_has_no_host",
        "refused|stall|disconnect",
        "network|peer",
        "icmp_reject|peer_host_gone",
        |play| router_refuses(play, "host-unreachable"),
    ),
    fault(
        "router_has_no_route",
        "refused|stall|disconnect",
        "network",
        "icmp_reject|no_route",
        |play| router_refuses(play, "no-route"),
    ),
    fault(
        "router_resets_connects",
        "refused",
        "network|peer",
        "connection_refused|icmp_reject|fixed_retry",
        router_resets_connects,
    ),
    fault(
        "router_cuts_conversation",
        "disconnect",
        "network|peer",
        "idle_reset|reset_in_conversation|reset_by_peer_at_request|peer_crashed|peer_restarted",
        router_cuts,
    ),
    fault(
        "hops_too_few",
        "refused|stall|disconnect|drop",
        "network|kernel",
        "ttl_exceeded",
        hops_too_few,
    )
    .everybody(),
];

/// Several uploads of one process.
fn uploads(play: &mut Play, to: &[String], who: Who) {
    for (number, to) in to.iter().enumerate() {
        play.connect(who, &format!("u{number}"), to);
        let (bytes, gap) = (play.dice.between(1500, 6000), play.dice.between(10, 30));
        play.ok(
            who,
            &format!("background uploads trickle u{number} 4000 {bytes} {gap}"),
        );
    }
}

fn servers(play: &mut Play, count: u64, manner: &str) -> Vec<String> {
    (0..count).map(|_| play.server(manner)).collect()
}

/// Each packet has the same chance to be lost, wherever it goes.
fn loss_everywhere(play: &mut Play) {
    let count = play.dice.between(2, 4);
    let to = servers(play, count, "drain");
    play.record();
    let who = play.client();
    uploads(play, &to, who);
    play.calm();
    let loss = play.dice.between(300, 1500);
    play.place.way("there", &format!("loss={loss}"));
    play.fault(6000);
    assert!(play.place.app().snmp("Tcp", "RetransSegs") > 15);
}

/// One server of several loses what it is sent; the others are well.
fn loss_one_destination(play: &mut Play) {
    let well: Vec<_> = (0..play.dice.between(1, 3))
        .map(|_| play.well("drain"))
        .collect();
    let to = servers(play, 1, "drain");
    play.record();
    let other = play.bystander();
    uploads(play, &well, other);
    let who = play.client();
    uploads(play, &to, who);
    play.calm();
    let of_100 = play.dice.between(5, 15);
    let rule = format!(
        "{} numgen random mod 100 < {of_100} drop",
        play.to("tcp", &to[0])
    );
    play.place.router.filter("forward", &[&rule]);
    play.fault(6500);
}

/// Requests of one packet each: nothing behind a lost one tells of it but the timer.
fn loss_of_small_requests(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "ask c 3000 200 10");
    play.calm();
    let loss = play.dice.between(1000, 3000);
    play.place.path(&format!("loss={loss}"));
    play.fault(7000);
}

/// Most acknowledgements are lost, and no data.
fn loss_of_acks(play: &mut Play) {
    let to = servers(play, 2, "drain");
    play.record();
    let who = play.client();
    uploads(play, &to, who);
    play.calm();
    // Fewer, and the next one says what the lost one did.
    let loss = play.dice.between(8500, 9500);
    play.place.way("back", &format!("loss={loss}"));
    play.fault(7000);
    let repeated = play.place.app().snmp("Tcp", "RetransSegs");
    assert!(repeated > 5, "{repeated} segments repeated");
}

/// The path is gone for moments, again and again.
fn outages(play: &mut Play) {
    let to = servers(play, 3, "echo");
    play.record();
    let who = play.client();
    for (number, to) in to.iter().enumerate() {
        play.connect(who, &format!("c{number}"), to);
        play.ok(
            who,
            &format!("background requests ask c{number} 2000 800 20"),
        );
    }
    play.calm();
    for _ in 0..play.dice.between(3, 5) {
        play.place.path("loss=10000");
        let ms = play.dice.between(500, 1200);
        play.pass(ms);
        play.place.path("");
        let ms = play.dice.between(500, 1000);
        play.pass(ms);
    }
    play.over();
}

/// The rules by which the router swallows a conversation.
fn swallow(play: &mut Play, rules: &[String]) {
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    play.place.router.filter("forward", &rules);
}

/// Everything to and from one server is swallowed until the sender gives up, or the recording ends.
fn dark_for_good(play: &mut Play) {
    let retries = *play.dice.pick(&[&3, &4, &15]);
    play.sh(&format!("echo {retries} > /proc/sys/net/ipv4/tcp_retries2"));
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 10 500 30");
    play.calm();
    let rules = [
        format!("{} drop", play.to("tcp", &to)),
        format!("{} drop", play.from("tcp", &to)),
    ];
    swallow(play, &rules);
    let bytes = play.dice.between(100, 9000);
    play.tell(who, &format!("ask c 5 {bytes} 30"));
    play.fault(7000);
}

fn dark_for_a_while(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 10 500 30");
    play.calm();
    let rules = [format!("{} drop", play.to("tcp", &to))];
    swallow(play, &rules);
    play.tell(who, "ask c 5 500 30");
    play.fault(4000);
    swallow(play, &[]);
    play.over();
    let answer = play.reply(who);
    assert!(answer.is_ok(), "{answer:?}");
}

/// A proxy of this host has lost its way to the server; its client waits for it.
fn dark_behind_proxy(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.proxied(&to);
    play.ok(who, "ask c 10 500 30");
    play.calm();
    let rules = [format!("{} drop", play.to("tcp", &to))];
    swallow(play, &rules);
    play.tell(who, "ask c 5 500 30");
    play.fault(6500);
}

/// Only what comes back is swallowed.
fn dark_back(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 10 500 30");
    play.calm();
    let rules = [format!("{} drop", play.from("tcp", &to))];
    swallow(play, &rules);
    play.tell(who, "ask c 5 500 30");
    play.fault(6500);
}

/// Nobody answers the SYN of some processes, which give up sooner or later.
fn connects_swallowed(play: &mut Play) {
    let to = play.server("echo");
    let rules = [format!("{} drop", play.to("tcp", &to))];
    swallow(play, &rules);
    play.record();
    play.calm();
    let who = play.clients();
    if play.dice.percent(50) {
        play.knock_all(&who, &to, 2, 1);
    } else {
        let patience = play.dice.between(1500, 3500);
        play.all(&who, &format!("retry {to} 3 {} {patience}", patience + 200));
    }
}

fn answers_to_connects_swallowed(play: &mut Play) {
    let to = play.server("echo");
    let rules = [format!("{} drop", play.from("tcp", &to))];
    swallow(play, &rules);
    play.record();
    play.calm();
    let who = play.client();
    play.knock(who, &to, 2, 1);
}

/// A firewall on the way forgets what is idle for two seconds. One connection is never idle, and lives.
fn idle(play: &mut Play, verdict: &str) {
    play.sh("echo 3 > /proc/sys/net/ipv4/tcp_retries2");
    play.place.router.sh(
        "cd /proc/sys/net/netfilter; echo 0 > nf_conntrack_tcp_loose; echo 2 > nf_conntrack_tcp_timeout_established; \
         echo 2 > nf_conntrack_tcp_timeout_unacknowledged",
    );
    let rules = [
        "ct state established accept".to_owned(),
        "iifname tob accept".to_owned(),
        "ct state new tcp flags & (syn | ack) == syn accept".to_owned(),
        format!("meta l4proto tcp {verdict}"),
    ];
    swallow(play, &rules);
    let to = play.server("echo");
    play.record();
    let busy = play.bystander();
    play.connect(busy, "c", &to);
    play.tell(busy, "ask c 200 100 100");
    let who = play.client();
    let count = play.dice.between(2, 4);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(who, &format!("ask c{number} 3 300 50"));
    }
    let ms = play.dice.between(4000, 5000);
    play.pass(ms);
    play.truth.from = 0.0;
    for number in 0..count {
        play.ok(who, &format!("background pool ask c{number} 1 300 10"));
    }
    play.pass(4000);
}

/// Packets above a size vanish, and no ICMP message says so.
fn large_packets_swallowed(play: &mut Play) {
    let most = play.dice.between(1200, 1430);
    let to = play.server("echo");
    let rules = [format!("iifname toa meta length > {most} drop")];
    swallow(play, &rules);
    play.record();
    let who = play.client();
    let count = play.dice.between(1, 3);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(who, &format!("ask c{number} 5 400 50"));
    }
    play.calm();
    for number in 0..count {
        let bytes = play.dice.between(4000, 40_000);
        play.ok(who, &format!("send c{number} {bytes}"));
    }
    play.fault(6500);
}

/// A slow link with a queue of seconds, which an upload fills.
fn queue_too_long(play: &mut Play) {
    play.sh("echo reno > /proc/sys/net/ipv4/tcp_congestion_control");
    let (upload, web) = (play.server("drain"), play.server("echo"));
    let rate = play.dice.between(100, 300) * 1000;
    play.place.way(
        "there",
        &format!("rate_bytes={rate} queue_bytes={}", rate * 3),
    );
    play.record();
    let asker = play.connected(&web);
    play.tell(asker, "ask c 400 200 50");
    play.calm();
    let who = play.connected(&upload);
    play.tell(who, "pump c 50000000");
    play.fault(8000);
}

/// The router drops what is faster than it allows.
fn policed(play: &mut Play) {
    let to = play.server("drain");
    let rate = play.dice.between(100, 400);
    let rules = [format!(
        "{} limit rate over {rate} kbytes/second burst 20 kbytes drop",
        play.to("tcp", &to)
    )];
    swallow(play, &rules);
    play.record();
    play.calm();
    let who = play.connected(&to);
    play.tell(who, "pump c 50000000");
    play.fault(7000);
}

fn out_of_order(play: &mut Play) {
    let to = play.server("drain");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "pump c 400000000");
    play.calm();
    let (late, by) = (
        play.dice.between(200, 500),
        play.dice.between(30_000, 60_000),
    );
    play.place.way(
        "there",
        &format!("late={late} late_us={by} rate_bytes=1500000 queue_bytes=300000"),
    );
    play.fault(6000);
    assert!(play.place.app().snmp("Tcp", "RetransSegs") > 15);
}

/// The path takes most of a second longer for a moment, again and again.
fn delay_jumps(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 20 300 20");
    play.calm();
    for _ in 0..5 {
        play.place.way("there", "late=10000 late_us=900000");
        play.tell(who, "ask c 1 300 0");
        play.pass(600);
        play.place.way("there", "");
        let answer = play.reply(who);
        assert!(answer.is_ok(), "{answer:?}");
        play.ok(who, "ask c 10 300 20");
    }
}

fn delivered_twice(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    let (bytes, twice) = (
        play.dice.between(10_000, 30_000),
        play.dice.between(600, 2000),
    );
    play.tell(who, &format!("ask c 3000 {bytes} 40"));
    play.calm();
    play.place.path(&format!("duplicate={twice}"));
    play.fault(7000);
}

/// The router refuses connects, and says why by ICMP.
fn router_refuses(play: &mut Play, why: &str) {
    let to = play.server("echo");
    play.record();
    play.calm();
    // What IPv4 calls by other names.
    let why = match (why, play.v6()) {
        ("no-route", false) => "icmp type net-unreachable".to_owned(),
        ("host-unreachable", true) => "icmpv6 type addr-unreachable".to_owned(),
        (why, true) => format!("icmpv6 type {why}"),
        (why, false) => format!("icmp type {why}"),
    };
    let rules = [format!("{} reject with {why}", play.to("tcp", &to))];
    swallow(play, &rules);
    let who = play.client();
    let count = play.dice.between(2, 4);
    play.knock(who, &to, count, 1);
}

fn router_resets_connects(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    let rules = [format!("{} reject with tcp reset", play.to("tcp", &to))];
    swallow(play, &rules);
    let who = play.client();
    let count = play.dice.between(4, 8);
    play.knock(who, &to, count, 1);
}

/// The router answers the data of busy connections with RST.
fn router_cuts(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 5);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(who, &format!("ask c{number} 5 300 20"));
    }
    play.calm();
    let rules = [format!("{} reject with tcp reset", play.to("tcp", &to))];
    swallow(play, &rules);
    for number in 0..count {
        play.fails(who, &format!("ask c{number} 3 300 20"));
        let ms = play.dice.between(100, 900);
        play.pass(ms);
    }
    play.pass(2000);
}

/// The packets of this host live for one hop only.
fn hops_too_few(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    play.calm();
    match play.v6() {
        true => play.sh("for c in /proc/sys/net/ipv6/conf/*/hop_limit; do echo 1 > $c; done"),
        false => play.sh("echo 1 > /proc/sys/net/ipv4/ip_default_ttl"),
    };
    let who = play.client();
    play.knock(who, &to, 2, 1);
}
