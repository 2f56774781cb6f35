//! Faults of the other end: nobody listens, the process dies, the host goes, nobody reads.

use super::play::Play;
use super::{Kind, fault};

pub const ALL: &[Kind] = &[
    fault(
        "port_closed",
        "refused",
        "peer",
        "connection_refused|fixed_retry",
        port_closed,
    ),
    fault(
        "port_closed_datagrams",
        "refused",
        "peer",
        "connection_refused",
        port_closed_datagrams,
    ),
    fault(
        "process_dies",
        "disconnect",
        "peer",
        "peer_crashed|peer_restarted",
        process_dies,
    )
    .also("connection_refused|fixed_retry"),
    fault(
        "process_restarts",
        "disconnect",
        "peer",
        "peer_restarted|peer_crashed",
        process_restarts,
    ),
    fault(
        "host_vanishes",
        "disconnect|stall",
        "peer|network",
        "peer_host_gone|path_blackhole",
        host_vanishes,
    )
    .everybody(),
    fault(
        "host_vanishes_idle",
        "disconnect",
        "peer|network",
        "keepalive_expired|peer_host_gone",
        host_vanishes_idle,
    ),
    fault(
        "user_timeout_expires",
        "disconnect",
        "network|peer|app",
        "user_timeout|path_blackhole|peer_host_gone",
        user_timeout_expires,
    ),
    fault(
        "never_reads",
        "stall",
        "peer",
        "peer_window_closed|slow_reader",
        never_reads,
    ),
    fault(
        "never_reads_behind_proxy",
        "stall",
        // To its client the proxy, a process of this host, is what does not read.
        "peer|app",
        "peer_window_closed|slow_reader|blocked_writer",
        never_reads_behind_proxy,
    ),
    fault(
        "reads_slowly",
        "stall",
        "peer",
        "slow_reader|peer_window_closed|blocked_writer",
        reads_slowly,
    ),
    fault(
        "resets_each_request",
        "disconnect|refused",
        "peer",
        "reset_by_peer_at_request|peer_crashed",
        resets_each_request,
    ),
    fault(
        "closes_what_is_idle",
        "disconnect",
        "peer|app",
        "peer_closed_idle",
        closes_what_is_idle,
    ),
    fault(
        "accepts_nobody",
        "stall|refused|disconnect",
        "peer",
        "syn_dropped_at_peer",
        accepts_nobody,
    )
    .also("synchronised_retries"),
    fault(
        "rejects_by_icmp",
        "refused|stall|disconnect",
        "peer|network",
        "icmp_reject",
        |play| rejects_by_icmp(play, "admin-prohibited"),
    ),
    fault(
        "rejects_port_by_icmp",
        "refused|stall|disconnect",
        "peer|network",
        "icmp_reject|connection_refused|fixed_retry",
        |play| rejects_by_icmp(play, "port-unreachable"),
    ),
    fault(
        "closes_unread",
        "disconnect",
        "peer",
        "reset_by_peer_at_request|peer_crashed|peer_closed_unread",
        closes_unread,
    ),
];

fn port_closed(play: &mut Play) {
    let to = play.nobody();
    play.record();
    play.calm();
    let who = play.clients();
    let count = play.dice.between(5, 9);
    play.knock_all(&who, &to, count, 2);
}

/// A connected datagram socket: after each datagram that is refused, the next send is told.
fn port_closed_datagrams(play: &mut Play) {
    let to = play.nobody();
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    play.ok(who, &format!("connect u {to}"));
    let (size, gap) = (play.dice.between(20, 1300), play.dice.between(250, 600));
    for _ in 0..play.dice.between(5, 8) {
        play.ok(who, &format!("send u {size}"));
        play.ok(who, "await-error u");
        play.pass(gap);
        play.fails(who, &format!("send u {size}"));
    }
}

/// Its kernel answers for it: RST, and then nobody listens.
fn process_dies(play: &mut Play) {
    let (to, server) = play.server_of("drain");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 5);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(
            who,
            &format!("background sender trickle c{number} 1000 900 20"),
        );
    }
    play.calm();
    play.kill(server);
    play.pass(1500);
    let kind = play.tcp();
    for _ in 0..2 {
        play.ok(who, &format!("open d {kind}"));
        play.fails(who, &format!("connect d {to}"));
        play.pass(800);
    }
}

/// It is back at once; what it had open is gone.
fn process_restarts(play: &mut Play) {
    let (to, server) = play.server_of("hold");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 5);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(
            who,
            &format!("background sender trickle c{number} 1000 900 40"),
        );
    }
    play.calm();
    play.kill(server);
    let again = play.far();
    play.listen(again, &to, "drain");
    play.pass(500);
    for number in 0..count {
        play.connect(who, &format!("d{number}"), &to);
        play.ok(
            who,
            &format!("background sender trickle d{number} 1000 900 40"),
        );
    }
    play.pass(4000);
}

/// The host loses its link amid conversations, until the senders give up or the recording ends.
fn host_vanishes(play: &mut Play) {
    let retries = *play.dice.pick(&[&3, &4, &15]);
    play.sh(&format!("echo {retries} > /proc/sys/net/ipv4/tcp_retries2"));
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "ask c 1000 500 30");
    play.calm();
    play.place.far.ip("link set eth0 down");
    play.place.router.ip("neigh flush dev tob");
    play.fault(7500);
}

/// Keepalive finds out that the host of idle connections is gone.
fn host_vanishes_idle(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 6);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        for (level, option, value) in [
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 2),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
        ] {
            play.ok(who, &format!("option c{number} {level} {option} {value}"));
        }
        play.ok(who, &format!("ask c{number} 2 200 20"));
    }
    play.calm();
    let rules = [format!("{} drop", play.to("tcp", &to))];
    play.place.router.filter("forward", &[&rules[0]]);
    play.fault(7500);
}

/// The sender has said how long it waits for an acknowledgement.
fn user_timeout_expires(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    let ms = play.dice.between(1500, 3500);
    play.ok(who, &format!("user-timeout c {ms}"));
    play.ok(who, "ask c 5 300 20");
    play.calm();
    let rule = format!("{} drop", play.to("tcp", &to));
    play.place.router.filter("forward", &[&rule]);
    play.tell(who, "ask c 5 300 20");
    play.fault(6500);
}

fn never_reads(play: &mut Play) {
    let to = play.server("hold");
    play.record();
    play.calm();
    for who in play.clients() {
        play.connect(who, "c", &to);
        play.tell(who, "pump c 90000000");
    }
    play.fault(7000);
}

/// The server of a proxy on this host does not read, and so its client is stuck too.
fn never_reads_behind_proxy(play: &mut Play) {
    let to = play.server("hold");
    play.record();
    play.calm();
    let who = play.proxied(&to);
    play.tell(who, "pump c 90000000");
    play.fault(7000);
}

fn reads_slowly(play: &mut Play) {
    let to = play.server("slow");
    play.record();
    play.calm();
    for who in play.clients() {
        play.connect(who, "c", &to);
        play.tell(who, "pump c 90000000");
    }
    play.fault(8000);
}

/// An overloaded server takes each request and answers with a RST.
fn resets_each_request(play: &mut Play) {
    let to = play.server("reset");
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.tcp();
    for _ in 0..play.dice.between(6, 12) {
        play.ok(who, &format!("open c {kind}"));
        play.ok(who, &format!("connect c {to}"));
        play.fails(who, "ask c 1 300 0");
        play.ok(who, "close c");
        let ms = play.dice.between(200, 600);
        play.pass(ms);
    }
}

/// The server closes what is idle, and the client writes to it all the same: a pool without checks.
fn closes_what_is_idle(play: &mut Play) {
    let to = play.server("impatient");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 5);
    for round in 0..2 {
        for number in 0..count {
            play.connect(who, &format!("c{round}{number}"), &to);
            play.ok(who, &format!("ask c{round}{number} 3 200 30"));
        }
        let ms = play.dice.between(1600, 2500);
        play.pass(ms);
        play.truth.from = if round == 0 { 0.0 } else { play.truth.from };
        for number in 0..count {
            play.fails(who, &format!("ask c{round}{number} 2 200 30"));
        }
    }
}

/// The server's own queue is full: most handshakes are not completed, some are.
fn accepts_nobody(play: &mut Play) {
    play.place
        .far
        .sh("echo 0 > /proc/sys/net/ipv4/tcp_syncookies");
    let (to, server) = play.server_of("");
    play.ok(server, "listen l 1");
    play.record();
    play.calm();
    let who = play.client();
    for number in 0..5 {
        play.ok(
            who,
            &format!("background caller{number} retry {to} 3 2700 2500"),
        );
    }
    for number in 0..4 {
        play.pass(1700);
        play.ok(server, &format!("accept l s{number}"));
    }
    play.pass(1000);
}

/// The firewall of the other host refuses connects and says so.
fn rejects_by_icmp(play: &mut Play, why: &str) {
    let to = play.server("echo");
    let port = to.rsplit(':').next().unwrap_or_default().to_owned();
    let icmp = if play.v6() { "icmpv6" } else { "icmp" };
    let rule = format!("tcp dport {port} reject with {icmp} type {why}");
    play.place.far.filter("input", &[&rule]);
    play.record();
    play.calm();
    let who = play.client();
    let count = play.dice.between(2, 5);
    play.knock(who, &to, count, 1);
}

/// The server has enough: it closes while requests arrive, and its kernel answers them with RST.
fn closes_unread(play: &mut Play) {
    let (to, server) = play.server_of("");
    play.record();
    let who = play.client();
    let count = play.dice.between(2, 5);
    for number in 0..count {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(server, &format!("accept l s{number}"));
        play.ok(
            who,
            &format!("background sender trickle c{number} 1000 700 20"),
        );
    }
    play.calm();
    for number in 0..count {
        play.ok(server, &format!("close s{number}"));
        let ms = play.dice.between(200, 700);
        play.pass(ms);
    }
    play.pass(2500);
}
