use std::fs;

use tracer_model::samples::SocketProto;

use super::*;

/// A root with the files of `/proc/net` that a host has.
fn fake() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let net = root.path().join(NET);
    fs::create_dir_all(&net).unwrap();
    fs::write(net.join("snmp"), "Tcp: InSegs CurrEstab\nTcp: 100 3\n").unwrap();
    fs::write(net.join("netstat"), "TcpExt: TCPTimeouts\nTcpExt: 7\n").unwrap();
    fs::write(net.join("sockstat"), "TCP: inuse 5 mem 2\n").unwrap();
    fs::write(net.join("softnet_stat"), "10 0 0 0 0 0 0 0 0 0 0 0 0\n").unwrap();
    root
}

#[test]
fn the_first_look_takes_the_base_and_the_second_tells_what_changed() {
    let root = fake();
    let mut sampler = Sampler::open(root.path());
    assert_eq!(sampler.sample(1_000), None);
    let net = root.path().join(NET);
    fs::write(net.join("snmp"), "Tcp: InSegs CurrEstab\nTcp: 160 2\n").unwrap();
    fs::write(net.join("netstat"), "TcpExt: TCPTimeouts\nTcpExt: 6\n").unwrap();
    fs::write(net.join("softnet_stat"), "1f 2 0 0 0 0 0 0 0 0 0 0 0\n").unwrap();
    let sample = sampler.sample(5_000).unwrap();
    assert_eq!((sample.boot_ns, sample.interval_ns), (5_000, 4_000));
    assert_eq!(sample.counters.as_ref().unwrap()["Tcp.InSegs"], 60);
    assert_eq!(sample.reset, ["TcpExt.TCPTimeouts"]);
    let gauges = sample.gauges.as_ref().unwrap();
    assert_eq!((gauges["Tcp.CurrEstab"], gauges["TCP.inuse"]), (2, 5));
    let softnet = sample.softnet.as_ref().unwrap();
    assert_eq!((softnet.processed, softnet.dropped), (15, 2));
    // A host without IPv6 is not a failure.
    assert_eq!(sample.unread, BTreeMap::new());
}

#[test]
fn what_cannot_be_read_is_missing_and_said() {
    let root = fake();
    fs::remove_file(root.path().join(NET).join("netstat")).unwrap();
    let mut sampler = Sampler::open(root.path());
    sampler.sample(0);
    let sample = sampler.sample(1).unwrap();
    assert_eq!(sample.counters, Some(Counts::new()));
    assert_eq!(sample.unread.keys().collect::<Vec<_>>(), ["netstat"]);
    assert_eq!(sample.netns, None);

    let empty = tempfile::tempdir().unwrap();
    let mut sampler = Sampler::open(empty.path());
    sampler.sample(0);
    let sample = sampler.sample(1).unwrap();
    assert_eq!(
        (sample.counters, sample.gauges, sample.softnet),
        (None, None, None)
    );
    assert!(sample.unread.contains_key("snmp") && sample.unread.contains_key("softnet"));
}

#[test]
fn this_hosts_sample_comes_back_from_json_as_it_was() {
    let mut sampler = Sampler::open(Path::new("/"));
    assert_eq!(sampler.sample(1), None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut sample = sampler.sample(2).unwrap();
    let key = SocketKey {
        proto: SocketProto::Tcp,
        local: client.local_addr().unwrap(),
        remote: client.peer_addr().unwrap(),
        cookie: None,
        netns: None,
    };
    sample.sockets = sampler.sample_sockets(&vec![key; 100]);
    assert_eq!(sample.sockets.len(), ASKED);
    assert!(
        sample
            .counters
            .as_ref()
            .is_some_and(|all| all["Tcp.ActiveOpens"] >= 1)
    );
    let lo = sample
        .interfaces
        .as_ref()
        .unwrap()
        .iter()
        .find(|one| one.name == "lo")
        .unwrap();
    assert!(lo.counters["rx_packets"] >= 3, "{lo:?}");
    let text = serde_json::to_string(&sample).unwrap();
    assert_eq!(
        serde_json::from_str::<Sample>(&text).unwrap(),
        sample,
        "{text}"
    );
}
