//! Faults of applications on this host.

use super::play::{Play, Who};
use super::{At, Kind, fault};

pub const ALL: &[Kind] = &[
    fault(
        "datagrams_too_large",
        "refused",
        "app",
        "oversized_datagram",
        datagrams_too_large,
    ),
    fault(
        "broadcast_not_allowed",
        "refused",
        "app",
        "broadcast_refused|socket_misused|unknown_errno",
        broadcast_not_allowed,
    ),
    fault(
        "send_not_connected",
        "refused|disconnect",
        "app",
        "socket_misused|own_shutdown",
        send_not_connected,
    ),
    fault(
        "send_after_shutdown",
        "refused|disconnect",
        "app",
        "own_shutdown",
        send_after_shutdown,
    ),
    fault(
        "send_buffer_of_stream",
        "stall|drop",
        "app",
        "send_buffer_small",
        send_buffer_of_stream,
    ),
    fault(
        "send_buffer_of_datagrams",
        "exhaustion|drop",
        "app",
        "udp_send_buffer_full",
        send_buffer_of_datagrams,
    )
    .also("bufferbloat")
    .everybody()
    .needs(&["nft", "tc"]),
    fault(
        "storm_of_connects",
        "refused",
        "app",
        "reconnect_storm",
        storm_of_connects,
    )
    .also("connection_refused"),
    fault(
        "retries_in_step",
        "stall|refused|disconnect",
        "app",
        "synchronised_retries",
        retries_in_step,
    )
    .also("syn_blackhole"),
    fault(
        "accept_queue_full",
        "refused|stall|exhaustion",
        "app",
        "accept_queue_overflow",
        |play| accept_queue_full(play, false),
    )
    .also("synchronised_retries")
    .everybody()
    .at(At::Host),
    fault(
        "accept_queue_full_loopback",
        "refused|stall|exhaustion",
        "app",
        "accept_queue_overflow",
        |play| accept_queue_full(play, true),
    )
    .also("synchronised_retries")
    .everybody()
    .at(At::Host),
    fault(
        "log_socket_full",
        "stall|exhaustion|drop|refused",
        "app",
        "syslog_socket_full",
        log_socket_full,
    ),
    fault(
        "log_socket_gone",
        "refused|disconnect|drop",
        "app",
        "dgram_peer_gone",
        log_socket_gone,
    ),
    fault(
        "log_socket_missing",
        "refused|drop",
        "app",
        "dgram_peer_gone",
        log_socket_missing,
    ),
    fault(
        "local_stream_closed",
        "disconnect",
        "app",
        "local_peer_closed|own_shutdown|peer_closed|dgram_peer_gone",
        local_stream_closed,
    ),
    fault(
        "local_server_reads_nothing",
        "stall",
        "app",
        "slow_reader|peer_window_closed|blocked_writer",
        local_server_reads_nothing,
    ),
];

/// Datagrams that no packet of UDP can carry, among others that go.
fn datagrams_too_large(play: &mut Play) {
    let to = play.sink();
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    let (size, gap) = (
        play.dice.between(65_536, 200_000),
        play.dice.between(100, 400),
    );
    for _ in 0..play.dice.between(6, 20) {
        play.ok(who, &format!("sendto u 400 {to}"));
        assert_eq!(
            play.fails(who, &format!("sendto u {size} {to}")),
            libc::EMSGSIZE
        );
        play.pass(gap);
    }
}

fn broadcast_not_allowed(play: &mut Play) {
    play.record();
    play.calm();
    let who = play.client();
    let (port, gap) = (play.port(), play.dice.between(200, 600));
    play.ok(who, "open u udp4");
    for _ in 0..play.dice.between(6, 14) {
        assert_eq!(
            play.fails(who, &format!("sendto u 100 255.255.255.255:{port}")),
            libc::EACCES
        );
        play.pass(gap);
    }
}

fn send_not_connected(play: &mut Play) {
    play.record();
    play.calm();
    let who = play.client();
    let (tcp, udp, gap) = (play.tcp(), play.udp(), play.dice.between(200, 600));
    let kind = if play.dice.percent(50) { tcp } else { udp };
    play.ok(who, &format!("open s {kind}"));
    for _ in 0..play.dice.between(6, 14) {
        play.fails(who, "send s 100");
        play.pass(gap);
    }
}

/// The application has said itself that it will send no more.
fn send_after_shutdown(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.ok(who, "ask c 5 200 20");
    play.calm();
    play.ok(who, "shutdown-write c");
    let gap = play.dice.between(200, 600);
    for _ in 0..play.dice.between(6, 14) {
        assert_eq!(play.fails(who, "send c 100"), libc::EPIPE);
        play.pass(gap);
    }
}

/// A few kilobytes of buffer on a long path, and a sender that does not wait.
fn send_buffer_of_stream(play: &mut Play) {
    play.place.path("late=10000 late_us=60000");
    let to = play.server("drain");
    play.record();
    play.calm();
    let who = play.connected(&to);
    play.ok(who, "sndbuf c 4608");
    let (bytes, gap) = (play.dice.between(2500, 6000), play.dice.between(10, 25));
    let answer = play.ask(who, &format!("offer c {} {bytes} {gap}", 7000 / gap));
    assert!(answer.number("would_block") > 20, "{answer:?}");
}

/// The device is slower than the sender, and its queue would have room.
fn send_buffer_of_datagrams(play: &mut Play) {
    play.sh("tc qdisc add dev eth0 root tbf rate 1mbit burst 3k limit 1m");
    let to = play.sink();
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.udp();
    play.ok(who, &format!("open u {kind}"));
    play.ok(who, "sndbuf u 4608");
    let (count, size) = (play.dice.between(20, 60), play.dice.between(700, 1300));
    for _ in 0..12 {
        let answer = play.ask(who, &format!("flood u {count} {size} {to}"));
        assert!(answer.number("failed") > 0);
        play.pass(400);
    }
}

/// Connects again at once, hundreds of times, where nobody listens.
fn storm_of_connects(play: &mut Play) {
    let to = play.nobody();
    play.record();
    play.calm();
    let who = play.client();
    let count = play.dice.between(200, 500);
    play.ok(who, &format!("retry {to} {count} 2 1000"));
    play.pass(1500);
}

/// The path is gone for a while; many clients give up and come again at the same instants.
fn retries_in_step(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let clients: Vec<Who> = (0..play.dice.between(9, 13))
        .map(|_| play.client())
        .collect();
    play.calm();
    let rule = format!("{} drop", play.to("tcp", &to));
    play.place.router.filter("forward", &[&rule]);
    for who in &clients {
        play.tell(*who, &format!("retry {to} 6 1500 1200"));
    }
    play.fault(7000);
    play.place.router.filter("forward", &[]);
    play.over();
    play.pass(1500);
}

/// A server of this host accepts too slowly: callers from elsewhere, or from the host itself, are not let in.
fn accept_queue_full(play: &mut Play, loopback: bool) {
    play.sh("echo 0 > /proc/sys/net/ipv4/tcp_syncookies");
    let server = play.client();
    let (own, port) = (play.plan.ground.own(play.v6()), play.port());
    let own = match (loopback, play.v6()) {
        (true, true) => "[::1]".to_owned(),
        (true, false) => "127.0.0.1".to_owned(),
        (false, true) => format!("[{own}]"),
        (false, false) => own,
    };
    let at = format!("{own}:{port}");
    let backlog = play.dice.between(1, 3);
    play.listen(server, &at, "");
    play.ok(server, &format!("listen l {backlog}"));
    play.record();
    play.calm();
    let callers: Vec<Who> = (0..play.dice.between(8, 12))
        .map(|_| if loopback { play.client() } else { play.far() })
        .collect();
    for caller in callers {
        play.tell(caller, &format!("retry {at} 3 2500 2400"));
    }
    for number in 0..5 {
        play.pass(1300);
        play.ok(server, &format!("accept l s{number}"));
    }
}

/// A path for a socket in the file system, gone with the machine's next start at the latest.
fn path(play: &Play) -> String {
    format!("/tmp/{}.sock", play.place.host.name)
}

fn log_daemon(play: &mut Play) -> (String, Who) {
    let (at, daemon) = (path(play), play.bystander());
    play.ok(daemon, "open d unix-dgram");
    play.ok(daemon, &format!("bind d {at}"));
    (at, daemon)
}

/// The log daemon hangs; who logs without waiting loses messages.
fn log_socket_full(play: &mut Play) {
    let (at, _) = log_daemon(play);
    play.record();
    play.calm();
    let who = play.client();
    play.ok(who, "open u unix-dgram");
    play.ok(who, &format!("connect u {at}"));
    play.ok(who, "nonblock u");
    let (count, gap) = (play.dice.between(80, 160), play.dice.between(25, 40));
    let mut failed = 0;
    for _ in 0..count {
        failed += u64::from(!play.ask(who, "send u 300").is_ok());
        play.pass(gap);
    }
    let _ = std::fs::remove_file(at);
    assert!(failed > count / 2, "{failed} of {count}");
}

/// The log daemon is gone; its socket is still there.
fn log_socket_gone(play: &mut Play) {
    let (at, daemon) = log_daemon(play);
    play.record();
    let who = play.client();
    play.ok(who, "open u unix-dgram");
    for _ in 0..3 {
        play.ok(who, &format!("sendto u 300 {at}"));
    }
    play.calm();
    play.kill(daemon);
    let gap = play.dice.between(100, 500);
    for _ in 0..play.dice.between(8, 15) {
        let errno = play.fails(who, &format!("sendto u 300 {at}"));
        assert_eq!(errno, libc::ECONNREFUSED);
        play.pass(gap);
    }
    let _ = std::fs::remove_file(at);
}

fn log_socket_missing(play: &mut Play) {
    let at = path(play);
    play.record();
    play.calm();
    let who = play.client();
    play.ok(who, "open u unix-dgram");
    let gap = play.dice.between(100, 500);
    for _ in 0..play.dice.between(8, 15) {
        assert_eq!(play.fails(who, &format!("sendto u 300 {at}")), libc::ENOENT);
        play.pass(gap);
    }
}

/// The other process of a local stream has gone; its reader writes on.
fn local_stream_closed(play: &mut Play) {
    let (at, server) = (path(play), play.bystander());
    play.ok(server, "open l unix-stream");
    play.ok(server, &format!("bind l {at}"));
    play.ok(server, "listen l");
    play.record();
    let who = play.client();
    play.ok(who, "open c unix-stream");
    play.ok(who, &format!("connect c {at}"));
    play.ok(server, "accept l s");
    play.ok(who, "send c 500");
    play.ok(server, "recv s");
    play.calm();
    play.kill(server);
    let gap = play.dice.between(200, 600);
    for _ in 0..play.dice.between(6, 14) {
        assert_eq!(play.fails(who, "send c 500"), libc::EPIPE);
        play.pass(gap);
    }
    let _ = std::fs::remove_file(at);
}

/// A server of this host, asked over the loopback, does not read.
fn local_server_reads_nothing(play: &mut Play) {
    let server = play.bystander();
    let port = play.port();
    let at = if play.v6() {
        format!("[::1]:{port}")
    } else {
        format!("127.0.0.1:{port}")
    };
    play.listen(server, &at, "hold");
    play.truth
        .remotes
        .push(if play.v6() { "::1" } else { "127.0.0.1" }.to_owned());
    play.record();
    play.calm();
    let who = play.client();
    let kind = if play.v6() { "tcp6" } else { "tcp4" };
    for number in 0..play.dice.between(1, 3) {
        play.ok(who, &format!("open c{number} {kind}"));
        play.ok(who, &format!("connect c{number} {at}"));
        play.ok(who, &format!("background writer pump c{number} 90000000"));
    }
    play.fault(7000);
}
