//! Twins of faults: the same traffic without the fault, or the same sight with an innocent reason.

use super::play::{Play, Who};
use super::{At, Kind, healthy};

pub const ALL: &[Kind] = &[
    healthy("well_idle", |play| {
        play.record();
        play.fault(7000);
    }),
    healthy("well_requests", requests),
    healthy("well_bulk", bulk),
    healthy("well_long_path", long_path),
    healthy("well_server", server),
    healthy("well_event_loop", event_loop),
    healthy("well_resets_on_purpose", resets_on_purpose),
    healthy("well_closes_unread", closes_unread),
    healthy("well_slow_reader_here", slow_reader_here),
    healthy("well_reader_pauses", reader_pauses),
    healthy("well_few_acks_lost", few_acks_lost),
    healthy("well_answers_late", answers_late),
    healthy("well_shaped", shaped).needs(&["nft", "tc"]),
    healthy("well_reverse_path", reverse_path).at(At::Host),
    healthy("well_firewall_elsewhere", firewall_elsewhere),
    healthy("well_scanned", scanned),
    healthy("well_links_of_others", links_of_others),
    healthy("well_path_mtu", path_mtu),
    healthy("well_keepalive", keepalive),
    healthy("well_idle_but_kept", idle_but_kept),
    healthy("well_server_restarts", server_restarts),
    healthy("well_first_port_closed", first_port_closed),
    healthy("well_datagrams", datagrams),
    healthy("well_local_sockets", local_sockets),
    healthy("well_route_elsewhere", route_elsewhere),
    healthy("well_half_closed", half_closed),
    healthy("well_busy_processors", busy_processors),
    healthy("well_short_connections", short_connections),
];

fn ask(play: &mut Play, ms: u64) -> Who {
    let to = play.server("echo");
    let who = play.connected(&to);
    let (bytes, gap) = (play.dice.between(50, 20_000), play.dice.between(20, 150));
    play.tell(who, &format!("ask c {} {bytes} {gap}", ms / gap));
    who
}

fn requests(play: &mut Play) {
    play.record();
    for _ in 0..play.dice.between(1, 4) {
        ask(play, 8000);
    }
    play.fault(7000);
}

/// A few packets of ten thousand are lost, as anywhere.
fn bulk(play: &mut Play) {
    let to = play.server("drain");
    play.place.way("there", "loss=5");
    play.record();
    let who = play.connected(&to);
    let bytes = play.dice.between(2_000_000, 10_000_000);
    play.tell(who, &format!("pump c {bytes}"));
    play.fault(7000);
}

fn long_path(play: &mut Play) {
    let ms = play.dice.between(120, 300);
    play.place.path(&format!("late=10000 late_us={}", ms * 500));
    play.record();
    ask(play, 8000);
    play.fault(7000);
}

/// Clients from elsewhere ask a server of this host.
fn server(play: &mut Play) {
    let (own, port) = (
        play.plan.ground.near(play.plan.ground.host, play.v6()),
        play.port(),
    );
    let at = if play.v6() {
        format!("[{own}]:{port}")
    } else {
        format!("{own}:{port}")
    };
    // On the host itself: nothing leads into the container from outside.
    let who = match play.plan.ground.container {
        None => play.bystander(),
        Some(_) => return requests(play),
    };
    play.listen(who, &at, "echo");
    play.record();
    let visitors = play.far();
    let (bytes, gap) = (play.dice.between(200, 5000), play.dice.between(50, 150));
    for number in 0..play.dice.between(10, 30) {
        let kind = if play.v6() { "tcp6" } else { "tcp4" };
        play.ok(visitors, &format!("open c{number} {kind}"));
        play.ok(visitors, &format!("connect c{number} {at}"));
        play.ok(
            visitors,
            &format!(
                "background visitors ask c{number} {} {bytes} {gap}",
                7000 / gap
            ),
        );
    }
    play.fault(6500);
}

/// Writes until there is no room, and goes on when there is.
fn event_loop(play: &mut Play) {
    let to = play.server("drain");
    play.record();
    let who = play.connected(&to);
    let piece = play.dice.between(100_000, 400_000);
    play.tell(who, &format!("write-when-ready c 8000000 {piece}"));
    play.fault(6000);
}

fn resets_on_purpose(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    for _ in 0..play.dice.between(10, 25) {
        play.connect(who, "c", &to);
        play.ok(who, "ask c 1 200 10");
        play.ok(who, "linger0 c");
        play.ok(who, "close c");
        play.pass(200);
    }
}

fn closes_unread(play: &mut Play) {
    let to = play.server("source");
    play.record();
    let who = play.client();
    for _ in 0..play.dice.between(5, 12) {
        play.connect(who, "c", &to);
        play.ok(who, "sip c 3 4000 20");
        play.ok(who, "close c");
        play.pass(300);
    }
    play.pass(2000);
}

/// A download whose reader takes what it wants and no more.
fn slow_reader_here(play: &mut Play) {
    let to = play.server("source");
    play.record();
    let who = play.client();
    let kind = play.tcp();
    play.ok(who, &format!("open c {kind}"));
    play.ok(who, "rcvbuf c 65536");
    play.ok(who, &format!("connect c {to}"));
    let gap = play.dice.between(100, 250);
    play.tell(who, &format!("sip c 1000 20000 {gap}"));
    play.fault(7000);
}

/// The other end reads in portions, with a third of a second between them: the window closes and opens, and the sender
/// keeps its pace.
fn reader_pauses(play: &mut Play) {
    let (to, server) = play.server_of("");
    play.record();
    let who = play.connected(&to);
    play.ok(server, "accept l s");
    play.tell(server, "sip s 1000 400000 300");
    let gap = play.dice.between(100, 150);
    play.tell(who, &format!("trickle c {} 20000 {gap}", 6500 / gap));
    play.fault(7000);
    let late = std::time::Instant::now();
    let done = play.reply(who);
    assert!(done.is_ok() && late.elapsed().as_millis() < 500, "{done:?}");
}

fn few_acks_lost(play: &mut Play) {
    let to = play.server("drain");
    play.place.way("back", "loss=300");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "pump c 8000000");
    play.fault(7000);
}

/// A question that is answered three seconds later, as long polling does.
fn answers_late(play: &mut Play) {
    let to = play.server("late");
    play.record();
    let who = play.connected(&to);
    let bytes = play.dice.between(50, 1200);
    play.tell(who, &format!("ask c 10 {bytes} 10"));
    play.fault(8000);
}

/// A queue of this host that is long enough for its rate.
fn shaped(play: &mut Play) {
    let mbit = play.dice.between(8, 20);
    play.sh(&format!(
        "tc qdisc add dev eth0 root tbf rate {mbit}mbit burst 32k latency 400ms"
    ));
    play.record();
    ask(play, 8000);
    let to = play.sink();
    let who = play.client();
    play.tell(who, &format!("queries {to} 150 1000 40"));
    play.fault(7000);
}

/// Strict filtering, and a path that is the same there and back.
fn reverse_path(play: &mut Play) {
    play.sh("for c in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $c; done");
    requests(play);
}

/// Rules that stop what nobody sends.
fn firewall_elsewhere(play: &mut Play) {
    play.place.app().filter(
        "output",
        &[
            "tcp dport 25 drop",
            "udp dport 1900 drop",
            "ct state invalid drop",
            "counter accept",
        ],
    );
    requests(play);
}

/// Strangers knock at closed ports of this host, and its firewall drops what they send.
fn scanned(play: &mut Play) {
    play.place.host.filter(
        "input",
        &["udp dport 1000-2000 drop", "tcp dport 2001-3000 drop"],
    );
    play.record();
    ask(play, 8000);
    let stranger = play.far();
    let own = play.plan.ground.near(play.plan.ground.host, false);
    for port in 0..play.dice.between(15, 40) {
        play.ok(stranger, &format!("queries {own}:{} 1 30 0", 1000 + port));
        play.ok(stranger, &format!("retry {own}:{} 1 0 100", 2990 + port));
    }
    play.pass(2500);
}

/// Links of others go down and up, as on a node where pods start and end; traffic is elsewhere.
fn links_of_others(play: &mut Play) {
    play.place
        .host
        .ip("link add vethaa type veth peer name vethab");
    play.record();
    ask(play, 9000);
    for _ in 0..play.dice.between(6, 12) {
        for (end, state) in [("vethaa", "up"), ("vethab", "up"), ("vethab", "down")] {
            play.place.host.ip(&format!("link set {end} {state}"));
            play.pass(150);
        }
        play.pass(150);
    }
    play.pass(1500);
}

/// A narrower link on the way, of which ICMP tells as it should.
fn path_mtu(play: &mut Play) {
    let mtu = play.dice.between(1300, 1460);
    play.place.router.ip(&format!("link set tob mtu {mtu}"));
    let to = play.server("drain");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "trickle c 400 8000 20");
    play.fault(7000);
}

fn keepalive(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    for (level, option, value) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 1),
    ] {
        play.ok(who, &format!("option c {level} {option} {value}"));
    }
    play.ok(who, "ask c 5 200 20");
    play.fault(7000);
}

/// A firewall on the way forgets what is idle, and the pool does not let it be idle for so long.
fn idle_but_kept(play: &mut Play) {
    play.place.router.sh(
        "cd /proc/sys/net/netfilter; echo 0 > nf_conntrack_tcp_loose; echo 3 > nf_conntrack_tcp_timeout_established",
    );
    play.place.router.filter(
        "forward",
        &[
            "ct state established accept",
            "iifname tob accept",
            "ct state new tcp flags & (syn | ack) == syn accept",
            "meta l4proto tcp drop",
        ],
    );
    // Others would be idle for longer.
    play.plan
        .noise
        .retain(|noise| *noise == super::Noise::Links);
    let to = play.server("echo");
    play.record();
    let who = play.connected(&to);
    play.tell(who, "ask c 12 300 1000");
    play.fault(8000);
}

/// A server says farewell with FIN, and clients come again to the next one.
fn server_restarts(play: &mut Play) {
    let (to, server) = play.server_of("");
    play.record();
    let who = play.client();
    for number in 0..play.dice.between(2, 4) {
        play.connect(who, &format!("c{number}"), &to);
        play.ok(server, &format!("accept l s{number}"));
        play.ok(who, &format!("send c{number} 300"));
        play.ok(server, &format!("recv s{number}"));
        play.ok(server, &format!("close s{number}"));
        play.pass(100);
        play.ok(who, &format!("close c{number}"));
    }
    play.ok(server, "serve l echo");
    play.connect(who, "d", &to);
    play.tell(who, "ask d 60 300 100");
    play.fault(5000);
}

/// One port is closed, and the next is open: asked once, as a client with a list of servers does.
fn first_port_closed(play: &mut Play) {
    let (closed, open) = (play.nobody(), play.server("echo"));
    play.record();
    play.calm();
    let who = play.client();
    let kind = play.tcp();
    play.ok(who, &format!("open k {kind}"));
    play.fails(who, &format!("connect k {closed}"));
    play.ok(who, "close k");
    play.connect(who, "c", &open);
    play.tell(who, "ask c 60 300 100");
    play.fault(5000);
}

fn datagrams(play: &mut Play) {
    let to = play.sink();
    play.record();
    let who = play.client();
    let (size, gap) = (play.dice.between(20, 1200), play.dice.between(5, 50));
    play.tell(who, &format!("queries {to} {} {size} {gap}", 7000 / gap));
    play.fault(7000);
}

/// A log daemon that reads, and processes that log.
fn local_sockets(play: &mut Play) {
    let at = format!("/tmp/{}.sock", play.place.host.name);
    let daemon = play.bystander();
    play.ok(daemon, "open d unix-dgram");
    play.ok(daemon, &format!("bind d {at}"));
    play.tell(daemon, "sip d 100000 4096 1");
    play.record();
    let who = play.client();
    play.ok(who, "open u unix-dgram");
    play.ok(who, &format!("connect u {at}"));
    play.tell(who, "trickle u 300 300 20");
    play.fault(6500);
    let _ = std::fs::remove_file(at);
}

/// Routes that say no to networks to which nobody sends.
fn route_elsewhere(play: &mut Play) {
    for how in [
        "unreachable 198.51.100.0/24",
        "blackhole 203.0.113.0/24",
        "prohibit 192.0.2.0/24",
    ] {
        play.place.app().ip(&format!("route add {how}"));
    }
    requests(play);
}

/// A client that has said all, and reads the answer to the end.
fn half_closed(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    for _ in 0..play.dice.between(8, 20) {
        play.connect(who, "c", &to);
        play.ok(who, "send c 3000");
        play.ok(who, "shutdown-write c");
        play.ok(who, "drain c");
        play.ok(who, "close c");
        play.pass(250);
    }
    play.pass(1500);
}

fn busy_processors(play: &mut Play) {
    play.record();
    for _ in 0..2 {
        let burner = play.bystander();
        play.tell(burner, "spin 6000");
    }
    ask(play, 7000);
    play.fault(6000);
}

fn short_connections(play: &mut Play) {
    let to = play.server("echo");
    play.record();
    let who = play.client();
    for _ in 0..play.dice.between(40, 80) {
        play.connect(who, "c", &to);
        play.ok(who, "ask c 1 400 0");
        play.ok(who, "close c");
        play.pass(60);
    }
    play.pass(2000);
}
