//! Golden lines of text, and lines made of the worst that there is.

use std::net::Ipv6Addr;

use super::*;
use crate::render::text;
use tracer_model::escape::width;

const TEXT: Renderer = Renderer::Text { colour: false };

#[test]
fn text_has_one_line_per_event() {
    let text: String = all()
        .iter()
        .map(|event| TEXT.event(event, &clock()))
        .collect();
    let expected = "\
03:14:15.123 retransmit    4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     rto #3 rto=1.6s 1448 B
03:14:15.123 send_error    4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     ECOMM 0/512 B
03:14:15.123 drop          4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     QDISC_DROP tx eth0 1448 B
03:14:15.123 device        4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     NETDEV_TX_BUSY requeued eth0
03:14:15.123 reset         4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     RST received
03:14:15.123 connection    4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     SYN_SENT→CLOSE ECONNREFUSED
03:14:15.123 waiting       4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     peer window 0 12.4s 92160 B
03:14:15.123 blocked       4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     blocked 1.2s 512 B
03:14:15.123 send          4242   batchd      10.0.0.1:43210 → 10.0.0.12:443     100/512 B
03:14:15.123 lost                             -                                  17 drop events at ring
";
    assert_eq!(text, expected);
}

#[test]
fn the_header_names_the_columns_and_the_marks() {
    let expected = "\
PID marks: c at connect, a at accept, l at listen, s seeded, ~ last known, +N other holders, ? unknown
TIME         EVENT          PID   COMM        LOCAL → REMOTE                     WHAT
";
    let header = TEXT.header().unwrap();
    assert_eq!(header, expected);
    assert!(header.lines().all(|line| width(line) <= text::COLUMNS));
    assert_eq!(Renderer::Json.header(), None);
}

#[test]
fn a_mark_beside_the_pid_tells_how_the_owner_is_known() {
    let holder = |pid| Holder {
        pid,
        started_boot_ns: None,
        comm: None,
        fd: None,
    };
    let kernel = Owner {
        grade: Attribution::Kernel,
        ..Owner::default()
    };
    let cases = [
        (owner(), "   4242   batchd "),
        (
            Owner {
                grade: Attribution::AtAccept,
                ..owner()
            },
            "   4242a  batchd ",
        ),
        (
            Owner {
                grade: Attribution::LastKnown,
                ..owner()
            },
            "   4242~  batchd ",
        ),
        (
            Owner {
                grade: Attribution::Shared,
                holders: [4242, 7, 8].map(holder).to_vec(),
                ..owner()
            },
            "   4242+2 batchd ",
        ),
        (
            Owner {
                grade: Attribution::Unknown,
                ..owner()
            },
            "   4242?  batchd ",
        ),
        (Owner::default(), "      ?   - "),
        (kernel, "      -   [kernel] "),
        (
            Owner {
                comm: Some("\x1b[2Jx".into()),
                ..owner()
            },
            "   4242   \\x1b[2Jx ",
        ),
    ];
    for (owner, expected) in cases {
        let line = TEXT.event(
            &Event {
                owner,
                ..event(send_error())
            },
            &clock(),
        );
        assert!(
            line["03:14:15.123 send_error ".len()..].starts_with(expected),
            "{line}"
        );
    }
}

#[test]
fn other_protocols_stand_before_their_ends() {
    let unix = Flow {
        proto: "unix_dgram".into(),
        local: None,
        remote: Some(Endpoint::Unix("\0bus".into())),
        ..flow()
    };
    let nobody = Flow {
        remote: None,
        proto: "udp".into(),
        ..flow()
    };
    for (flow, expected) in [
        (unix, " unix_dgram → @bus "),
        (nobody, " udp 10.0.0.1:43210 → - "),
    ] {
        let line = TEXT.event(
            &Event {
                flow: Some(flow),
                count: 120,
                ..event(send_error())
            },
            &clock(),
        );
        assert!(
            line.contains(expected) && line.contains(" ×120 ECOMM 0/512 B"),
            "{line}"
        );
    }
}

#[test]
fn the_unit_or_the_pod_stands_where_it_tells_more_than_the_comm() {
    let mut event = all().remove(1);
    event.owner.comm = Some("python3".into());
    let line = TEXT.event(&event, &clock());
    assert!(line.contains(" ECOMM (batch.service)"), "{line}");
    event.owner.kubernetes = Some(std::sync::Arc::new(Kubernetes {
        namespace: "shop".to_owned(),
        pod: "cart-\x1b[31m".to_owned(),
        container: None,
    }));
    let line = TEXT.event(&event, &clock());
    assert!(line.contains(r"(shop/cart-\x1b[31m)"), "{line}");
}

#[test]
fn a_connect_that_sent_nothing_has_no_states() {
    for state in [None, Some(TcpState::Close)] {
        let (from, to) = (state, state);
        let errno = tracer_model::errno::parse("ENETUNREACH").ok();
        let line = TEXT.event(
            &event(Detail::Connection(Connection { from, to, errno })),
            &clock(),
        );
        assert!(line.ends_with("connect ENETUNREACH\n"), "{line}");
    }
}

#[test]
fn colours_come_only_when_they_are_asked_for() {
    for event in all() {
        let plain = TEXT.event(&event, &clock());
        let coloured = Renderer::Text { colour: true }.event(&event, &clock());
        assert!(!plain.contains('\x1b') && coloured.contains('\x1b'));
        assert!(
            Renderer::Text { colour: true }
                .header()
                .unwrap()
                .contains('\x1b')
        );
    }
}

/// Every event with the longest and most hostile names and ends.
fn worst() -> Vec<Event> {
    let address =
        |end: u16| Ipv6Addr::new(0x2001, 0xdb8, 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, end);
    let inet = |end| Some(Endpoint::Inet((address(end), 65_535).into()));
    let path = |byte: &str| {
        Some(Endpoint::Unix(RawName::new(
            byte.repeat(108).as_bytes()[..108].to_vec(),
        )))
    };
    let mut flows = vec![None, Some(flow())];
    for proto in ["tcp", "unix_seqpacket"] {
        let ends = [
            inet(1),
            path("x"),
            path("\x1b"),
            path("夜"),
            path("\u{202e}"),
            Some(Endpoint::Netlink(u32::MAX)),
            None,
        ];
        for local in &ends {
            for remote in &ends {
                let (local, remote) = (local.clone(), remote.clone());
                flows.push(Some(Flow {
                    proto: proto.into(),
                    local,
                    remote,
                    ..flow()
                }));
            }
        }
    }
    let comms = [
        "x".repeat(15),
        "\x1b".repeat(15),
        "夜間処理系".to_owned(),
        String::new(),
    ];
    let long = PacketDrop {
        reason: Some("SKB_DROP_REASON_".repeat(4)),
        location: Some("a_function_with_a_name_that_is_far_too_long+0x123/0x456".to_owned()),
        interface: Some(RawName::new(b"\xff\x9b\x07\x1b".repeat(4))),
        ..dropped()
    };
    let (from, to) = (Some(TcpState::BoundInactive), Some(TcpState::NewSynRecv));
    let mut details = all();
    details.push(event(Detail::Drop(long)));
    details.push(event(Detail::Connection(Connection {
        from,
        to,
        errno: Some(516),
    })));
    details.push(event(Detail::Device(Device {
        timeout: true,
        queue: Some(u32::MAX),
        ..device(-110)
    })));
    let mut events = Vec::new();
    for event in details {
        for flow in &flows {
            for comm in &comms {
                for (pid, count) in [(4_194_304, 1), (u32::MAX, u64::MAX)] {
                    let comm = Some(RawName::from(comm.as_str()));
                    let owner = Owner {
                        grade: Attribution::Shared,
                        pid: Some(pid),
                        comm,
                        ..owner()
                    };
                    events.push(Event {
                        owner,
                        count,
                        flow: flow.clone(),
                        ..event.clone()
                    });
                }
            }
        }
    }
    events
}

#[test]
fn no_line_of_text_is_too_wide_and_no_control_character_gets_through() {
    for event in worst() {
        let line = TEXT.event(&event, &clock());
        let line = line.strip_suffix('\n').expect("one line");
        assert!(
            width(line) <= text::COLUMNS,
            "{} columns: {line}",
            width(line)
        );
        assert!(
            !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
        let json = Renderer::Json.event(&event, &clock());
        let json = json.strip_suffix('\n').expect("one line");
        assert!(
            !json.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{json:?}"
        );
        serde_json::from_str::<serde_json::Value>(json).expect("JSON");
    }
}

#[test]
fn two_long_ends_keep_their_ports() {
    let inet = |end| {
        Some(Endpoint::Inet(
            (Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, end), 44_300).into(),
        ))
    };
    let flow = Flow {
        local: inet(0xaaaa),
        remote: inet(0xbbbb),
        ..flow()
    };
    let line = TEXT.event(
        &Event {
            flow: Some(flow),
            ..retransmit()
        },
        &clock(),
    );
    let expected = "[2001:db…:aaaa]:44300 → [2001:db8:1:2:3:4:5:bbbb]:44300  rto #3\n";
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn counts_are_a_table() {
    let partial = Counted {
        kind: CountedKind::PartialSend,
        code: None,
        count: 12_345,
        bytes: Some(512),
        owner: Some(owner()),
        flow: Some(flow()),
        ..would_block()
    };
    let unknown = Counted {
        flow: Some(flow()),
        ..would_block()
    };
    let expected = "\
counted, not listed:
COUNT  EVENT       KIND             CODE                 PID   COMM        LOCAL → REMOTE
    9  send_error  would_block      EAGAIN
12345  send_error  partial_send     512 B not taken     4242   batchd      10.0.0.1:43210 → 10.0.0.12:443
    9  send_error  would_block      EAGAIN                                 10.0.0.1:43210 → 10.0.0.12:443
";
    assert_eq!(
        TEXT.counted(&[would_block(), partial, unknown], &clock()),
        expected
    );
    assert_eq!(TEXT.counted(&[], &clock()), "");
    for event in worst() {
        let code = Some("A\x1b".repeat(40));
        let counted = Counted {
            code,
            owner: Some(event.owner),
            flow: event.flow,
            count: u64::from(u32::MAX),
            ..would_block()
        };
        for line in TEXT.counted(&[counted], &clock()).lines() {
            assert!(
                width(line) <= text::COLUMNS,
                "{} columns: {line}",
                width(line)
            );
            assert!(!line.contains('\x1b'));
        }
    }
}

#[test]
fn totals_show_the_equations_and_what_to_do_about_loss() {
    let mut totals = lossy_totals();
    let broken = EventTotals {
        seen: u64::MAX,
        filtered: 1,
        missed: Some(4),
        ..EventTotals::default()
    };
    let expected = "\
EVENT       SEEN  FILTERED  EMITTED  AGGREGATED  DELIVERED  LOST  MISSED
retransmit    10         1        7           2          5     2       -
seen = filtered + emitted + aggregated: ok
emitted = delivered + lost: ok
2 of 7 retransmit events were lost because the ring was full: use a larger --ring, or a filter.
";
    assert_eq!(TEXT.totals(&totals), expected);
    totals.events.push((EventKind::Drop, broken));
    let text = TEXT.totals(&totals);
    assert!(
        text.contains("seen = filtered + emitted + aggregated: does not hold for drop\n"),
        "{text}"
    );
    assert!(text.ends_with(
        "4 runs of the drop hooks were skipped by the kernel: their events were not seen.\n"
    ));
}

#[test]
fn the_longest_span_is_short() {
    let cases = [
        (0, "0us"),
        (999, "999us"),
        (1_000, "1ms"),
        (204_500, "204.5ms"),
        (1_600_000, "1.6s"),
        (120_000_000, "120s"),
    ];
    for (us, expected) in cases {
        assert_eq!(text::span(us), expected);
    }
}
