//! What a recording sums up per process and host, against `ss`, the counters of the namespace, and what was done.

use std::collections::BTreeMap;
use std::path::Path;

use scenarios::recording::{Recorder, lines, replay, wait_until};
use scenarios::{Counters, Host, Identity, World, requires_walks};
use serde_json::Value;

/// Connections that begin and end between two walks.
const SHORT: u64 = 20;

/// Keys of `ss -i` with a colon, of all sockets of a host that are connected to this port, added up.
fn ss(host: &Host, port: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let sockets = host.sh(&format!("ss -tinHO state connected dport = {port}"));
    for word in sockets.split_whitespace() {
        let Some((key, value)) = word.split_once(':') else {
            continue;
        };
        // `retrans` is those that are out now, and all.
        let value = value.rsplit('/').next().expect("a value");
        if let Ok(value) = value.parse::<u64>() {
            *sums.entry(key.to_owned()).or_default() += value;
        }
    }
    sums
}

fn traffic<'a>(samples: &'a [Value], who: &Identity) -> Vec<&'a Value> {
    samples
        .iter()
        .flat_map(|sample| sample["traffic"].as_array().into_iter().flatten())
        .filter(|row| row["pid"] == who.pid)
        .collect()
}

#[track_caller]
fn sum(rows: &[&Value], key: &str) -> u64 {
    let value = |row: &&Value| row[key].as_u64().unwrap_or_else(|| panic!("{key}: {row}"));
    rows.iter().map(value).sum()
}

/// Connections of these rows with this remote port: established, and closed in peace.
fn connections(rows: &[&Value], port: Option<u16>) -> [u64; 2] {
    let all = rows
        .iter()
        .flat_map(|row| row["connections"].as_array().into_iter().flatten())
        .filter(|one| one["port"].as_u64() == port.map(u64::from));
    all.fold([0; 2], |[established, closed], one| {
        [
            established + one["established"].as_u64().expect("a number"),
            closed + one["graceful_closes"].as_u64().expect("a number"),
        ]
    })
}

#[test]
#[ignore = "needs root"]
fn root_the_sums_of_what_was_sent_are_those_of_ss_and_of_the_namespace() {
    if !requires_walks(&["nft"]) {
        return;
    }
    let world = World::routed();
    let dir = tempfile::tempdir().expect("a folder");
    let trace = dir.path().join("trace").display().to_string();
    let recorder = Recorder::start(
        Path::new(&dir.path().join("printed")),
        &["-w", &trace, "--samples", "1s"],
    );
    let mut drain = world.b.peer("sum-drain");
    let mut server = world.b.peer("sum-server");
    let mut one = world.a.peer("sum-one");
    let mut many = world.a.peer("sum-many");
    let [to_drain, to_server] = [&mut drain, &mut server].map(|server| {
        server.ok("open l tcp4");
        server.ok(&format!("bind l {}:0", world.b.v4));
        server.ok("listen l 64");
        server.ok("address l")
    });
    drain.ok("serve l drain");
    let before = Counters::of(&one);
    world.on_the_path(&["ip saddr 10.99.1.1 numgen inc mod 25 == 0 drop"]);

    for (name, bytes) in [("c", 3_000_000), ("d", 500_000)] {
        one.ok(&format!("open {name} tcp4"));
        one.ok(&format!("connect {name} {to_drain}"));
        one.ok(&format!("pump {name} {bytes}"));
    }
    for _ in 0..SHORT {
        many.ok("open x tcp4");
        many.ok(&format!("connect x {to_server}"));
        server.ok("accept l s");
        many.ok("send x 1000");
        server.ok("recv s");
        server.ok("close s");
        assert_eq!(many.ok("recv x"), "0");
        many.ok("close x");
    }
    let port = |at: &str| at.rsplit(':').next().expect("a port").to_owned();
    let (drained, served) = (port(&to_drain), port(&to_server));
    wait_until("all is acknowledged", || {
        let now = ss(&world.a, &drained);
        let closed = world.a.sh(&format!("ss -tanH dport = {served}"));
        now["bytes_acked"] == 3_500_002 && closed.trim().is_empty()
    });
    let ss = ss(&world.a, &drained);
    let namespace = Counters::of(&one).since(&before);
    let said = recorder.stop();
    assert!(said.status.success(), "{}", said.stderr);
    let played = replay(&[trace.as_str(), "--samples", "--format", "json"]);
    let samples = lines(&played.stdout, "sample");

    let of_one = traffic(&samples, &one.id);
    let of_many = traffic(&samples, &many.id);
    let of_server = traffic(&samples, &server.id);
    for (ours, theirs) in [
        ("sent_segments", "segs_out"),
        ("retransmitted_segments", "retrans"),
        ("delivered_segments", "delivered"),
        ("sent_bytes", "bytes_sent"),
        ("acked_bytes", "bytes_acked"),
    ] {
        // `ss` leaves out what is 0.
        let theirs = ss.get(theirs).copied().unwrap_or(0);
        assert_eq!(sum(&of_one, ours), theirs, "{ours}: {of_one:?} {ss:?}");
    }
    let both: Vec<_> = of_one.iter().chain(&of_many).copied().collect();
    let retransmitted = namespace.get("TcpRetransSegs");
    assert!(retransmitted > 0);
    assert_eq!(sum(&both, "retransmitted_segments"), retransmitted);
    assert_eq!(
        sum(&both, "sent_segments"),
        namespace.get("TcpOutSegs") + retransmitted
    );
    // SYN and FIN have a number each.
    assert_eq!(sum(&of_many, "acked_bytes"), SHORT * 1002, "{of_many:?}");
    assert_eq!(sum(&of_many, "closed_sockets"), SHORT, "{of_many:?}");
    let number = |port: &str| Some(port.parse().expect("a port"));
    assert_eq!(connections(&of_one, number(&drained)), [2, 0]);
    assert_eq!(connections(&of_many, number(&served)), [SHORT, SHORT]);
    assert_eq!(connections(&of_server, None), [0, SHORT]);
    for row in &both {
        assert_eq!(row["remote"], "10.99.2.2", "{row}");
        assert_eq!(row["netns"].as_u64(), Some(world.a.netns()), "{row}");
    }
}
