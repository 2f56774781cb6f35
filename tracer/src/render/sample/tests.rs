use jiff::tz::{TimeZone, offset};

use super::*;
use tracer_model::samples::{
    Action, AddressChange, InterfaceSample, LostChanges, QdiscSample, Route, Softnet, TcpInfo,
};

fn clock() -> Clock {
    Clock {
        wall_minus_boot_ns: 0,
        zone: TimeZone::fixed(offset(9)),
    }
}

fn counts(entries: &[(&str, u64)]) -> Counts {
    let owned = entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    owned.collect()
}

fn sample() -> Sample {
    Sample {
        boot_ns: 20_000_000_000,
        interval_ns: 10_000_000_000,
        netns: Some(4_026_531_840),
        counters: Some(counts(&[
            ("Tcp.OutSegs", 900),
            ("Tcp.RetransSegs", 12),
            ("Udp.SndbufErrors", 1),
        ])),
        gauges: Some(counts(&[("TCP.inuse", 5)])),
        interfaces: Some(vec![InterfaceSample {
            name: "eth0".to_owned(),
            ifindex: 2,
            counters: counts(&[("tx_dropped", 4), ("tx_packets", 900)]),
            ..InterfaceSample::default()
        }]),
        qdiscs: Some(vec![QdiscSample {
            interface: Some("eth0".to_owned()),
            ifindex: 2,
            kind: "tbf".to_owned(),
            handle: "8001:".to_owned(),
            parent: "root".to_owned(),
            drops: 5,
            backlog_bytes: 3000,
            ..QdiscSample::default()
        }]),
        softnet: Some(Softnet::default()),
        ..Sample::default()
    }
}

fn change(what: ChangeKind) -> Change {
    Change {
        boot_ns: 1_000_000,
        what,
    }
}

#[test]
fn json_has_type_and_time_first_and_all_that_the_trace_has() {
    let line = sample_json(&sample(), &clock());
    let start = r#"{"type":"sample","time":"1970-01-01T09:00:20.000000000+09:00","boot_ns":20000000000,"interval_ns":10000000000,"netns":4026531840,"counters":{"Tcp.OutSegs":900,"Tcp.RetransSegs":12,"Udp.SndbufErrors":1},"gauges":{"TCP.inuse":5},"interfaces":[{"name":"eth0","ifindex":2,"#;
    assert!(line.starts_with(start) && line.ends_with("}\n"), "{line}");
    let mut read: Sample = serde_json::from_str(&line).unwrap();
    let of_the_line = ["type", "time"].map(|key| read.more.remove(key));
    assert!(of_the_line.iter().all(Option::is_some), "{line}");
    assert_eq!(read, sample());

    let lost = change(ChangeKind::Lost(LostChanges {
        why: "overrun".to_owned(),
        ..LostChanges::default()
    }));
    let expected = "{\"type\":\"change\",\"time\":\"1970-01-01T09:00:00.001000000+09:00\",\
                    \"boot_ns\":1000000,\"kind\":\"lost\",\"why\":\"overrun\"}\n";
    assert_eq!(change_json(&lost, &clock()), expected);
}

#[test]
fn text_shows_harm_first_and_fits_on_a_line() {
    assert_eq!(
        sample_text(&sample(), &clock()),
        "09:00:20.000 sample     10.0 s: Tcp.RetransSegs +12; Udp.SndbufErrors +1; eth0 tx_dropped +4; +1 more\n"
    );
    let mut many = sample();
    many.sockets = vec![
        SocketSample {
            local: "10.0.0.1:1".to_owned(),
            remote: "10.0.0.2:2".to_owned(),
            found: Found::Yes,
            state: Some("ESTABLISHED".to_owned()),
            send_queue_bytes: Some(92_160),
            tcp: Some(TcpInfo {
                lost_segments: Some(8),
                ..TcpInfo::default()
            }),
            ..SocketSample::default()
        };
        40
    ];
    (many.counters, many.qdiscs) = (None, None);
    assert_eq!(
        sample_text(&many, &clock()),
        "09:00:20.000 sample     10.0 s: eth0 tx_dropped +4; +40 more\n"
    );
    many.interfaces = None;
    let line = sample_text(&many, &clock());
    assert!(
        line.contains("10.0.0.1:1 → 10.0.0.2:2 ESTABLISHED Send-Q 92160 lost 8; +39 more"),
        "{line}"
    );
    let calm = sample_text(&Sample::default(), &clock());
    assert_eq!(
        calm,
        "09:00:00.000 sample     0.0 s: no drops, errors or retransmissions\n"
    );
}

#[test]
fn changes_read_as_ip_monitor_prints_them() {
    let link = ChangeKind::Link(LinkChange {
        action: Action::Changed,
        interface: Some("eth0".to_owned()),
        ifindex: 2,
        changed: vec!["operstate".to_owned()],
        operstate: Some("DOWN".to_owned()),
        flags: vec!["UP".to_owned()],
        mtu: Some(1500),
        ..LinkChange::default()
    });
    let route = ChangeKind::Route(RouteChange {
        action: Action::Del,
        route: Route {
            destination: "default".to_owned(),
            gateway: Some("10.0.0.254".to_owned()),
            ifindex: Some(2),
            table: 254,
            protocol: "dhcp".to_owned(),
            route_type: "unicast".to_owned(),
            metric: Some(100),
            ..Route::default()
        },
    });
    let neighbour = ChangeKind::Neighbour(NeighbourChange {
        address: "10.0.0.254".to_owned(),
        interface: Some("eth0".to_owned()),
        state: "FAILED".to_owned(),
        state_was: Some("PROBE".to_owned()),
        ..NeighbourChange::default()
    });
    let address = ChangeKind::Address(AddressChange {
        address: "10.0.0.1/24".to_owned(),
        ifindex: 2,
        flags: vec!["tentative".to_owned()],
        ..AddressChange::default()
    });
    let lost = ChangeKind::Lost(LostChanges {
        why: "rate".to_owned(),
        of: Some("route".to_owned()),
        count: Some(100),
        ..LostChanges::default()
    });
    let cases = [
        (
            link,
            "link changed dev eth0 DOWN <UP> mtu 1500 (changed: operstate)",
        ),
        (
            route,
            "route del default via 10.0.0.254 ifindex 2 proto dhcp metric 100",
        ),
        (
            neighbour,
            "neighbour 10.0.0.254 dev eth0 FAILED (was PROBE)",
        ),
        (address, "address new 10.0.0.1/24 ifindex 2 tentative"),
        (lost, "lost 100 changes of route (rate)"),
        (
            ChangeKind::Unknown(serde_json::Map::new()),
            "unknown of a kind that this version does not know",
        ),
    ];
    for (what, text) in cases {
        let line = change_text(&change(what), &clock());
        assert_eq!(line, format!("09:00:00.001 change     {text}\n"));
    }
}

#[test]
fn what_a_trace_says_cannot_steer_the_terminal() {
    let mut hostile = sample();
    hostile.counters = Some(counts(&[("Tcp.\u{1b}[2JErr\n", 1)]));
    let interface = &mut hostile.interfaces.as_mut().unwrap()[0];
    interface.name = "\u{202e}eth\u{7}".repeat(100);
    let evil = "a\nb\u{1b}]0;x\u{7}".repeat(50);
    let route = change(ChangeKind::Route(RouteChange {
        route: Route {
            destination: evil,
            ..Route::default()
        },
        ..RouteChange::default()
    }));
    let lines = [
        sample_text(&hostile, &clock()),
        sample_json(&hostile, &clock()),
        change_text(&route, &clock()),
        change_json(&route, &clock()),
    ];
    for line in &lines {
        let inside = line.strip_suffix('\n').unwrap();
        assert!(
            !inside.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
    for text in [&lines[0], &lines[2]] {
        assert!(escape::width(text.trim_end()) <= COLUMNS, "{text}");
    }
}
