//! Real traffic, drops and changes in a network namespace of the test's own, beside what the host's own tools
//! say of them.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use std::collections::BTreeMap;

use tracer_model::samples::{Found, Sample, SocketKey, SocketProto};

use super::*;

mod changes;

const SOON: Duration = Duration::from_secs(30);

/// Runs `work` in a thread of its own with a network namespace of its own: a wire `va`–`vb`, with 10.9.0.1 at the
/// near end and a neighbour 10.9.0.2 that takes everything.
fn in_a_namespace(programs: &[&str], work: impl FnOnce() + Send + 'static) {
    let missing = programs.iter().find(|program| {
        let dirs = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
        !dirs.iter().any(|dir| Path::new(dir).join(program).exists())
    });
    let is_root = nix::unistd::Uid::effective().is_root();
    assert!(is_root, "needs root: run `cargo xtask test` as root");
    if missing.is_some() {
        eprintln!("SKIPPED: needs the programs {programs:?}");
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        for line in [
            "link set lo up",
            "link add va type veth peer name vb",
            "addr add 10.9.0.1/24 dev va",
            "link set vb up",
            "link set va up",
            "neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev va",
        ] {
            ip(line);
        }
        work();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        // nstat keeps what it saw otherwise.
        .env("NSTAT_HISTORY", "/dev/null")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn json(program: &str, arguments: &str) -> Value {
    serde_json::from_str(&run(program, arguments)).unwrap()
}

/// What the thread may do from here on is what is left after `drop_privileges`; programs that it runs are root's.
fn without_capabilities() {
    caps::clear(None, caps::CapSet::Effective).unwrap();
    caps::clear(None, caps::CapSet::Permitted).unwrap();
}

fn number(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("{path} in {value}"))
}

#[test]
#[ignore = "needs root"]
fn root_a_sample_says_what_nstat_ip_and_tc_say() {
    in_a_namespace(&["ip", "tc", "nstat"], || {
        run(
            "tc",
            "qdisc add dev va root tbf rate 8kbit burst 1600 limit 3000",
        );
        let mut sampler = Sampler::open(Path::new("/"));
        without_capabilities();
        assert_eq!(sampler.sample(1), None);
        let nstat = || json("nstat", "-j -a -s -z");
        let before = nstat();

        let udp = UdpSocket::bind("10.9.0.1:0").unwrap();
        for _ in 0..50 {
            // What the queue drops the caller is not told.
            let _ = udp.send_to(&[0; 1000], "10.9.0.2:9");
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        TcpStream::connect(at).unwrap_err();

        let sample = sampler.sample(10_000_000_001).unwrap();
        let after = nstat();
        assert_eq!(sample.unread, BTreeMap::new());
        let counters = sample.counters.as_ref().unwrap();
        assert_eq!(counters["Tcp.AttemptFails"], 1);
        assert_eq!(counters["Tcp.OutRsts"], 1);
        assert_eq!(
            counters["Udp.OutDatagrams"] + counters["Udp.SndbufErrors"],
            50
        );
        // nstat leaves the dot out; its own run changes nothing in TCP and UDP.
        for name in [
            "Tcp.AttemptFails",
            "Tcp.OutRsts",
            "Tcp.InSegs",
            "Udp.SndbufErrors",
            "Udp.OutDatagrams",
        ] {
            let path = format!("/kernel/{}", name.replace('.', ""));
            assert_eq!(
                counters[name],
                number(&after, &path) - number(&before, &path),
                "{name}"
            );
        }

        let link = json("ip", "-j -s link show va");
        let interfaces = sample.interfaces.as_ref().unwrap();
        let va = interfaces.iter().find(|one| one.name == "va").unwrap();
        assert_eq!(u64::from(va.ifindex), number(&link, "/0/ifindex"));

        // The base was empty, so tc's totals are the differences, and what is sent meanwhile only moves from the
        // queue to the wire.
        let tc = json("tc", "-j -s qdisc show dev va");
        let qdiscs = sample.qdiscs.as_ref().unwrap();
        let tbf = qdiscs.iter().find(|one| one.kind == "tbf").unwrap();
        assert_eq!(tbf.interface.as_deref(), Some("va"));
        assert_eq!(tbf.handle, tc[0]["handle"].as_str().unwrap());
        assert_eq!(tbf.drops, number(&tc, "/0/drops"));
        assert!(
            tbf.drops >= 40 && tbf.overlimits > 0 && tbf.backlog_bytes > 0,
            "{tbf:?}"
        );
        assert!(tbf.overlimits <= number(&tc, "/0/overlimits"));
        assert_eq!(sample.netns, netns(Path::new("/")));

        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
    });
}

#[test]
#[ignore = "needs root"]
fn root_the_counters_of_interfaces_are_the_kernels_and_the_drivers() {
    in_a_namespace(&["ip"], || {
        let mut sampler = Sampler::open(Path::new("/"));
        sampler.sample(1);
        let packets = |link: &Value| number(link, "/0/stats64/tx/packets");
        let before = json("ip", "-j -s link show va");
        let udp = UdpSocket::bind("10.9.0.1:0").unwrap();
        for _ in 0..20 {
            udp.send_to(&[0; 100], "10.9.0.2:9").unwrap();
        }
        // Nobody else sends here but IPv6, which looks around after the link came up.
        let sample = sampler.sample(2).unwrap();
        let after = json("ip", "-j -s link show va");
        let interfaces = sample.interfaces.unwrap();
        let va = interfaces.iter().find(|one| one.name == "va").unwrap();
        let (least, most) = (20, packets(&after) - packets(&before) + 8);
        assert!(
            (least..=most).contains(&va.counters["tx_packets"]),
            "{va:?}"
        );
        let vb = interfaces.iter().find(|one| one.name == "vb").unwrap();
        assert_eq!(vb.counters["rx_otherhost_dropped"], 20);
        // A veth has counters of its own, and among them what is none: the index of its other end.
        let mut ask = ethtool::Ask::open().unwrap();
        let counts = ask.statistics("va", None).unwrap().counts();
        assert_eq!(counts["peer_ifindex"], u64::from(vb.ifindex));
        assert_eq!(ask.driver("va").as_deref(), Some("veth"));
        assert_eq!(ask.speed("va"), (Some(10_000), Some(true)));
    });
}

#[test]
#[ignore = "needs root"]
fn root_what_a_driver_counts_is_a_difference_too() {
    in_a_namespace(&["ip"], || {
        // It drops what nobody redirected to it, and its driver counts per queue.
        let made = Command::new("ip")
            .args(["link", "add", "ib", "type", "ifb"])
            .output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: needs the module ifb");
            return;
        }
        for line in [
            "link set ib up",
            "addr add 10.10.0.1/24 dev ib",
            "neigh add 10.10.0.2 lladdr 02:00:00:00:00:03 dev ib",
        ] {
            ip(line);
        }
        let udp = UdpSocket::bind("10.10.0.1:0").unwrap();
        let send = |count| (0..count).for_each(|_| _ = udp.send_to(b"x", "10.10.0.2:9").unwrap());
        let total = || {
            let mut ask = ethtool::Ask::open().unwrap();
            ask.statistics("ib", None).unwrap().counts()["rx_queue_0_packets"]
        };
        send(5);
        let mut sampler = Sampler::open(Path::new("/"));
        let first = total();
        sampler.sample(1);
        send(30);
        let sample = sampler.sample(2).unwrap();
        let grown = total() - first;
        let interfaces = sample.interfaces.unwrap();
        let ib = interfaces.iter().find(|one| one.name == "ib").unwrap();
        // One queue of several gets all that one socket sends; IPv6 may have sent something as well.
        let all: u64 = ib
            .ethtool
            .iter()
            .filter(|(name, _)| name.starts_with("rx_queue") && name.ends_with("packets"))
            .map(|(_, delta)| delta)
            .sum();
        assert!(
            all >= 30 && ib.ethtool.get("rx_queue_0_packets").copied().unwrap_or(0) <= grown,
            "{ib:?}"
        );
        assert!(ib.counters["rx_dropped"] >= 30, "{ib:?}");
    });
}

#[test]
#[ignore = "needs root"]
fn root_a_socket_reads_as_ss_shows_it_also_when_its_network_is_gone() {
    in_a_namespace(&["ip", "ss"], || {
        let mut sampler = Sampler::open(Path::new("/"));
        without_capabilities();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        std::io::Write::write_all(&mut client, &[1; 3000]).unwrap();
        std::io::Read::read_exact(&mut server, &mut [0; 3000]).unwrap();
        let key = SocketKey {
            proto: SocketProto::Tcp,
            local: client.local_addr().unwrap(),
            remote: client.peer_addr().unwrap(),
            cookie: socket2::SockRef::from(&client).cookie().ok(),
            netns: None,
        };
        let mut sample = || sampler.sample_sockets(std::slice::from_ref(&key)).remove(0);
        // The ACK of the last bytes may take its time.
        let deadline = Instant::now() + SOON;
        while sample().send_queue_bytes != Some(0) {
            assert!(Instant::now() < deadline, "{:?}", sample());
        }
        let now = sample();
        let tcp = now.tcp.unwrap();
        let shown = run("ss", &format!("-tinmH src {}", key.local));
        for (name, value) in [
            ("cwnd:", tcp.cwnd_segments.unwrap().into()),
            ("rto:", u64::from(tcp.rto_us.unwrap()) / 1000),
            ("mss:", tcp.mss_bytes.unwrap().into()),
            ("pmtu:", tcp.pmtu_bytes.unwrap().into()),
            ("bytes_sent:", tcp.bytes_sent.unwrap()),
            ("bytes_acked:", tcp.bytes_acked.unwrap()),
            ("delivered:", tcp.delivered_segments.unwrap().into()),
        ] {
            let word = format!(" {name}{value}");
            assert!(
                shown.contains(&format!("{word} ")) || shown.contains(&format!("{word}\n")),
                "{word}: {shown}"
            );
        }
        let memory = now.memory.unwrap();
        assert!(
            shown.contains(&format!(",rb{},", memory.rcvbuf_bytes)),
            "{shown}"
        );
        assert!(
            shown.contains(&format!(" {} ", now.congestion.unwrap())),
            "{shown}"
        );

        ip("link set lo down");
        std::io::Write::write_all(&mut client, &[1; 5000]).unwrap();
        let stuck = sample();
        assert_eq!(stuck.send_queue_bytes, Some(5000));
        assert_eq!(stuck.timer.map(|timer| timer.kind).as_deref(), Some("on"));
    });
}

#[test]
#[ignore = "a measurement: takes a while to make the interfaces"]
fn root_measurement_a_sample_of_200_interfaces_and_19800_sockets_is_cheap() {
    in_a_namespace(&["ip"], || {
        for n in 0..99 {
            ip(&format!("link add x{n} type veth peer name y{n}"));
            ip(&format!("link set x{n} up"));
            ip(&format!("link set y{n} up"));
        }
        let (mut sockets, mut keys) = (Vec::new(), Vec::new());
        crate::sys::raise_nofile(20_000).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..9_900 {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            keys.push(SocketKey {
                proto: SocketProto::Tcp,
                local: client.local_addr().unwrap(),
                remote: client.peer_addr().unwrap(),
                cookie: None,
                netns: None,
            });
            sockets.push((client, listener.accept().unwrap().0));
        }
        let mut sampler = Sampler::open(Path::new("/"));
        sampler.sample(1);
        let cpu = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        for round in 2..6 {
            let start = Duration::from(cpu());
            let mut sample = sampler.sample(round).unwrap();
            let counters = Duration::from(cpu());
            sample.sockets = sampler.sample_sockets(&keys);
            let asked = Duration::from(cpu());
            let text = serde_json::to_string(&sample).unwrap();
            eprintln!(
                "sample {:?}, 64 sockets {:?}, JSON {:?} for {} bytes",
                counters - start,
                asked - counters,
                Duration::from(cpu()) - asked,
                text.len()
            );
            assert!(sample.sockets.iter().all(|one| one.found == Found::Yes));
            assert!(asked - start < Duration::from_millis(200));
        }
    });
}
