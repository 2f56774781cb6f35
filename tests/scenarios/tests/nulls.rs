//! Every hook with every null pointer and odd structure that the kernel gives it, while tracers come and go: the
//! kernel must not notice, and the numbers must stay exact. In a machine of `cargo xtask vm` a warning of the
//! kernel is a panic.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use scenarios::{Connection, Host, SOON, Tracer, World, kernel_ids, requires, skip};

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// Flags as they belong together, and as they do not.
const FLAGS: [u8; 8] = [
    0,
    1,
    SYN,
    RST,
    ACK,
    SYN | ACK,
    RST | ACK,
    1 | SYN | RST | ACK,
];

/// Failing sends of one round whose events are counted.
const FAILING: u64 = 25;
/// Starts of the tracer under load; `STORM_STARTS=1000` is the long form.
const STARTS: usize = 20;
/// A slow machine is not held up for longer; the long form is.
const PATIENCE: Duration = Duration::from_secs(90);

const A: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);

#[test]
#[ignore = "needs root"]
fn root_null_pointers_and_odd_sockets_hurt_neither_the_kernel_nor_the_numbers() {
    if !requires(&[]) {
        return;
    }
    let log = KernelLog::now();
    let tracer = Tracer::start(&[]);
    let mut failing = 0;
    let mut pids = Vec::new();
    for _ in 0..3 {
        let world = World::pair();
        pids.push(storm(&world));
        failing += FAILING;
        gone_device();
        gone_namespace();
    }
    tracer.wait_for_count("failed sends", failing as usize, SOON, |event| {
        event["event"] == "send_error"
            && event["send_error"]["name"] == "ENETUNREACH"
            && pids.iter().any(|pid| event["owner"]["pid"] == *pid)
    });
    let run = tracer.stop();
    // A busy machine may lose events, and counts them; those of these processes it did not.
    run.assert_totals();
    let exact = run.events("send_error", |event| {
        event["send_error"]["name"] == "ENETUNREACH"
            && pids.iter().any(|pid| event["owner"]["pid"] == *pid)
    });
    assert_eq!(exact.len() as u64, failing);
    // Where a RST to a closed port fires the tracepoint it came without a socket; a drop always did.
    assert!(run.total("drop", "seen") > 0, "{}", run.totals);
    log.assert_quiet();
}

#[test]
#[ignore = "needs root"]
fn root_a_tracer_can_be_started_and_stopped_again_and_again_in_the_storm() {
    if !requires(&[]) {
        return;
    }
    let asked = std::env::var("STORM_STARTS").ok();
    let starts = asked
        .as_ref()
        .map_or(STARTS, |asked| asked.parse().expect("a number"));
    let log = KernelLog::now();
    let over = AtomicBool::new(false);
    let mut loaded = BTreeSet::new();
    let (mut done, begin) = (0, Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                storm(&World::pair());
                gone_device();
                gone_namespace();
            }
        });
        let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
        while done < starts && (asked.is_some() || begin.elapsed() < PATIENCE) {
            let tracer = Tracer::start(&[]);
            tracer.wait_ready();
            let ids = ids_of(tracer.pid());
            assert!(ids.iter().any(|(kind, _)| *kind == "prog"), "{ids:?}");
            loaded.extend(ids);
            tracer.stop().assert_totals();
            done += 1;
        }
    });
    assert!(done >= 3, "{done} starts in {PATIENCE:?}");
    assert_gone(&loaded);
    println!(
        "{done} starts in {:?}, {} programs, maps and links gone",
        begin.elapsed(),
        loaded.len()
    );
    log.assert_quiet();
}

/// Programs, maps and links that this process holds, as its descriptors say (proc_pid_fdinfo(5)).
fn ids_of(pid: u32) -> BTreeSet<(&'static str, u32)> {
    let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs");
    let texts = infos
        .flatten()
        .filter_map(|info| std::fs::read_to_string(info.path()).ok());
    let mut ids = BTreeSet::new();
    for text in texts {
        for (kind, word) in [
            ("prog", "prog_id:"),
            ("map", "map_id:"),
            ("link", "link_id:"),
        ] {
            let lines = text.lines().filter_map(|line| line.strip_prefix(word));
            ids.extend(lines.filter_map(|id| Some((kind, id.trim().parse().ok()?))));
        }
    }
    ids
}

/// The kernel frees them after all of its CPUs have passed by.
fn assert_gone(loaded: &BTreeSet<(&'static str, u32)>) {
    let end = Instant::now() + SOON;
    loop {
        let left: Vec<_> = kernel_ids()
            .into_iter()
            .filter(|id| loaded.contains(id))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One of each; returns the process whose sends failed [`FAILING`] times.
fn storm(world: &World) -> u32 {
    let mut server = world.b.peer("nulls-server");
    server.ok("open l tcp4");
    server.ok("bind l 10.99.1.2:7000");
    server.ok("listen l 1");
    let mut client = world.a.peer("nulls-client");
    // Nobody accepts: the queue overflows, and SYNs are dropped with a listener.
    for name in ["q0", "q1", "q2", "q3", "q4"] {
        client.ok(&format!("open {name} tcp4"));
        client.ok(&format!("nonblock {name}"));
        client.fails(&format!("connect {name} 10.99.1.2:7000"), libc::EINPROGRESS);
    }
    // RSTs to closed ports, without a socket at either end of them.
    for (kind, to) in [("tcp4", "10.99.1.2:7999"), ("tcp6", "[fd99:1::2]:7999")] {
        client.ok(&format!("open r {kind}"));
        client.fails(&format!("connect r {to}"), libc::ECONNREFUSED);
    }
    odd_segments(world);
    odd_sends(world);
    gone_route(world)
}

/// Segments that fit nothing: to a closed port, a listener, a connection, one in TIME_WAIT, and to requests that the
/// sender does not know of, from addresses that answer with a RST or not at all.
fn odd_segments(world: &World) {
    let mut pair = Connection::at(world, "nulls-one", "nulls-other", "10.99.1.2:7100");
    pair.warm_up();
    let port = |address: &str| -> u16 {
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        port.expect("a port")
    };
    let open = (port(&pair.local), 7100);
    let mut waiting = Connection::at(world, "nulls-late", "nulls-first", "10.99.1.2:7101");
    let closed = (port(&waiting.local), 7101);
    waiting.server.ok("close s");
    waiting.client.ok("close c");
    let pairs = [open, closed, (5000, 7000), (5001, 7100), (5002, 7998)];
    let segments = |from: Ipv4Addr, (source, target): (u16, u16)| {
        FLAGS.map(|flags| segment(from, source, B, target, flags))
    };
    let from_a = pairs.into_iter().flat_map(|ports| segments(A, ports));
    send_segments(&world.a, B, from_a);
    // The other way, from no process: the connection's own end, and a closed port.
    let back = [(7100, open.0), (7998, 5999)].into_iter();
    let from_b =
        back.flat_map(|(source, target)| FLAGS.map(|flags| segment(B, source, A, target, flags)));
    send_segments(&world.b, A, from_b);
}

/// Raw, packet, netlink and unix sockets, and sends that are refused.
fn odd_sends(world: &World) {
    let mut peer = world.a.peer("nulls-odd");
    for (open, send) in [
        ("open x raw4", "sendto x 64 10.99.1.2:0"),
        ("open x raw6", "sendto x 64 [fd99:1::2]:0"),
        ("open x netlink", "send x 16"),
        ("open x packet", "send x 64"),
        ("open x udp4", "send x 10"),
        ("open x udp4", "sendto x 70001 10.99.1.2:9"),
        ("open x unix-dgram", "send x 10"),
        ("open x tcp4", "send x 10"),
    ] {
        // Whether it is sent or refused, and with which error, is not what this is about.
        peer.ask(open);
        peer.ask(send);
    }
    world.b.ip("link set eth0 mtu 1000");
    peer.ok("open u udp4");
    peer.ask("flood u 5 1400 10.99.1.2:9");
    world.b.ip("link set eth0 mtu 1500");
}

/// A route that goes away under connected sockets.
fn gone_route(world: &World) -> u32 {
    let mut peer = world.a.peer("nulls-route");
    peer.ok("open u udp4");
    peer.ok("connect u 10.99.1.2:7997");
    peer.ok("send u 10");
    let mut pair = Connection::at(world, "nulls-way", "nulls-end", "10.99.1.2:7102");
    world.a.ip("route flush 10.99.1.0/24");
    pair.client.ask("send c 100");
    for _ in 0..FAILING {
        peer.fails("sendto u 10 203.0.113.9:9", libc::ENETUNREACH);
    }
    world.a.ip("route add 10.99.1.0/24 dev eth0");
    pair.client.ask("send c 100");
    peer.id.pid
}

/// The device goes away while packets wait for it and connections use it.
fn gone_device() {
    let world = World::pair();
    let mut pair = Connection::new(&world, "nulls-device", "nulls-far");
    let mut flood = world.a.peer("nulls-flood");
    flood.ok("open u udp4");
    flood.tell("flood u 200 1000 10.99.1.2:9");
    world.a.ip("link del eth0");
    flood.reply(SOON);
    pair.client.ask("send c 100");
}

/// Half-open connections with unsent data whose namespace goes away with them.
fn gone_namespace() {
    let world = World::pair();
    let mut pair = Connection::new(&world, "nulls-left", "nulls-lost");
    pair.warm_up();
    world.b.ip("link set eth0 down");
    pair.client.ok("fill c 10000");
    drop(world);
}

/// A TCP header without data.
fn segment(source: Ipv4Addr, from: u16, target: Ipv4Addr, to: u16, flags: u8) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&from.to_be_bytes());
    header[2..4].copy_from_slice(&to.to_be_bytes());
    header[4..8].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
    header[8..12].copy_from_slice(&0x8765_4321_u32.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header[14..16].copy_from_slice(&1000_u16.to_be_bytes());
    let pseudo = [source.octets(), target.octets(), [0, 6, 0, 20]].concat();
    let words = pseudo.chunks(2).chain(header.chunks(2));
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    header[16..18].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    header
}

/// Sends headers through a raw socket of this host.
fn send_segments(host: &Host, to: Ipv4Addr, segments: impl Iterator<Item = [u8; 20]> + Send) {
    let namespace = File::open(host.path()).expect("the namespace");
    let [a, b, c, d] = to.octets();
    thread::scope(|scope| {
        // Only this thread moves into the namespace.
        scope.spawn(move || {
            nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            let raw = socket(
                AddressFamily::Inet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::Tcp,
            )
            .expect("a raw socket");
            for segment in segments {
                let to = SockaddrIn::new(a, b, c, d, 0);
                sendto(raw.as_raw_fd(), &segment, &to, MsgFlags::empty()).expect("a segment");
            }
        });
    });
}

/// What the kernel says from now on.
struct KernelLog(Option<File>);

impl KernelLog {
    fn now() -> Self {
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/kmsg").and_then(|mut file| {
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        });
        if let Err(error) = &file {
            skip(&format!("the part about the kernel's log: {error}"));
        }
        Self(file.ok())
    }

    fn assert_quiet(self) {
        let Some(mut file) = self.0 else {
            return;
        };
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    let bad = ["BUG", "WARNING", "Oops", "Call Trace", "general protection"];
                    assert!(!bad.iter().any(|word| text.contains(word)), "{text}");
                }
                // Older records were overwritten; the next read goes on behind the gap.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("/dev/kmsg: {error}"),
            }
        }
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
